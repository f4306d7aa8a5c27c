// `longspan doctor`: what was found, and why it is used. It must work where the addon does not.
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import { dirname, join } from "node:path";
import type * as Longspan from "../index.js";
import { printFacts, printJson, printLine } from "./output.js";
import { exitCodes, reportError } from "./run.js";
import { formatBytes } from "./units.js";

const switches = [
  "LONGSPAN_ISA",
  "LONGSPAN_THREADS",
  "LONGSPAN_MEMORY",
  "LONGSPAN_QUEUE_BYTES",
  "LONGSPAN_DEVICE",
  "LONGSPAN_BINARY",
  "LONGSPAN_LOG_LEVEL",
];

function glibcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}

function machineFacts() {
  return {
    system: `${process.platform} ${process.arch}, kernel ${release()}`,
    glibc: glibcVersion() ?? null,
    node: process.version,
    nodeApi: process.versions.napi ?? null,
    processor: cpus()[0]?.model ?? "unknown",
    processors: availableParallelism(),
    memoryBytes: totalmem(),
  };
}

/** The switches a local build was configured with, from CMake's cache. */
function buildSwitches(binary: string): Record<string, string> {
  const cache = join(dirname(dirname(binary)), "cmake", "CMakeCache.txt");
  if (!existsSync(cache)) return {};
  const found = readFileSync(cache, "utf8").matchAll(/^(LONGSPAN_\w+|CMAKE_BUILD_TYPE|CMAKE_CXX_COMPILER):\w+=(.+)$/gm);
  return Object.fromEntries([...found].map(([, name, value]) => [name!, value!]));
}

function binaryReason(binary: string): string {
  if (process.env.LONGSPAN_BINARY) return "LONGSPAN_BINARY names it";
  return binary.includes("prebuilds") ? "prebuilt for this platform" : "built here, which goes before prebuilt ones";
}

/** Kernels that no device has run yet are never the default. */
const unproved = "its kernels have run in an emulator only";

interface Binding {
  native: typeof import("../native.d.ts");
  nativeBinary: string;
}

function addonFacts({ native, nativeBinary }: Binding, { machine, memory }: typeof Longspan) {
  const { isa, isas, nativeBFloat16, threads, queueBytes, device } = machine();
  const { reason, devices, file } = native.cuda();
  return {
    binary: { file: nativeBinary, why: binaryReason(nativeBinary), build: buildSwitches(nativeBinary) },
    kernels: {
      isa,
      why: process.env.LONGSPAN_ISA ? "LONGSPAN_ISA forces it" : "the best this processor runs",
      possible: isas,
      nativeBFloat16,
    },
    threads: {
      count: threads,
      why: process.env.LONGSPAN_THREADS ? "LONGSPAN_THREADS" : "what the processor and the cgroup give",
    },
    memory: {
      budgetBytes: memory().budgetBytes,
      why: process.env.LONGSPAN_MEMORY
        ? "LONGSPAN_MEMORY, or what is free if that is less"
        : "what is free, within the cgroup",
      queueBytes,
    },
    device: {
      name: device,
      why: process.env.LONGSPAN_DEVICE ? "LONGSPAN_DEVICE" : "the default",
      fault: native.deviceReason(device).reason || null,
    },
    gpu: {
      devices,
      why: reason || (device.startsWith("cuda") ? "LONGSPAN_DEVICE asks for it" : 'used where "cuda" is asked for'),
      fault: reason || null,
      plugin: file || null,
    },
  };
}

type MachineFacts = ReturnType<typeof machineFacts>;
type AddonFacts = ReturnType<typeof addonFacts>;

function printMachine(facts: MachineFacts): void {
  printFacts("Machine", [
    ["system", facts.system + (facts.glibc ? `, glibc ${facts.glibc}` : "")],
    ["processor", `${facts.processor}, ${facts.processors} to use`],
    ["memory", formatBytes(facts.memoryBytes)],
    ["Node", `${facts.node}, Node-API ${facts.nodeApi}`],
  ]);
}

function printAddon({ binary, kernels, threads, memory, device, gpu }: AddonFacts): void {
  const build = Object.entries(binary.build).map(([name, value]) => `${name}=${value}`);
  printFacts("longspan", [
    ["binary", `${binary.file} (${binary.why})`],
    ...(build.length > 0 ? [["build", build.join(" ")] as const] : []),
    ["kernels", `${kernels.isa} (${kernels.why}); this machine runs ${kernels.possible.join(", ")}`],
    ["bfloat16", kernels.nativeBFloat16 ? "pair products in hardware" : "widened to float32"],
    ["threads", `${threads.count} (${threads.why})`],
    ["memory budget", `${formatBytes(memory.budgetBytes)} (${memory.why}); queue ${formatBytes(memory.queueBytes)}`],
    ["device", `${device.name} (${device.why})${device.fault ? `, cannot be used: ${device.fault}` : ""}`],
    ["GPU", gpu.fault ? `not used: ${gpu.fault}` : `${gpu.devices.join("; ")} (${gpu.why}; ${unproved})`],
  ]);
}

export async function doctor(options: { json?: boolean }): Promise<void> {
  const environment = Object.fromEntries(
    switches.filter((name) => process.env[name]).map((name) => [name, process.env[name]!]),
  );
  const machine = machineFacts();
  let addon: AddonFacts | undefined;
  let fault: unknown;
  try {
    addon = addonFacts(await import("../binding.js"), await import("../index.js"));
  } catch (error) {
    fault = error;
    process.exitCode = exitCodes.failed;
  }
  if (options.json) {
    const error =
      fault instanceof Error ? { code: (fault as { code?: string }).code ?? null, message: fault.message } : null;
    return printJson({ machine, ...addon, environment, error });
  }
  printMachine(machine);
  printLine();
  if (addon) printAddon(addon);
  else reportError(fault);
  const set = Object.entries(environment);
  if (set.length === 0) return;
  printLine();
  printFacts("Environment", set);
}
