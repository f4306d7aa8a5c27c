// From logits to a token: repetition penalty, temperature, topK, topP, minP in that order (as transformers), then one
// draw: the likeliest `headLength` tokens come first, the likeliest of all foremost, then the others by id, with topP by
// likelihood. So most draws end among the first, which a device finds, and only a draw beyond them needs all logits.
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

/** The first tokens of the order in which they are drawn: all that most choices need. */
export interface Likeliest {
  /** Largest logit first, of equals the lower id. */
  ids: ArrayLike<number>;
  /** Their logits, less any constant. */
  logits: ArrayLike<number>;
  /** −log of the probability of the first. */
  nll: number;
  /** The same at the temperature of the draw, where there are more tokens to draw from than these. */
  drawNll?: number | undefined;
}

/** What to find of a position for a choice. */
export interface Wanted {
  count: number;
  /** Where the tokens to draw from are more than `count`: drawNll is wanted. */
  temperature?: number;
}

const headLength = 256; // as many as a device finds in one go

type WeightOf = (logit: number) => number;

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

  /** What `chooseAmong` is to be given; undefined: only `choose`, from all logits, will do. */
  wanted(vocabSize: number): Wanted | undefined {
    const { temperature, topK, repetitionPenalty } = this.#options;
    if (repetitionPenalty !== 1) return undefined;
    if (temperature === 0) return { count: 1 };
    if (topK > headLength && topK < vocabSize) return undefined;
    const candidates = Math.min(topK, vocabSize);
    return candidates <= headLength ? { count: candidates } : { count: headLength, temperature };
  }

  /** One token from the logits of a position; `history` is what the repetition penalty looks at. */
  choose(logits: Float32Array, history: Iterable<number>): Choice {
    return this.#chooseAt(this.#random(), logits, history);
  }

  /** What `choose` gives, from what is `wanted`; only where the draw goes beyond that from `all` logits. */
  async chooseAmong(found: Likeliest, all: () => Promise<Float32Array>): Promise<Choice> {
    const { ids, logits, nll, drawNll } = found;
    requireFinite(nll);
    const point = this.#random();
    const weights = Float64Array.from(logits, this.#weightOf(logits[0]!));
    const isAll = drawNll === undefined;
    const total = isAll ? sum(weights) : Math.exp(drawNll);
    const canTell = Number.isFinite(total); // logits over a tiny temperature exceed float32
    const place = ids.length === 1 ? 0 : canTell ? this.#place(point, weights, total, isAll) : undefined;
    if (place === undefined) return this.#chooseAt(point, await all(), []);
    return { tokenId: ids[place]!, logprob: logits[place]! - logits[0]! - nll };
  }

  #chooseAt(point: number, logits: Float32Array, history: Iterable<number>): Choice {
    const logTotal = requireFinite(logSumExp(logits));
    const tokenId = this.#pick(point, this.#penalised(logits, history));
    return { tokenId, logprob: logits[tokenId]! - logTotal };
  }

  #penalised(logits: Float32Array, history: Iterable<number>): Float32Array {
    const penalty = this.#options.repetitionPenalty;
    if (penalty === 1) return logits;
    const changed = logits.slice();
    for (const id of new Set(history)) changed[id]! *= changed[id]! < 0 ? penalty : 1 / penalty;
    return changed;
  }

  #pick(point: number, logits: Float32Array): number {
    const { temperature, topK } = this.#options;
    if (temperature === 0) return largest(logits, 1)[0]!;
    const n = logits.length;
    const head = largest(logits, topK < n ? topK : Math.min(headLength, n));
    const weightOf = this.#weightOf(logits[head[0]!]!);
    const weights = Float64Array.from(head, (id) => weightOf(logits[id]!));
    const isAll = head.length === Math.min(topK, n);
    const total = isAll ? sum(weights) : sum(logits, weightOf);
    const place = this.#place(point, weights, total, isAll);
    if (place !== undefined) return head[place]!;
    return this.#options.topP < 1
      ? this.#pickOfNucleus(point, logits, weightOf, total)
      : this.#pickBeyond(point, logits, weightOf, total, head);
  }

  /** The probability of a logit at this temperature, over that of the largest. */
  #weightOf(largest: number): WeightOf {
    const { temperature } = this.#options;
    return (logit) => Math.exp((logit - largest) / temperature);
  }

  /**
   * Where the draw falls among the first of the order, by their weights; undefined: those do not say. `total` is the
   * weight of all that topK leaves, `isAll` whether these are all of them.
   */
  #place(point: number, weights: Float64Array, total: number, isAll: boolean): number | undefined {
    const { topP, minP } = this.#options;
    const goal = topP < 1 ? topP * total : Infinity;
    let kept = 0;
    let end = 0;
    for (; end < weights.length && kept < goal && weights[end]! >= minP; end++) kept += weights[end]!;
    const isKnown = isAll || end < weights.length || kept >= goal;
    if (!isKnown && (topP < 1 || minP > 0)) return undefined;
    let left = point * (isKnown ? kept : total);
    for (let place = 0; place < end; place++) {
      left -= weights[place]!;
      if (left < 0) return place;
    }
    return isKnown ? weights.subarray(0, end).findLastIndex((weight) => weight > 0) : undefined; // rounding
  }

  /** By likelihood, where topP leaves more than the head. */
  #pickOfNucleus(point: number, logits: Float32Array, weightOf: WeightOf, total: number): number {
    // Whatever lies below this share cannot be among the fewest tokens that reach topP.
    const least = ((1 - this.#options.topP) / Math.max(1, logits.length - 1)) * total;
    const ids = [...logits.keys()].filter((id) => weightOf(logits[id]!) >= least);
    const sorted = ids.sort((a, b) => logits[b]! - logits[a]! || a - b);
    const weights = Float64Array.from(sorted, (id) => weightOf(logits[id]!));
    return sorted[this.#place(point, weights, total, true)!]!;
  }

  /** Behind the head by id: those that minP leaves. */
  #pickBeyond(point: number, logits: Float32Array, weightOf: WeightOf, total: number, head: number[]): number {
    const { minP } = this.#options;
    const kept: WeightOf = (logit) => {
      const weight = weightOf(logit);
      return weight >= minP ? weight : 0;
    };
    let left = point * (minP > 0 ? sum(logits, kept) : total);
    for (const id of head) {
      left -= weightOf(logits[id]!);
      if (left < 0) return id;
    }
    const isHead = new Set(head);
    let last = head[0]!;
    for (let id = 0; id < logits.length; id++) {
      const weight = isHead.has(id) ? 0 : kept(logits[id]!);
      left -= weight;
      if (weight > 0) last = id;
      if (weight > 0 && left < 0) return id;
    }
    return last; // rounding
  }
}

function sum(values: ArrayLike<number>, of: WeightOf = (value) => value): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += of(values[i]!);
  return total;
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
