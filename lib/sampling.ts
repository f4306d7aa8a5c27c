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

/** The largest logits of a position: all that some choices need. */
export interface Likeliest {
  /** Largest logit first, of equals the lower id. */
  ids: ArrayLike<number>;
  /** Their logits, less any constant. */
  logits: ArrayLike<number>;
  /** −log of the probability of the first. */
  nll: number;
}

const mostLikeliest = 256; // as many as a device finds in one go

type WeightOf = (index: number) => number;

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

  /** How many of the likeliest tokens `chooseAmong` needs; undefined: only `choose`, from all logits, will do. */
  likeliestNeeded(vocabSize: number): number | undefined {
    const { temperature, topK, repetitionPenalty } = this.#options;
    const count = temperature === 0 ? 1 : topK;
    return repetitionPenalty === 1 && count <= mostLikeliest && count < vocabSize ? count : undefined;
  }

  /** One token from the logits of a position; `history` is what the repetition penalty looks at. */
  choose(logits: Float32Array, history: Iterable<number>): Choice {
    const logTotal = requireFinite(logSumExp(logits));
    const tokenId = this.#pick(this.#penalised(logits, history));
    return { tokenId, logprob: logits[tokenId]! - logTotal };
  }

  /** What `choose` gives, from as many of the likeliest as `likeliestNeeded` says. */
  chooseAmong({ ids, logits, nll }: Likeliest): Choice {
    requireFinite(nll);
    const weightOf = this.#weights(logits, 0);
    const sorted = Array.from(ids, (_, place) => place);
    const place = this.#options.temperature === 0 ? 0 : this.#draw(this.#mostLikely(sorted, weightOf), weightOf);
    return { tokenId: ids[place]!, logprob: logits[place]! - logits[0]! - nll };
  }

  #penalised(logits: Float32Array, history: Iterable<number>): Float32Array {
    const penalty = this.#options.repetitionPenalty;
    if (penalty === 1) return logits;
    const changed = logits.slice();
    for (const id of new Set(history)) changed[id]! *= changed[id]! < 0 ? penalty : 1 / penalty;
    return changed;
  }

  #pick(logits: Float32Array): number {
    const best = largest(logits, 1)[0]!;
    if (this.#options.temperature === 0) return best;
    const weightOf = this.#weights(logits, best);
    return this.#draw(this.#candidates(logits, weightOf), weightOf);
  }

  /** Probabilities at this temperature, over that of `best`. */
  #weights(logits: ArrayLike<number>, best: number): WeightOf {
    const { temperature } = this.#options;
    return (index) => Math.exp((logits[index]! - logits[best]!) / temperature);
  }

  #candidates(logits: Float32Array, weightOf: WeightOf): number[] {
    const { topK, topP } = this.#options;
    const n = logits.length;
    if (topK < n) return this.#mostLikely(largest(logits, topK), weightOf);
    if (topP === 1) return Array.from(logits.keys());
    // Whatever lies below this share cannot be among the fewest tokens that reach topP.
    const weights = Float64Array.from(logits.keys(), weightOf);
    const total = weights.reduce((a, b) => a + b, 0);
    const least = ((1 - topP) / Math.max(1, n - 1)) * total;
    const kept = [...weights.keys()].filter((id) => weights[id]! >= least);
    const sorted = kept.sort((a, b) => weights[b]! - weights[a]! || a - b);
    return fewest(sorted, weightOf, topP * total);
  }

  /** Those of the topK, likeliest first, that topP leaves. */
  #mostLikely(sorted: number[], weightOf: WeightOf): number[] {
    const { topP } = this.#options;
    const total = sorted.reduce((sum, index) => sum + weightOf(index), 0);
    return topP < 1 ? fewest(sorted, weightOf, topP * total) : sorted;
  }

  /** One of those that minP leaves. */
  #draw(candidates: number[], weightOf: WeightOf): number {
    const kept = candidates.filter((index) => weightOf(index) >= this.#options.minP);
    let left = this.#random() * kept.reduce((total, index) => total + weightOf(index), 0);
    for (const index of kept) {
      left -= weightOf(index);
      if (left < 0) return index;
    }
    return kept.at(-1)!;
  }
}

/** The beginning of `sorted` whose weights reach `goal`; at least one. */
function fewest(sorted: number[], weightOf: WeightOf, goal: number): number[] {
  let sum = 0;
  const end = sorted.findIndex((id) => {
    sum += weightOf(id);
    return sum >= goal;
  });
  return end < 0 ? sorted : sorted.slice(0, end + 1);
}

/** What is summed over all logits is NaN where one is NaN or +∞. */
function requireFinite(value: number): number {
  if (Number.isNaN(value)) wrongArgument("generate", "logits", "finite logits from the model", Number.NaN);
  return value;
}

function logSumExp(values: Float32Array): number {
  let max = -Infinity;
  for (const value of values) if (value > max || Number.isNaN(value)) max = value;
  let sum = 0;
  for (const value of values) sum += Math.exp(value - max);
  return max + Math.log(sum);
}
