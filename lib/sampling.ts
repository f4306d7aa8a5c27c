// From logits to a token: repetition penalty, temperature, topK, topP, minP in that order (as transformers), then one
// draw.
import { checkedNumber, wrongArgument } from "./options.js";
import { randomNumbers } from "./random.js";

export interface SamplingOptions {
  /** 0 takes the most likely token. */
  temperature?: number | undefined;
  /** Only the k most likely tokens. */
  topK?: number | undefined;
  /** Only the fewest tokens whose probabilities reach p together. */
  topP?: number | undefined;
  /** Only tokens at least p times as likely as the most likely one. */
  minP?: number | undefined;
  /** Divides positive and multiplies negative logits of tokens that occurred (Keskar et al. 2019). */
  repetitionPenalty?: number | undefined;
  /** A whole number; without one the draw differs from call to call. */
  seed?: number | undefined;
}

export const samplingOptionNames = ["temperature", "topK", "topP", "minP", "repetitionPenalty", "seed"] as const;

export interface Choice {
  tokenId: number;
  /** Natural log of the probability before temperature and filters. */
  logprob: number;
}

/** Indices of the k largest, largest first; of equals the first. */
export function largest(values: Float32Array, k: number): number[] {
  const heap: number[] = []; // the smallest kept is at the root
  const below = (a: number, b: number) => values[a]! < values[b]! || (values[a] === values[b] && a > b);
  const sink = (start: number) => {
    for (let at = start; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2])
        if (child < heap.length && below(heap[child]!, heap[least]!)) least = child;
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  };
  for (let i = 0; i < values.length; i++) {
    if (heap.length < k) {
      heap.push(i);
      if (heap.length === k) for (let at = k >> 1; at >= 0; at--) sink(at);
    } else if (below(heap[0]!, i)) {
      heap[0] = i;
      sink(0);
    }
  }
  return heap.sort((a, b) => (below(a, b) ? 1 : -1));
}

export class Sampler {
  readonly #options: Required<Omit<SamplingOptions, "seed" | "topK">> & { topK: number };
  readonly #random: () => number;

  constructor(op: string, options: SamplingOptions) {
    const number = (
      name: (typeof samplingOptionNames)[number],
      rule: Parameters<typeof checkedNumber>[3],
      absent: number,
    ) => checkedNumber(op, name, options[name], rule) ?? absent;
    this.#options = {
      temperature: number("temperature", { min: 0 }, 1),
      topK: number("topK", { integer: true, min: 1 }, Number.POSITIVE_INFINITY),
      topP: number("topP", { min: 0, above: true, max: 1 }, 1),
      minP: number("minP", { min: 0, max: 1 }, 0),
      repetitionPenalty: number("repetitionPenalty", { min: 0, above: true }, 1),
    };
    const seed = number("seed", { integer: true, min: 0 }, Math.floor(Math.random() * 2 ** 53));
    this.#random = randomNumbers(seed);
  }

  /** One token from the logits of a position; `history` is what the repetition penalty looks at. */
  choose(logits: Float32Array, history: Iterable<number>): Choice {
    const logTotal = logSumExp(logits);
    if (Number.isNaN(logTotal)) wrongArgument("generate", "logits", "finite logits from the model", Number.NaN);
    const tokenId = this.#pick(this.#penalised(logits, history));
    return { tokenId, logprob: logits[tokenId]! - logTotal };
  }

  #penalised(logits: Float32Array, history: Iterable<number>): Float32Array {
    const penalty = this.#options.repetitionPenalty;
    if (penalty === 1) return logits;
    const changed = logits.slice();
    for (const id of new Set(history)) changed[id]! *= changed[id]! < 0 ? penalty : 1 / penalty;
    return changed;
  }

  #pick(logits: Float32Array): number {
    const { temperature, topK, topP, minP } = this.#options;
    const best = largest(logits, 1)[0]!;
    if (temperature === 0) return best;
    const weightOf = (id: number) => Math.exp((logits[id]! - logits[best]!) / temperature);
    const candidates = this.#candidates(logits, weightOf, topK, topP).filter((id) => weightOf(id) >= minP);
    let left = this.#random() * candidates.reduce((total, id) => total + weightOf(id), 0);
    for (const id of candidates) {
      left -= weightOf(id);
      if (left < 0) return id;
    }
    return candidates.at(-1)!;
  }

  #candidates(logits: Float32Array, weightOf: (id: number) => number, topK: number, topP: number): number[] {
    const n = logits.length;
    if (topK >= n && topP === 1) return Array.from(logits.keys());
    let candidates: number[];
    if (topK < n) candidates = largest(logits, topK);
    else {
      // Whatever lies below this share cannot be among the fewest tokens that reach topP.
      const weights = Float64Array.from(logits.keys(), weightOf);
      const total = weights.reduce((a, b) => a + b, 0);
      const least = ((1 - topP) / Math.max(1, n - 1)) * total;
      const kept = [...weights.keys()].filter((id) => weights[id]! >= least);
      candidates = kept.sort((a, b) => weights[b]! - weights[a]! || a - b);
      if (topP < 1) return fewest(candidates, weightOf, topP * total);
    }
    const total = candidates.reduce((sum, id) => sum + weightOf(id), 0);
    return topP < 1 ? fewest(candidates, weightOf, topP * total) : candidates;
  }
}

/** The beginning of `sorted` whose weights reach `goal`; at least one. */
function fewest(sorted: number[], weightOf: (id: number) => number, goal: number): number[] {
  let sum = 0;
  const end = sorted.findIndex((id) => {
    sum += weightOf(id);
    return sum >= goal;
  });
  return end < 0 ? sorted : sorted.slice(0, end + 1);
}

function logSumExp(values: Float32Array): number {
  let max = -Infinity;
  for (const value of values) if (value > max || Number.isNaN(value)) max = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - max);
  return max + Math.log(sum);
}
