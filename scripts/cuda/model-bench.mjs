// A model of real size with random weights on a device: load, prefill, decoding. With plain Node:
//   node scripts/cuda/model-bench.mjs [1b | 8b | tiny] [--device cuda] [--lengths 512,2048,8192] [--tokens 128]
//     [--json file] [--folder folder]
// Needs dist/, build/Release and room in --folder (the system's temporary one) for the weights, 2.5 GB or 16 GB, which
// are removed at the end; no node_modules. Each figure is of the second of two runs; decoding is greedy, all bfloat16.
import "./addon.mjs";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadModel, machine, memory } from "../../dist/index.js";
import { native } from "../../dist/binding.js"; // what a device holds and is called
import { presets, writeCheckpoint } from "./checkpoint.mjs";

function readOptions() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      device: { type: "string", default: "cuda" },
      lengths: { type: "string", default: "512,2048,8192" },
      tokens: { type: "string", default: "128" },
      folder: { type: "string", default: tmpdir() },
      json: { type: "string" },
    },
  });
  const [name = "1b"] = positionals;
  const lengths = values.lengths.split(",").map(Number);
  const tokens = Number(values.tokens);
  if (Object.hasOwn(presets, name) && [...lengths, tokens].every((n) => Number.isSafeInteger(n) && n > 1))
    return { ...values, name, lengths, tokens };
  console.error(
    `model-bench: known presets: ${Object.keys(presets).join(", ")}; lengths and tokens are numbers above 1`,
  );
  process.exit(2);
}

const promptOf = (length, vocabSize) => Array.from({ length }, (_, i) => (i * 7919 + 13) % vocabSize);
const seconds = (since) => (performance.now() - since) / 1000;

function usedBytes(device) {
  return device === "cpu" ? memory().usedBytes : native.deviceMemory(device).usedBytes;
}

/** Reads a prompt into a context, then continues it; the first token's pass is recorded and not counted. */
async function once(model, device, length, tokens) {
  const context = await model.createContext();
  try {
    const prompt = promptOf(length, model.config.vocabSize);
    const begun = performance.now();
    await context.prefill({ tokens: prompt });
    const first = context.generate(undefined, { maxTokens: 1, temperature: 0 });
    for await (const _ of first);
    const prefillSeconds = seconds(begun);
    for await (const _ of context.generate(undefined, { maxTokens: 3, temperature: 0 }));
    const decodeBegun = performance.now();
    let count = 0;
    for await (const _ of context.generate(undefined, { maxTokens: tokens, temperature: 0 })) count++;
    const decodeSeconds = seconds(decodeBegun);
    return {
      length,
      prefillSeconds,
      prefillRate: length / prefillSeconds,
      decodeTokens: count,
      decodeRate: count / decodeSeconds,
      usedBytes: usedBytes(device),
    };
  } finally {
    await context.dispose();
  }
}

/** Measures; `save` gets what is known after each length, should the time run out. */
async function measure({ name, device, lengths, tokens }, folder, { log, save }) {
  const preset = presets[name];
  let begun = performance.now();
  const { parameters, readPerToken } = await writeCheckpoint(folder, preset);
  log(`${name}: ${(parameters / 1e9).toFixed(2)} × 10⁹ parameters written in ${seconds(begun).toFixed(1)} s`);
  begun = performance.now();
  const model = await loadModel(folder, { device, dtype: "bfloat16" });
  const loadSeconds = seconds(begun);
  const weightBytes = usedBytes(device);
  log(`loaded to ${device} in ${loadSeconds.toFixed(1)} s; ${gib(weightBytes)} GiB there`);
  const { isa, threads } = machine();
  const gpu = device === "cpu" ? undefined : native.cuda().devices;
  const rows = [];
  const result = { name, device, gpu, isa, threads, parameters, readPerToken, loadSeconds, weightBytes, rows };
  try {
    log(head);
    // 64: decoding with a short context
    for (const length of [64, ...lengths]) {
      await once(model, device, length, 4);
      const row = await once(model, device, length, tokens);
      rows.push({ ...row, weightBytesPerSecond: 2 * readPerToken * row.decodeRate });
      log(line(rows.at(-1)));
      save(result);
    }
  } finally {
    await model.dispose();
  }
}

const gib = (bytes) => (bytes / 2 ** 30).toFixed(2);
const columns = [
  ["tokens before", 13, ({ length }) => length],
  ["prefill s", 10, ({ prefillSeconds }) => prefillSeconds.toFixed(3)],
  ["prefill tokens/s", 16, ({ prefillRate }) => prefillRate.toFixed(0)],
  ["decode tokens/s", 15, ({ decodeRate }) => decodeRate.toFixed(1)],
  ["ms a token", 10, ({ decodeRate }) => (1000 / decodeRate).toFixed(2)],
  ["weights GB/s", 12, ({ weightBytesPerSecond }) => (weightBytesPerSecond / 1e9).toFixed(1)],
  ["GiB held", 8, ({ usedBytes }) => gib(usedBytes)],
];
const line = (row) => columns.map(([, width, show]) => String(show(row)).padStart(width)).join("  ");

const head = columns.map(([title, width]) => title.padStart(width)).join("  ");

function requiredDevice(name) {
  try {
    return native.requireDevice("model-bench", name);
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}

const options = readOptions();
const device = requiredDevice(options.device);
const folder = mkdtempSync(join(options.folder, "longspan-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
])
  process.once(signal, () => process.exit(code)); // runs what "exit" asks for
if (device !== "cpu") console.log(native.cuda().devices.join("\n"));
const save = (result) => options.json && writeFileSync(options.json, `${JSON.stringify(result, null, 2)}\n`);
await measure({ ...options, device }, folder, { log: console.log, save });
