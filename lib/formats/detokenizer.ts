// Text of tokens as they come. A token may hold part of a character, and its text may depend on the token before it
// (leading spaces), so a small window is decoded twice, without and with the new tokens, and the difference given out
// once it ends in a whole character.
import type { Tokenizer } from "./tokenizer.js";

/** A character has at most 4 bytes and a token at least one: what is held longer than this will never be whole. */
const longestCharacter = 4;

export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #context: number[]; // given out already
  #held: number[] = [];

  /** `before` are the tokens that the text continues. */
  constructor(tokenizer: Tokenizer, before: readonly number[]) {
    this.#tokenizer = tokenizer;
    this.#context = before.slice(-longestCharacter);
  }

  /** The text that `id` completes: "" while a character is still in pieces. */
  async push(id: number): Promise<string> {
    this.#held.push(id);
    const lists = [this.#context, [...this.#context, ...this.#held]];
    const [before, after] = (await this.#tokenizer.decodeEach(lists, { skipSpecialTokens: true })) as [string, string];
    const text = after.slice(commonLength(before, after));
    if (text === "" && this.#held.length <= longestCharacter) return "";
    if (text.endsWith("\uFFFD") && this.#held.length <= longestCharacter) return "";
    this.#context = this.#held;
    this.#held = [];
    return text;
  }
}

function commonLength(a: string, b: string): number {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return length;
}
