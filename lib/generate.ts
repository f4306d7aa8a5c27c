// Tokens out: an async iterator over one generation, its text and its usage. What is produced is kept, so that text(),
// usage and the iterator may be used together and in any order.
import { ArgumentError } from "./errors.js";
import { Detokenizer } from "./formats/detokenizer.js";
import type { Tokenizer } from "./formats/tokenizer.js";
import type { ModelContext, Prompt } from "./model-context.js";
import type { DecoderConfig } from "./models/index.js";
import { checkedNumber, checkedOptions, checkedSignal, wrongArgument } from "./options.js";
import { type Choice, Sampler, type SamplingOptions, samplingOptionNames } from "./sampling.js";

export interface GenerateOptions extends SamplingOptions {
  /** Most tokens to generate; 256 if absent. It ends earlier at an end-of-text token or a stop string. */
  maxTokens?: number | undefined;
  /** Strings that end the text; they are not part of it. */
  stop?: string | readonly string[] | undefined;
  signal?: AbortSignal | undefined;
}

export interface GeneratedToken {
  /** What the token adds to the text: "" while a character or a possible stop string is incomplete. */
  text: string;
  tokenId: number;
  /** Natural log of the probability before temperature and filters. */
  logprob: number;
}

export interface Usage {
  promptTokens: number;
  /** Of the prompt's tokens, those that had been read before. */
  cachedTokens: number;
  completionTokens: number;
}

const defaultMaxTokens = 256;

export class Generation implements AsyncIterable<GeneratedToken> {
  readonly #source: AsyncGenerator<GeneratedToken, void>;
  readonly #counts: Usage;
  readonly #items: GeneratedToken[] = [];
  #pending: Promise<void> | undefined;
  #finished = false;
  #fault: { error: unknown } | undefined;

  constructor({ source, usage }: { source: AsyncGenerator<GeneratedToken, void>; usage: Usage }) {
    this.#source = source;
    this.#counts = usage;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<GeneratedToken, void> {
    try {
      for (let i = 0; await this.#has(i); i++) yield this.#items[i]!;
    } finally {
      this.#finished = true; // also when the reader leaves early
      await this.#pending;
      await this.#source.return();
    }
  }

  /** The whole text, when it is complete. */
  async text(): Promise<string> {
    await this.#drain();
    return this.#items.map(({ text }) => text).join("");
  }

  /** Counts, when the text is complete; asking for them runs it to its end. */
  get usage(): Promise<Usage> {
    return this.#drain().then(() => ({ ...this.#counts, completionTokens: this.#items.length }));
  }

  async #drain(): Promise<void> {
    for (let i = this.#items.length; await this.#has(i); ) i++;
  }

  /** Whether there is an item i; produces it if it is the next one. */
  async #has(i: number): Promise<boolean> {
    while (i >= this.#items.length && !this.#finished) {
      this.#pending ??= this.#produce().finally(() => {
        this.#pending = undefined;
      });
      await this.#pending;
    }
    if (i < this.#items.length) return true;
    if (this.#fault) throw this.#fault.error;
    return false;
  }

  async #produce(): Promise<void> {
    try {
      const { value, done } = await this.#source.next();
      if (done) this.#finished = true;
      else this.#items.push(value);
    } catch (error) {
      this.#fault = { error };
      this.#finished = true;
    }
  }
}

/** Holds text back as long as it may be the beginning of a stop string. */
export class StopStrings {
  readonly #stops: readonly string[];
  #held = "";
  /** A stop string was found; what follows it is dropped. */
  found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops;
  }

  push(text: string): string {
    this.#held += text;
    const places = this.#stops.map((stop) => this.#held.indexOf(stop)).filter((at) => at >= 0);
    if (places.length > 0) {
      this.found = true;
      return this.#release(Math.min(...places), true);
    }
    const longest = Math.max(0, ...this.#stops.map((stop) => stop.length - 1));
    let keep = Math.min(longest, this.#held.length);
    while (keep > 0 && !this.#stops.some((stop) => stop.startsWith(this.#held.slice(-keep)))) keep--;
    return this.#release(this.#held.length - keep, false);
  }
  /** The rest, when nothing follows. */
  flush(): string {
    return this.#release(this.#held.length, true);
  }

  #release(end: number, dropRest: boolean): string {
    const text = this.#held.slice(0, end);
    this.#held = dropRest ? "" : this.#held.slice(end);
    return text;
  }
}

function checkedStops(stop: unknown): string[] {
  const stops = stop === undefined || stop === null ? [] : Array.isArray(stop) ? stop : [stop];
  for (const item of stops)
    if (typeof item !== "string" || item === "") wrongArgument("generate", "stop", "strings that are not empty", item);
  return stops;
}

/** On a device the likeliest tokens are found there; all logits come down where the choice goes beyond them. */
async function chooseNext(
  context: ModelContext,
  sampler: Sampler,
  vocabSize: number,
  signal: AbortSignal | undefined,
): Promise<Choice> {
  const wanted = context.device === "cpu" ? undefined : sampler.wanted(vocabSize);
  const all = () => context.nextLogits(signal);
  if (wanted === undefined) return sampler.choose(await all(), context.tokens);
  return sampler.chooseAmong(await context.nextLikeliest(wanted, signal), all);
}

/** Checks the options at the call; tokens are made as the source is asked for them. */
export function generateTokens(
  context: ModelContext,
  tokenizer: Tokenizer,
  config: DecoderConfig,
  prompt: Prompt | undefined,
  given: GenerateOptions | undefined,
): { source: AsyncGenerator<GeneratedToken, void>; usage: Usage } {
  const options = checkedOptions("generate", given, ["maxTokens", "stop", "signal", ...samplingOptionNames]);
  const maxTokens =
    checkedNumber("generate", "maxTokens", options.maxTokens, { integer: true, min: 0 }) ?? defaultMaxTokens;
  const stops = new StopStrings(checkedStops(options.stop));
  const signal = checkedSignal("generate", options.signal);
  const sampler = new Sampler("generate", options);
  const usage = { promptTokens: 0, cachedTokens: 0, completionTokens: 0 };

  async function start(): Promise<void> {
    usage.cachedTokens = context.length;
    if (prompt !== undefined) {
      const tokens = await context.encode("generate", prompt, signal);
      await context.exclusive(() => context.extend(tokens, undefined, signal));
    }
    if (context.length === 0 && config.bosTokenId !== undefined) context.push(config.bosTokenId);
    if (context.length === 0)
      throw new ArgumentError("generate: there is nothing to continue: give a prompt, or prefill one first", {
        op: "generate",
        argument: "prompt",
      });
    usage.promptTokens = context.length;
  }

  async function* source(): AsyncGenerator<GeneratedToken, void> {
    await start();
    const wanted = tokenizer.available || options.stop !== undefined;
    const detokenizer = wanted ? new Detokenizer(tokenizer, context.tokens) : undefined;
    for (let count = 1; count <= maxTokens; count++) {
      const isLast = count === maxTokens;
      const { tokenId, logprob } = await context.exclusive(async () => {
        signal?.throwIfAborted();
        context.requireRoom(1);
        const choice = await chooseNext(context, sampler, config.vocabSize, signal);
        context.push(choice.tokenId);
        return choice;
      });
      const ends = config.eosTokenIds.includes(tokenId);
      if (!ends && !isLast) context.runAhead(signal);
      let text = ends || !detokenizer ? "" : stops.push(await detokenizer.push(tokenId));
      if ((ends || isLast) && !stops.found) text += stops.flush();
      yield { text, tokenId, logprob };
      if (ends || stops.found) return;
    }
  }
  return { source: source(), usage };
}
