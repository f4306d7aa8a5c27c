// Block patterns made by rule or by dice: BigBird, BlockBERT; groups that shift: LongLoRA.
import { ArgumentError } from "../errors.js";
import { checkedNumber, checkedOptions } from "../options.js";
import { randomNumbers } from "../random.js";
import { blockGrid, blockRows } from "./blocks.js";
import { Pattern, type PatternLengths, type PatternSpec } from "./pattern.js";

export interface BigBirdOptions {
  /** Tokens in a block; 64 if absent. */
  blockSize?: number;
  /** Random blocks of each middle row; 3 if absent. */
  randomBlocks?: number;
  /** Blocks of the window, an odd number; 3 if absent. */
  windowBlocks?: number;
  /** Blocks at each end that are global: 1 of them at the start and 1 at the end if absent. */
  globalBlocks?: number;
  /** The random blocks themselves: [heads][rows of blocks][…], rows of the global blocks unused. */
  table?: readonly (readonly (readonly number[])[])[];
  /** Heads that get random blocks of their own; 1 if absent: all heads share them. */
  numHeads?: number;
  seed?: number;
}

function randomRow(next: () => number, taken: Set<number>, numBlocks: number, count: number): number[] {
  const free = Array.from({ length: numBlocks }, (_, block) => block).filter((block) => !taken.has(block));
  const chosen: number[] = [];
  while (chosen.length < count && free.length > 0) {
    const at = Math.floor(next() * free.length);
    chosen.push(free[at] as number);
    free[at] = free.at(-1) as number;
    free.pop();
  }
  return chosen;
}

/** Up to `count` random blocks outside `taken`, without listing all: for long rows. */
function sparseRandomRow(next: () => number, taken: Set<number>, numBlocks: number, count: number): number[] {
  if (numBlocks < 4 * (taken.size + count)) return randomRow(next, taken, numBlocks, count);
  const chosen = new Set<number>();
  while (chosen.size < count) {
    const block = Math.floor(next() * numBlocks);
    if (!taken.has(block)) chosen.add(block);
  }
  return [...chosen];
}

/**
 * BigBird (Zaheer et al. 2020, internal blocks): a row of blocks sees the window around it, the global blocks at both ends
 * and `randomBlocks` others; rows of global blocks see all. A random block that is in the window counts once. The
 * published plan is random too: give `table` for weights that were trained with one.
 */
export function bigBird(options: BigBirdOptions = {}): Pattern {
  const op = "bigBird";
  const names = ["blockSize", "randomBlocks", "windowBlocks", "globalBlocks", "table", "numHeads", "seed"];
  const given = checkedOptions(op, options, names);
  const whole = (name: keyof BigBirdOptions, absent: number, min: number) =>
    checkedNumber(op, name, given[name] ?? absent, { integer: true, min }) as number;
  const size = whole("blockSize", 64, 1);
  const randomBlocks = whole("randomBlocks", 3, 0);
  const windowBlocks = whole("windowBlocks", 3, 1);
  const ends = whole("globalBlocks", 1, 0);
  const numHeads = given.table?.length ?? whole("numHeads", 1, 1);
  if (windowBlocks % 2 === 0)
    throw new ArgumentError(`bigBird: windowBlocks must be odd, got ${windowBlocks}`, { op, argument: "windowBlocks" });
  const half = (windowBlocks - 1) / 2;
  const head = (h: number, lengths: PatternLengths): PatternSpec => {
    const { firstRow, endRow, endColumn } = blockGrid({ q: size, kv: size }, lengths);
    const isGlobal = (block: number) => block < ends || block >= endColumn - ends;
    const next = randomNumbers((given.seed ?? 0) * 65537 + h);
    const rows: number[][] = [];
    for (let row = 0; row < endRow; row++) {
      const seen = new Set<number>();
      for (let block = Math.max(row - half, 0); block <= Math.min(row + half, endColumn - 1); block++) seen.add(block);
      for (let i = 0; i < ends; i++) seen.add(Math.min(i, endColumn - 1)).add(Math.max(endColumn - 1 - i, 0));
      const random = given.table
        ? tableRow(given.table, h, row, endColumn, isGlobal(row))
        : sparseRandomRow(next, seen, endColumn, isGlobal(row) ? 0 : randomBlocks); // drawn for every row, used or not
      if (row < firstRow) continue;
      for (const block of random) seen.add(block);
      const all = () => Array.from({ length: endColumn }, (_, block) => block);
      rows.push(isGlobal(row) ? all() : [...seen].sort((a, b) => a - b));
    }
    return blockRows({ q: size, kv: size }, rows, firstRow);
  };
  const facts = { title: "BigBird", byLength: true, ...(numHeads > 1 ? { numHeads } : {}) };
  return new Pattern((lengths) => {
    if (numHeads === 1) return head(0, lengths);
    return { kind: "perHead", of: Array.from({ length: numHeads }, (_, h) => head(h, lengths)) };
  }, facts);
}

