// longspan-report.svg: what was measured, and what it means, on one page.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { schemeFindings } from "longspan/evaluation";
import { figure, palette } from "longspan/plot";
import { root } from "../tree.mjs";
import { count } from "./show.mjs";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const percent = (share) => `${Math.round(100 * share)} %`;

const methods = [];
/** The same method has the same colour, and dash, in every plot. */
function styleOf(name) {
  if (!methods.includes(name)) methods.push(name);
  const at = methods.indexOf(name);
  return { color: palette[at % palette.length], dashed: at >= palette.length };
}

/** What the numbers say, in sentences. */
function findings(names, rows, lengths, trainedLength) {
  const curves = names.map((name) => ({
    scheme: name === "plain RoPE" ? "none" : name,
    values: rows.filter(({ method }) => method === name),
  }));
  return schemeFindings({ curves, lengths, trainedLength })
    .join(" ")
    .replace(/\bnone\b/g, "plain RoPE");
}

function perplexityPlot({ rows, lengths, trained, methods: names, tokens, unseen }) {
  const text = unseen ? "the book's last 8 %, which the model was not trained on" : "the text's last 8 %";
  return {
    title: "Trained short, tested long: prediction by length, for several position schemes",
    y: { label: "perplexity: lower is better (logarithmic)", scale: "log" },
    x: { label: "tokens per window (trained length ×1 to ×16)", scale: "log", ticks: lengths, format: count },
    marks: [{ x: trained, label: `trained length, ${trained}` }],
    series: names.map((name) => ({
      name,
      ...styleOf(name),
      points: rows.filter(({ method }) => method === name).map(({ length, perplexity }) => [length, perplexity]),
    })),
    caption:
      `Measured on ${count(tokens)} tokens of ${text}, cut into windows; each token is predicted from those before it in its window. ` +
      "Linear, NTK and YaRN are scaled by window / trained length, without fine-tuning. Window, sinks and ReRoPE keep all distances within the trained ones. " +
      findings(names, rows, lengths, trained),
  };
}

const shares = (series) => series.map(({ name, rows }) => `${name} ${percent(rows.at(-1).accuracy)}`).join(", ");

function retrievalPlot({ series, probesPerLength, trained, longest }) {
  return {
    title: "Finding one fact in a text longer than the trained length",
    y: {
      label: "share of questions answered rightly",
      min: 0,
      max: 1,
      ticks: [0, 0.25, 0.5, 0.75, 1],
      format: percent,
    },
    x: {
      label: "tokens before the answer",
      scale: "log",
      ticks: series[0].rows.map(({ length }) => length),
      format: count,
    },
    marks: [{ x: trained, label: `trained length, ${trained}` }],
    series: series.map(({ name, rows }) => ({
      name,
      ...styleOf(name),
      points: rows.map(({ length, accuracy }) => [length, accuracy]),
    })),
    caption:
      `${probesPerLength} questions at each length, the fact at five depths in turn, four other facts beside it. The model has two layers whose ` +
      "weights were written by hand to look a name up, so only positions can go wrong. " +
      `Schemes are scaled for ${count(longest)} tokens at every length. Found at ${count(longest)}: ${shares(series)}. ` +
      "What has left a window cannot be found, however well the window predicts: right answers there are facts close to the question.",
  };
}

function speedPlot({ samples, window }) {
  return {
    title: "Reading speed along the book",
    y: { label: "tokens per second", min: 0, format: count },
    x: { label: "tokens read", min: 0, format: count },
    series: [
      { name: "reading", markers: false, points: samples.map(({ done, tokensPerSecond }) => [done, tokensPerSecond]) },
    ],
    caption:
      `Each token attends to itself and the ${window - 1} before it, so the last page costs what the first one did. ` +
      "Swings are other work on the machine.",
  };
}

function memoryPlot({ samples }) {
  const gibi = (bytes) => bytes / 2 ** 30;
  return {
    title: "Memory along the book",
    y: { label: "GiB", min: 0 },
    x: { label: "tokens read", min: 0, format: count },
    series: [
      {
        name: "whole process",
        markers: false,
        points: samples.map(({ done, residentBytes }) => [done, gibi(residentBytes)]),
      },
      {
        name: "keys and values",
        markers: false,
        points: samples.map(({ done, cacheBytes }) => [done, gibi(cacheBytes)]),
      },
    ],
    caption:
      "Resident set of the Node process, and what the cache of keys and values takes of it. All keys are kept in float32, also those the " +
      "window has passed, so memory grows with the text; scores are never stored.",
  };
}

function headline({ title, whole, tokens }, trained) {
  const what = whole ? `all ${count(tokens)} tokens of ${title}` : `${count(tokens)} tokens of ${title}`;
  return `A model trained on ${trained} tokens at a time reads ${what}`;
}

function readingFacts({ tokens, readSeconds, written, loopLag }, trained, peakBytes) {
  return [
    { value: `${count(tokens / trained)} ×`, label: "the trained length, read in one context" },
    { value: `${count(tokens / readSeconds)} /s`, label: "tokens read, average over the book" },
    { value: `${count(written.tokensPerSecond)} /s`, label: "tokens written, behind the last page" },
    { value: `${(peakBytes / 2 ** 30).toFixed(2)} GiB`, label: "peak memory of the whole process" },
    { value: `${loopLag.p99Ms.toFixed(1)} ms`, label: "event loop lag while reading, 99th percentile" },
  ];
}

/** The page as SVG text; without a book it shows retrieval alone. */
export function drawReport({ machine, reading, perplexity, retrieval, peakBytes }) {
  const subtitle = `longspan ${version}, ${machine.processor}, ${machine.threads} threads, kernels ${machine.isa}, Node ${process.version}; float32, on the CPU`;
  const footer = `Every number was measured in one run of “npm start” on ${new Date().toISOString().slice(0, 10)}; speed depends on the machine and what else it did.`;
  if (!reading)
    return figure(
      { title: "How far a retrieval model finds a fact", subtitle, plots: [retrievalPlot(retrieval)], footer },
      { columns: 1 },
    );
  return figure(
    {
      title: headline(reading, perplexity.trained),
      subtitle: `${subtitle}; the model is a Llama of 4 million parameters`,
      facts: readingFacts(reading, perplexity.trained, peakBytes),
      plots: [perplexityPlot(perplexity), retrievalPlot(retrieval), speedPlot(reading), memoryPlot(reading)],
      notes: [
        {
          heading: "What it wrote behind the last page",
          text: reading.written.text.replace(/\s+/g, " ").trim(),
          italic: true,
        },
      ],
      footer,
    },
    { plotHeight: 540 },
  );
}
