// What a model has read: tokens, their keys and values, and how positions and attention are set for them. Steps on one
// context run one after the other; a step that fails or is aborted leaves the context as it was.
import type { CacheAttentionOptions, KVCache, KVDType } from "./cache/kv-cache.js";
import { ContextOverflowError, DisposedError } from "./errors.js";
import { readTextFile } from "./formats/text-file.js";
import type { Tokenizer } from "./formats/tokenizer.js";
import { Generation, type GenerateOptions, generateTokens } from "./generate.js";
import { log } from "./log.js";
import { checkedTokens, type ModelRunner } from "./model-runner.js";
import { type ModelSettings, type PassSettings, passSettings } from "./model-settings.js";
import {
  checkedChoice,
  checkedFunction,
  checkedNumber,
  checkedOptions,
  checkedSignal,
  wrongArgument,
} from "./options.js";
import { native } from "./binding.js";
import { sameRotary } from "./positions/index.js";
import type { Likeliest, Wanted } from "./sampling.js";
import { likeliest } from "./sampling-on-device.js";
import { scope, type Tensor } from "./tensor.js";

/** Text, token ids, or the path of a UTF-8 text file. */
export type Prompt = string | { tokens: readonly number[] | Int32Array } | { file: string };

export interface Progress {
  phase: "load" | "tokenize" | "prefill";
  /** Layers, tokens found, tokens read. */
  done: number;
  /** undefined while the number of tokens is not known. */
  total: number | undefined;
  tokensPerSecond?: number;
  etaMs?: number;
}

export interface PrefillOptions {
  onProgress?: ((progress: Progress) => void) | undefined;
  signal?: AbortSignal | undefined;
}

export interface ContextOptions extends ModelSettings {
  /** Most tokens it may hold; more is a ContextOverflowError. Without it the cache grows as memory allows. */
  contextSize?: number | undefined;
  /**
   * float32, or bfloat16 at half the memory. On a CUDA device also int8 or float8 (e4m3), at about a quarter: each key
   * and each value of a head has a scale. On the CPU they are an UnsupportedError.
   */
  kvDtype?: KVDType | "f32" | "bf16" | undefined;
  /**
   * For position schemes that depend on the length (dynamic, longrope, clex). "fixed", the default: the length is
   * contextSize, or that of the first prompt where none is given, and stays; the result equals one pass with those
   * frequencies. "reprefill": always that of the text so far, as if it were read in one pass; when other frequencies
   * follow from it, all tokens are read anew, which dynamic NTK asks for at every token beyond the trained length.
   */
  lengthPolicy?: "fixed" | "reprefill" | undefined;
  /** What happens to tokens beyond contextSize. */
  overflow?: "error" | undefined;
}

export const contextOptionNames = ["contextSize", "kvDtype", "ropeScaling", "attention", "lengthPolicy", "overflow"];

const kvDTypes = {
  float32: "float32",
  f32: "float32",
  bfloat16: "bfloat16",
  bf16: "bfloat16",
  int8: "int8",
  float8: "float8",
} as const satisfies Record<string, KVDType>;

const limited = ({ window, pattern }: CacheAttentionOptions) => window !== undefined || pattern !== undefined;

export class ModelContext {
  /** Most tokens it may hold; undefined: as many as memory allows. */
  readonly contextSize: number | undefined;
  readonly cache: KVCache;
  readonly #runner: ModelRunner;
  readonly #tokenizer: Tokenizer;
  readonly #lengthPolicy: "fixed" | "reprefill";
  #settings: PassSettings;
  readonly #onDispose: (context: ModelContext) => void;
  #tokens: number[] = [];
  #logits: Tensor | undefined; // of the last token, when it has been run
  #last: Promise<unknown> = Promise.resolve();
  #disposed = false;
  #warned: boolean;

