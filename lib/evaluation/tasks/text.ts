// Text tasks become tokens part by part, so that a prompt can be filled to an exact length in the model's own tokens.
import { ArgumentError } from "../../errors.js";
import type { Tokenizer } from "../../formats/tokenizer.js";

/** The haystack, over and over. It holds no digit, so that nothing in it looks like an answer. */
const filler =
  " Rain falls on the roof. The cat sleeps by the window. A cart rolls past the gate. Bread is in the oven." +
  " The clock ticks in the hall. Somebody sweeps the yard. The lamp is lit. Snow may come later.";

export function encode(tokenizer: Tokenizer, text: string): Promise<number[]> {
  return tokenizer.encode(text, { addSpecialTokens: false });
}

/** The first `count` tokens of the haystack; as in the passkey task of the literature it may end within a sentence. */
export async function fillerSource(tokenizer: Tokenizer): Promise<(count: number) => number[]> {
  const once = await encode(tokenizer, filler);
  return (count) => Array.from({ length: count }, (_, i) => once[i % once.length]!);
}

/** A question and its answer, cut where the tokens of both together allow it. */
export async function asking(
  tokenizer: Tokenizer,
  question: string,
  answer: string,
): Promise<{ question: number[]; answer: number[] }> {
  const [whole, alone] = await Promise.all([encode(tokenizer, question + answer), encode(tokenizer, question)]);
  let shared = 0;
  while (shared < alone.length && alone[shared] === whole[shared]) shared++;
  return { question: whole.slice(0, shared), answer: whole.slice(shared) };
}

/** Text tasks need a vocabulary that can spell what is asked for. */
export async function requireSpelling(tokenizer: Tokenizer, task: string, word: string): Promise<void> {
  const text = await tokenizer.decode(await encode(tokenizer, word));
  if (text.replace(/\s/g, "") === word) return;
  throw new ArgumentError(`${task}: the model's vocabulary cannot write "${word}": it reads back as "${text}"`, {
    op: task,
    argument: "task",
  });
}
