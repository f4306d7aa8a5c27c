// Patterns chosen by content: a selector has the parameters of a paper; select(q, k) looks at the tensors and gives the
// pattern of exactly these queries and keys.
import { checkedNumber, checkedOptions, wrongArgument } from "../options.js";
import { shapeOf, type Tensor, type TensorLike, unscoped } from "../tensor.js";
import { Pattern, type PatternSpec } from "./pattern.js";

/** What a selection made of lists of blocks: the specification, and how many sequences and heads it is for. */
interface Chosen {
  spec: PatternSpec;
  /** A tensor [batch, heads, …] of the lists. */
  lists: Tensor;
}
export type Choose = (q: Tensor, k: Tensor, base: number) => Chosen;

/** Chooses by content which keys queries see. Made by the factories of `patterns`. */
export class Selector {
  readonly #title: string;
  readonly #choose: Choose;
  constructor(title: string, choose: Choose) {
    this.#title = title;
    this.#choose = choose;
  }
  /**
   * The pattern for these queries [batch, seqLenQ, numHeads, headDim] and keys [batch, seqLenKV, numKVHeads, headDim],
   * after their rotation where positions are rotary. It fits calls of this batch, these heads and lengths, and no
   * other. Returns at once: the lists are computed behind what is in the queue. Throws ShapeError, DTypeError,
   * ArgumentError, UnsupportedError, OutOfMemoryError, QueueFullError.
   */
  select(q: TensorLike, k: TensorLike): Pattern {
    const [seqLenQ = 0, seqLenKV = 0, numHeads = 0] = [shapeOf(q)?.[1], shapeOf(k)?.[1], shapeOf(q)?.[2]];
    const base = Math.max(seqLenKV - seqLenQ, 0);
    const { spec, lists } = unscoped(() => this.#choose(q as Tensor, k as Tensor, base));
    const [batches = 1, heads = 1] = lists.shape;
    return new Pattern(spec, {
      title: this.#title,
      lengths: { seqLenQ, seqLenKV },
      batches,
      ...(heads > 1 ? { numHeads } : {}),
    });
  }
}

type Rule = Parameters<typeof checkedNumber>[3] & { required?: boolean };
/** Positive integers, for most parameters. */
export const count: Rule = { integer: true, min: 1, max: 2 ** 30 };
export const countOrNone: Rule = { ...count, min: 0 };
export const required: Rule = { ...count, required: true };

/** The options with every number within its rule and every flag a boolean; only those that were given. */
export function parameters<T extends object>(
  op: string,
  given: T | undefined,
  rules: Record<string, Rule>,
  flags: readonly string[] = [],
): T {
  const options = checkedOptions(op, given, [...Object.keys(rules), ...flags]) as Record<string, unknown>;
  const checked: Record<string, unknown> = {};
  for (const [name, { required, ...rule }] of Object.entries(rules)) {
    const value = checkedNumber(op, name, options[name], rule);
    if (value === undefined && required) wrongArgument(op, name, "a number", options[name]);
    if (value !== undefined) checked[name] = value;
  }
  for (const name of flags) {
    const value = options[name];
    if (value === undefined) continue;
    if (typeof value !== "boolean") wrongArgument(op, name, "true or false", value);
    checked[name] = value;
  }
  return checked as T;
}

export const causalSpec: PatternSpec = { kind: "causal" };

/** Lists of blocks for rows of blockQ positions from that of query 0 on. */
export function chosenBlocks(
  columns: Tensor,
  { blockQ, blockKV, base }: { blockQ: number; blockKV: number; base: number },
  causal: boolean,
): PatternSpec {
  const firstRow = Math.floor(base / blockQ);
  return { kind: "blocks", blockQ, blockKV, firstRow, columns, ...(causal ? { of: [causalSpec] } : {}) };
}

/** A selector whose lists are blocks, and nothing else. */
export function blockSelector(
  title: string,
  run: (q: Tensor, k: Tensor) => Tensor,
  { blockQ, blockKV, causal }: { blockQ: number; blockKV: number; causal: boolean },
): Selector {
  return new Selector(title, (q, k, base) => {
    const lists = run(q, k);
    return { lists, spec: chosenBlocks(lists, { blockQ, blockKV, base }, causal) };
  });
}
