// Retrieval by length: five facts ("carol rome") in noise, then "? carol"; right is a model whose most likely next token
// is the value. The language is that of the bundled constructed model (assets/kv-constructed), whose weights were written
// so that it retrieves without fault as long as RoPE lets it.
import { ArgumentError } from "../errors.js";
import type { Model } from "../model.js";
import { randomNumbers } from "../random.js";
import { type AnswerSettings, isAnswered } from "./answers.js";
import type { EvaluationProgress } from "./perplexity.js";

export interface Probe {
  ids: readonly number[];
  /** The token that must follow. */
  answer: number;
  /** Where the fact stands: 0 at the beginning, 1 right before the question. */
  depth: number;
}

/** A phrase of the language and its token ids: a vocabulary that agrees here is the constructed model's. */
export const phrase = { text: "? alice zoe paris plate the", ids: [3, 5, 52, 53, 146, 147] };

/** Token ids of the constructed model's vocabulary: [first, count]. */
const names = [5, 48] as const;
const values = [53, 94] as const;
const noise = [147, 109] as const;
const beginOfText = 1;
const questionMark = 3;
const factsPerProbe = 5;
/** `<s>`, five facts of two tokens, `?` and a name. */
const shortest = 1 + 2 * factsPerProbe + 2;

/** The depths that the curves of the literature use. */
export const depths = [0, 0.25, 0.5, 0.75, 1] as const;

function distinct(random: () => number, [first, count]: readonly [number, number], howMany: number): number[] {
  const left = Array.from({ length: count }, (_, i) => first + i);
  return Array.from({ length: howMany }, () => left.splice(Math.floor(random() * left.length), 1)[0]!);
}

/** Noise words in Zipf's proportions: the vocabulary lists them by frequency. */
function noiseWord(random: () => number): number {
  const [first, count] = noise;
  return first + Math.min(count - 1, Math.floor((count + 1) ** random()) - 1);
}

/** A probe of exactly `length` tokens. */
function makeProbe(random: () => number, length: number, depth: number): Probe {
  const keys = distinct(random, names, factsPerProbe);
  const answers = distinct(random, values, factsPerProbe);
  const gaps = length - shortest; // noise words; a fact may stand before each, or behind the last
  const places = keys.map((_, i) => (i === 0 ? Math.round(depth * gaps) : Math.floor(random() * (gaps + 1))));
  const ids = [beginOfText];
  for (let at = 0; at <= gaps; at++) {
    // The needle stands last of the facts at its place, so that depth 1 is right before the question.
    for (let fact = factsPerProbe - 1; fact >= 0; fact--)
      if (places[fact] === at) ids.push(keys[fact]!, answers[fact]!);
    if (at < gaps) ids.push(noiseWord(random));
  }
  ids.push(questionMark, keys[0]!);
  return { ids, answer: answers[0]!, depth };
}

/** Random numbers of their own for each seed and length. */
export function probeNumbers(seed: number, length: number): () => number {
  return randomNumbers(seed * 1_000_003 + length);
}

/** `count` probes of `length` tokens, the depths in turn; the same seed gives the same probes everywhere. */
export function retrievalProbes({
  length,
  count,
  seed = 1,
  depths: wanted = depths,
}: {
  length: number;
  count: number;
  seed?: number;
  depths?: readonly number[];
}): Probe[] {
  if (!Number.isInteger(length) || length < shortest)
    throw new ArgumentError(`retrievalProbes: length must be a whole number from ${shortest} on, got ${length}`, {
      op: "retrievalProbes",
      argument: "length",
    });
  const random = probeNumbers(seed, length);
  return Array.from({ length: count }, (_, i) => makeProbe(random, length, wanted[i % wanted.length]!));
}

export interface RetrievalRow {
  length: number;
  /** Share of probes answered rightly. */
  accuracy: number;
  byDepth: { depth: number; accuracy: number }[];
  probes: number;
}

export interface RetrievalOptions extends AnswerSettings {
  onProgress?: (progress: EvaluationProgress) => void;
}

/** One row per length of the probes, shortest first. */
export async function retrievalByLength(
  model: Model,
  probes: readonly Probe[],
  options: RetrievalOptions = {},
): Promise<RetrievalRow[]> {
  const total = probes.reduce((sum, { ids }) => sum + ids.length, 0);
  const results = new Map<number, { depth: number; right: boolean }[]>();
  let done = 0;
  for (const probe of [...probes].sort((a, b) => a.ids.length - b.ids.length)) {
    const right = await isAnswered(model, probe.ids, [probe.answer], options);
    const sameLength = results.get(probe.ids.length) ?? [];
    results.set(probe.ids.length, [...sameLength, { depth: probe.depth, right }]);
    done += probe.ids.length;
    options.onProgress?.({ done, total });
  }
  const share = (items: { right: boolean }[]) => items.filter(({ right }) => right).length / items.length;
  return [...results].map(([length, items]) => ({
    length,
    accuracy: share(items),
    byDepth: [...new Set(items.map(({ depth }) => depth))]
      .sort((a, b) => a - b)
      .map((depth) => ({ depth, accuracy: share(items.filter((item) => item.depth === depth)) })),
    probes: items.length,
  }));
}
