// A text as tokens, and the lengths it is long enough for.
import { neededTokens } from "../evaluation/index.js";
import { ArgumentError, type Model } from "../index.js";

/** The first `count` tokens of a text, or all. */
export async function tokensOf(
  model: Model,
  text: string,
  { count = Number.POSITIVE_INFINITY, signal }: { count?: number | undefined; signal: AbortSignal },
): Promise<Int32Array> {
  const found: number[] = [];
  for await (const ids of model.tokenizer.encodeStream([text], { addSpecialTokens: false })) {
    signal.throwIfAborted();
    for (const id of ids) found.push(id);
    if (found.length >= count) break;
  }
  return Int32Array.from(found.slice(0, count));
}

/** Of ascending lengths, those that the tokens are enough for; a line on stderr names the others. */
export function fittingLengths(
  wanted: readonly number[],
  tokens: number,
  { op, file, hint, windows = 1 }: { op: string; file: string; hint: string; windows?: number },
): number[] {
  const lengths = wanted.filter((length) => neededTokens(length, windows) <= tokens);
  const first = wanted[0]!;
  if (lengths.length === 0) {
    const needed =
      windows === 1
        ? `the shortest length, ${first}`
        : `the ${neededTokens(first, windows)} that ${windows} windows of the shortest length, ${first}, take`;
    throw new ArgumentError(`${file}: has ${tokens} tokens, fewer than ${needed}`, { op, argument: "lengths" });
  }
  const left = wanted.slice(lengths.length);
  if (left.length > 0)
    process.stderr.write(`longspan: left out ${left.join(", ")}: the text gives ${tokens} tokens (${hint})\n`);
  return lengths;
}