function tableRow(
  table: NonNullable<BigBirdOptions["table"]>,
  head: number,
  row: number,
  numBlocks: number,
  isGlobal: boolean,
): readonly number[] {
  const blocks = isGlobal ? [] : table[head]?.[row];
  const good = blocks?.every((block) => Number.isSafeInteger(block) && block >= 0 && block < numBlocks);
  if (blocks && good) return blocks;
  throw new ArgumentError(
    `bigBird: table[${head}][${row}] must list blocks in [0, ${numBlocks}), got ${blocks ? `[${blocks}]` : "nothing"}`,
    { op: "bigBird", argument: "table" },
  );
}

/**
 * BlockBERT (Qiu et al. 2020): the sequence is cut in as many equal blocks as a permutation has entries, and block b sees
 * block permutation[b]. A list of permutations is one for each head (the paper: the identity for most, cyclic shifts for
 * the rest).
 */
export function blockBert(options: { permutations: readonly (readonly number[])[]; causal?: boolean }): Pattern {
  const op = "blockBert";
  const { permutations = [], causal = false } = checkedOptions(op, options, ["permutations", "causal"]);
  for (const permutation of permutations)
    if ([...permutation].sort((a, b) => a - b).some((block, i) => block !== i) || permutation.length === 0)
      throw new ArgumentError(`blockBert: expected a permutation of 0 … n − 1, got [${permutation}]`, {
        op,
        argument: "permutations",
      });
  if (permutations.length === 0)
    throw new ArgumentError("blockBert: expected at least one permutation", { op, argument: "permutations" });
  const head = (permutation: readonly number[], { seqLenKV }: PatternLengths): PatternSpec => {
    const size = Math.max(Math.ceil(seqLenKV / permutation.length), 1);
    const numBlocks = Math.ceil(seqLenKV / size);
    const rows = permutation.map((block) => (block < numBlocks ? [block] : []));
    return blockRows({ q: size, kv: size }, rows, 0, causal ? { kind: "causal" } : undefined);
  };
  const title = "BlockBERT";
  if (permutations.length === 1)
    return new Pattern((lengths) => head(permutations[0] as readonly number[], lengths), { title, byLength: true });
  return new Pattern((lengths) => ({ kind: "perHead", of: permutations.map((p) => head(p, lengths)) }), {
    title,
    byLength: true,
    numHeads: permutations.length,
  });
}

/**
 * Shifted sparse attention (Chen et al. 2023, LongLoRA's S²-Attn): groups of `group` tokens; in the second half of the heads
 * the groups are shifted by half a group. This is the path of the repository that uses flash attention: the first and
 * the last shifted group are half as long. Its other path rolls the sequence, so that the last shifted group mixes the
 * end with the beginning and early tokens see late ones: that leak is not offered.
 */
export function longLora(options: { group: number; numHeads: number; causal?: boolean }): Pattern {
  const op = "longLora";
  const given = checkedOptions(op, options, ["group", "numHeads", "causal"]);
  const rule = { integer: true, min: 2 };
  const group = checkedNumber(op, "group", given.group, rule) ?? 0;
  const numHeads = checkedNumber(op, "numHeads", given.numHeads, rule) ?? 0;
  if (group % 2) throw new ArgumentError(`longLora: group must be even, got ${group}`, { op, argument: "group" });
  const causal = given.causal ?? true;
  const half = (shift: number): PatternSpec => ({ kind: "chunks", size: group, shift, causal });
  const of = Array.from({ length: numHeads }, (_, h) => half(h < numHeads / 2 ? 0 : group / 2));
  return new Pattern({ kind: "perHead", of }, { title: "LongLoRA S²", numHeads });
}
