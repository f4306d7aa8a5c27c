// What the environment variables do, and that a value which means nothing is a typed error of the first use: each in a
// process of its own, which imports the built package by its name (npm test builds dist).
import { describe, expect, it } from "vitest";
import { run } from "./support/process.js";

// Runs code where `failure(body)` is "name code argument-or-device | message", or "none".
const prelude = `import * as longspan from "longspan";
const { Tensor, add, idle, loadModel, machine, memory, ready } = longspan;
const failure = async (body) => {
  try { await body(); return "none"; } catch (e) { return \`${"$"}{e.name} ${"$"}{e.code} ${"$"}{e.argument ?? e.device} | ${"$"}{e.message}\`; }
};
`;
async function evaluate(code: string, environment: NodeJS.ProcessEnv): Promise<string> {
  const { code: status, stdout, stderr } = await run(["--input-type=module", "-e", prelude + code], environment);
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  return stdout;
}
const say = (...values: string[]) => `console.log([${values.join(", ")}].join("\\n"))`;
const failures = (...bodies: string[]) => say(...bodies.map((body) => `await failure(() => ${body})`));
const one = 'new Tensor("float32", [1], [1])';

describe("a variable that means nothing is an ArgumentError of every use", () => {
  const bytes = "a number of bytes such as 8GiB";
  const threads = "a whole number from 1 to 256";
  for (const [name, expected, ...values] of [
    ["LONGSPAN_THREADS", threads, "many", "0", "-2", "1.5", "4x", "257", "99999999999"],
    ["LONGSPAN_QUEUE_BYTES", bytes, "lots", "0", "-5", "nan", "inf", "1e300", "5 parsecs"],
    ["LONGSPAN_MEMORY", bytes, "much", "0", "-1GiB"],
    ["LONGSPAN_LOG_LEVEL", "silent, error, warn, info or debug", "loud", "WARN"],
  ] as const)
    it(name, async () => {
      const uses = [one, one, "machine()", "memory()", "idle()", "ready()", 'loadModel("assets/books")'];
      const [first, ...others] = values;
      const everyUse = evaluate(failures(...uses), { [name]: first });
      const oneUse = others.map((value) => evaluate(failures("machine()"), { [name]: value }));
      const message = (value: string) =>
        `ArgumentError ERR_LONGSPAN_ARGUMENT ${name} | ${name} must be ${expected}, got "${value}"`;
      expect((await everyUse).split("\n")).toEqual(uses.map(() => message(first)));
      expect(await Promise.all(oneUse)).toEqual(others.map(message));
    });

  it("an empty one is as good as none", async () => {
    const names = ["THREADS", "QUEUE_BYTES", "MEMORY", "LOG_LEVEL", "ISA", "DEVICE"];
    const empty = Object.fromEntries(names.map((name) => [`LONGSPAN_${name}`, ""]));
    expect(await evaluate(failures(`add(${one}, ${one}).data()`), empty)).toBe("none");
  });
});

describe("LONGSPAN_ISA, LONGSPAN_BINARY", () => {
  it("kernels unknown or missing are a DeviceError", async () => {
    const other = process.arch === "x64" ? "neon" : "avx2";
    for (const isa of ["nonsense", other]) {
      const stdout = await evaluate(failures(`add(${one}, ${one})`, "machine()"), { LONGSPAN_ISA: isa });
      const line = `DeviceError ERR_LONGSPAN_DEVICE cpu | LONGSPAN_ISA = "${isa}": this build of longspan has no kernels`;
      for (const text of stdout.split("\n"))
        expect(text).toMatch(new RegExp(`^${line} .*supported here: .*(baseline|neon)`));
    }
  });
  it("an addon that is not there is a NativeBindingError", async () => {
    const code = 'await import("longspan").catch((e) => console.log(e.name, e.code, e.tried))';
    const { stdout } = await run(["--input-type=module", "-e", code], { LONGSPAN_BINARY: "/nowhere.node" });
    expect(stdout).toBe("NativeBindingError ERR_LONGSPAN_NATIVE_BINDING [ '/nowhere.node' ]");
  });
});