  constructor(
    runner: ModelRunner,
    tokenizer: Tokenizer,
    modelSettings: ModelSettings,
    given: ContextOptions | undefined,
    onDispose: (context: ModelContext) => void,
  ) {
    const op = "createContext";
    const options = checkedOptions(op, given, contextOptionNames);
    this.contextSize = checkedNumber(op, "contextSize", options.contextSize, { integer: true, min: 1 });
    this.#lengthPolicy = checkedChoice(op, "lengthPolicy", options.lengthPolicy, ["fixed", "reprefill"]) ?? "fixed";
    checkedChoice(op, "overflow", options.overflow, ["error"]);
    const kvDtype = checkedChoice(op, "kvDtype", options.kvDtype, Object.keys(kvDTypes) as (keyof typeof kvDTypes)[]);
    const settings = {
      ropeScaling: options.ropeScaling === undefined ? modelSettings.ropeScaling : options.ropeScaling,
      attention: options.attention === undefined ? modelSettings.attention : options.attention,
    };
    const seqLen = this.#lengthPolicy === "fixed" ? this.contextSize : undefined;
    this.#settings = passSettings(op, runner.config, settings, seqLen);
    // Only a context that goes beyond what the model promises, and does nothing about it, is worth a warning.
    this.#warned = settings.ropeScaling !== undefined || this.#settings.attention.every(limited);
    this.#runner = runner;
    this.#tokenizer = tokenizer;
    this.#onDispose = onDispose;
    this.cache = runner.createCache(this.#settings, kvDtype && kvDTypes[kvDtype]);
  }

  /** Tokens read and generated. */
  get length(): number {
    return this.#tokens.length;
  }
  get tokens(): readonly number[] {
    return this.#tokens;
  }
  get device(): string {
    return this.#runner.device;
  }

  /** Reads a prompt behind what was read before; special tokens are added at the beginning only. */
  async prefill(prompt: Prompt, options?: PrefillOptions): Promise<{ promptTokens: number }> {
    const { onProgress, signal } = checkedOptions("prefill", options, ["onProgress", "signal"]);
    checkedFunction("prefill", "onProgress", onProgress);
    checkedSignal("prefill", signal);
    return this.exclusive(async () => {
      const tokens = await this.#tokensOf("prefill", prompt, onProgress, signal);
      await this.extend(tokens, onProgress, signal);
      return { promptTokens: tokens.length };
    });
  }

  /** Continues behind the prompt, or behind what was read before. */
  generate(prompt?: Prompt, options?: GenerateOptions): Generation {
    return new Generation(generateTokens(this, this.#tokenizer, this.#runner.config, prompt, options));
  }

  // What follows is for the rest of this floor: steps, and what may be done within one.

  /** Runs `step` after all earlier steps of this context. */
  async exclusive<T>(step: () => Promise<T>): Promise<T> {
    const run = this.#last.then(() => {
      if (this.#disposed) throw new DisposedError("the context was disposed", { object: "Context" });
      return step();
    });
    this.#last = run.catch(() => {});
    return run;
  }

  /** The tokens of a prompt, in a step of its own. */
  async encode(op: string, prompt: Prompt, signal: AbortSignal | undefined): Promise<Int32Array> {
    return this.exclusive(() => this.#tokensOf(op, prompt, undefined, signal));
  }

  /** Within a step: runs the tokens behind those read. */
  async extend(
    added: ArrayLike<number>,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal | undefined,
  ): Promise<void> {
    this.requireRoom(added.length);
    this.#setLength(this.#tokens.length + added.length);
    await this.#run(added, onProgress, signal);
  }

  /** Runs the tokens whose keys are missing, then `added`. */
  async #run(
    added: ArrayLike<number>,
    onProgress?: (progress: Progress) => void,
    signal?: AbortSignal | undefined,
  ): Promise<void> {
    const pending = this.#tokens.slice(this.cache.length);
    const tokens = Int32Array.from([...pending, ...Array.from(added)]);
    if (tokens.length === 0) return;
    const begun = performance.now();
    const total = tokens.length;
    let logits: Tensor | undefined;
    await this.#runner.run(tokens, {
      cache: this.cache,
      settings: this.#settings,
      signal,
      onChunk: (x, start) => {
        const count = x.shape[0]!;
        if (start + count < total) return;
        logits = scope(() => this.#runner.decoder.logits(x.narrow(0, count - 1, 1)));
      },
      onDone: (done) => {
        const seconds = (performance.now() - begun) / 1000;
        const etaMs = ((total - done) * seconds * 1000) / done;
        onProgress?.({ phase: "prefill", done, total, tokensPerSecond: done / seconds, etaMs });
      },
    });
    for (const id of Array.from(added)) this.#tokens.push(id);
    this.#warnOfLength();
    this.#logits?.dispose();
    this.#logits = logits;
  }

  /** Within a step: a token that was chosen; runAhead or nextLogits runs it. */
  push(id: number): void {
    this.#tokens.push(id);
  }

  /** Runs the tokens that were pushed while the caller does something else; a failure shows at nextLogits. */
  runAhead(signal: AbortSignal | undefined): void {
    this.exclusive(() => this.extend([], undefined, signal)).catch(() => {});
  }

  /** Within a step: the logits behind the last token. */
  async nextLogits(signal?: AbortSignal | undefined): Promise<Float32Array> {
    const logits = await this.#next(signal);
    return (await logits.data({ ...(signal && { signal }) })) as Float32Array;
  }
  /** Within a step: of those logits the largest, found on the model's device. */
  async nextLikeliest(wanted: Wanted, signal?: AbortSignal | undefined): Promise<Likeliest> {
    return likeliest(await this.#next(signal), wanted, signal);
  }
  async #next(signal: AbortSignal | undefined): Promise<Tensor> {
    if (this.cache.length < this.#tokens.length || !this.#logits) await this.extend([], undefined, signal);
    return this.#logits!;
  }

  /** Model.forward behind this context: `compute` runs `added` with the context's settings. */
  async forward(compute: (settings: PassSettings) => Promise<Tensor>, added: ArrayLike<number>): Promise<Tensor> {
    return this.exclusive(async () => {
      this.requireRoom(added.length);
      this.#setLength(this.#tokens.length + added.length);
      if (this.cache.length < this.#tokens.length) await this.#run([]);
      const logits = await compute(this.#settings);
      for (const id of Array.from(added)) this.#tokens.push(id);
      const last = logits.shape[0]! - 1;
      this.#logits?.dispose();
      this.#logits = scope(() => native.concatenate([logits.narrow(0, last, 1)], 0));
      return logits;
    });
  }

  /** Settings for `total` tokens; keys that were rotated otherwise are dropped, so that their tokens are run again. */
  #setLength(total: number): void {
    const { atLength, rotary } = this.#settings;
    const isChosen = this.#lengthPolicy === "fixed" && (this.contextSize !== undefined || this.cache.length > 0);
    if (!atLength || isChosen) return;
    this.#settings = atLength(total);
    const isSame = this.#settings.rotary.every((own, layer) => sameRotary(own, rotary[layer]!));
    if (!isSame) this.cache.rollback(0);
  }

  requireRoom(added: number): void {
    const promptTokens = this.#tokens.length + added;
    const { contextSize } = this;
    if (contextSize === undefined || promptTokens <= contextSize) return;
    throw new ContextOverflowError(
      `${promptTokens} tokens do not fit into this context of contextSize = ${contextSize}; nothing was cut off`,
      { promptTokens, contextSize },
    );
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#last;
    this.#logits?.dispose();
    this.cache.dispose();
    this.#onDispose(this);
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  #warnOfLength(): void {
    const trained = this.#runner.config.maxPositionEmbeddings;
    if (this.#warned || this.#tokens.length <= trained) return;
    this.#warned = true;
    log(
      "warn",
      `the context has more than the ${trained} tokens that the model was made for; without ropeScaling or ` +
        "attention: {window} predictions get worse from here on",
    );
  }

  async #tokensOf(
    op: string,
    prompt: Prompt,
    onProgress: ((progress: Progress) => void) | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Int32Array> {
    signal?.throwIfAborted();
    const isObject = typeof prompt === "object" && prompt !== null;
    if (isObject && "tokens" in prompt) return checkedTokens(op, prompt.tokens, this.#runner.config.vocabSize);
    if (typeof prompt !== "string" && !(isObject && typeof prompt.file === "string"))
      wrongArgument(op, "prompt", "a string, {tokens} or {file}", prompt);
    const pieces = typeof prompt === "string" ? [prompt] : readTextFile(prompt.file);
    const addSpecialTokens = this.#tokens.length === 0;
    const found: number[] = [];
    for await (const ids of this.#tokenizer.encodeStream(pieces, { addSpecialTokens })) {
      signal?.throwIfAborted();
      for (const id of ids) found.push(id);
      onProgress?.({ phase: "tokenize", done: found.length, total: undefined });
    }
    return checkedTokens(op, found, this.#runner.config.vocabSize);
  }
}