describe("LONGSPAN_THREADS, LONGSPAN_QUEUE_BYTES, LONGSPAN_MEMORY", () => {
  it("are limits", async () => {
    const limits = { LONGSPAN_THREADS: "3", LONGSPAN_QUEUE_BYTES: "5MiB", LONGSPAN_MEMORY: "64 mib" };
    const stdout = await evaluate(say("machine().threads", "machine().queueBytes", "memory().budgetBytes"), limits);
    expect(stdout).toBe("3\n5242880\n67108864");
  });
  it("over the memory budget is refused", async () => {
    const large = 'new Tensor("float32", new Float32Array(300000), [300000])';
    expect(await evaluate(failures(large), { LONGSPAN_MEMORY: "1MB" })).toMatch(
      /^OutOfMemoryError ERR_LONGSPAN_OUT_OF_MEMORY cpu \| new Tensor: needs 1200000 bytes, 1000000/,
    );
  });
});

describe("LONGSPAN_DEVICE", () => {
  const uses = [one, `add({ dtype: "float32", data: [1], shape: [1] }, ${one.replace("])", '], { device: "cpu" })')})`];
  const model = 'loadModel("assets/books")';
  const own = 'new Tensor("float32", [1], [1], { device: "cpu" })';

  for (const device of ["cuda", "cuda:7", "tpu"])
    it(`${device}, where it cannot be used, is a DeviceError with the reason`, async () => {
      const stdout = await evaluate(failures(...uses, model, `add(${own}, ${own}).data()`), {
        LONGSPAN_DEVICE: device,
      });
      const [tensor, object, loading, onTheCPU] = stdout.split("\n");
      const start = (op: string) =>
        `DeviceError ERR_LONGSPAN_DEVICE ${device} | ${op}: device "${device}" (LONGSPAN_DEVICE)`;
      for (const [text, op] of [
        [tensor, "new Tensor"],
        [object, "add"],
        [loading, "loadModel"],
      ] as const) {
        expect(text).toContain(`${start(op)} cannot be used: `);
        expect(text?.slice(start(op).length + " cannot be used: ".length)).toMatch(
          device === "tpu" ? /the devices are/ : /\S/,
        );
      }
      expect(onTheCPU).toBe("none"); // what the call says goes before
    });
  it("cpu is the default", async () => {
    const facts = say("machine().device", `${one}.device`);
    for (const environment of [{}, { LONGSPAN_DEVICE: "cpu" }])
      expect(await evaluate(facts, environment)).toBe("cpu\ncpu");
  });
});

describe("LONGSPAN_LOG_LEVEL", () => {
  // beyond the 256 tokens that the model was made for, twice
  const program = `${prelude}
    const model = await loadModel("assets/books");
    for (const attention of [undefined, { window: 100 }]) {
      const context = await model.createContext({ attention });
      for (const count of [260, 4]) await context.prefill({ tokens: new Int32Array(count).fill(5) });
      await context.dispose();
    }
    await model.dispose();`;
  const loaded = /^longspan: info: assets\/books: \d+ layers in float32 on cpu, loaded in [\d.]+ s$/;
  const warned = /^longspan: warn: the context has more than the 256 tokens that the model was made for/;

  for (const [level, ...lines] of [
    ["silent"],
    ["error"],
    [undefined, warned],
    ["warn", warned],
    ["info", loaded, warned],
    ["debug", loaded, warned],
  ] as const)
    it(`${level}: ${lines.length} lines`, async () => {
      const { code, stdout, stderr } = await run(["--input-type=module", "-e", program], { LONGSPAN_LOG_LEVEL: level });
      expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
      const found = stderr === "" ? [] : stderr.split("\n");
      expect(found).toHaveLength(lines.length);
      for (const [i, line] of lines.entries()) expect(found[i]).toMatch(line);
    });
});
