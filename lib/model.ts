// A loaded model: weights, tokenizer, and what can be asked of them.
import { type KVCache, type KVDType, kvDTypes } from "./cache/kv-cache.js";
import { DisposedError } from "./errors.js";
import type { Tokenizer } from "./formats/tokenizer.js";
import { Generation, type GenerateOptions, generateTokens } from "./generate.js";
import { type ContextOptions, contextOptionNames, ModelContext, type Prompt } from "./model-context.js";
import { checkedTokens, type ModelRunner } from "./model-runner.js";
import { type ModelSettings, type PassSettings, passSettings } from "./model-settings.js";
import type { DecoderConfig } from "./models/index.js";
import { native } from "./binding.js";
import type { Weights } from "./nn/weights.js";
import { checkedChoice, checkedOptions, checkedSignal, wrongArgument } from "./options.js";
import { scope, Tensor } from "./tensor.js";

export interface ForwardOptions {
  /** Runs behind the tokens of a context, or of a cache of createCache, and adds to it. */
  cache?: KVCache | ModelContext | undefined;
  /** Logits of every token, or of the last one. */
  logits?: "last" | "all" | undefined;
  signal?: AbortSignal | undefined;
}

export interface NllOptions extends ModelSettings {
  signal?: AbortSignal | undefined;
}

/** Logits of this many bytes are computed at once by nll. */
const nllBlockBytes = 32 * 2 ** 20;

export class Model {
  /** config.json, typed; `raw` is the file. */
  readonly config: DecoderConfig;
  readonly tokenizer: Tokenizer;
  readonly #runner: ModelRunner;
  readonly #weights: Weights;
  readonly #modelSettings: ModelSettings;
  readonly #settings: PassSettings;
  /** Settings of bare caches, whose length was chosen when their first tokens were run. */
  readonly #settingsOfCaches = new WeakMap<KVCache, PassSettings>();
  readonly #contexts = new Set<ModelContext>();
  #disposed = false;

  constructor(runner: ModelRunner, tokenizer: Tokenizer, weights: Weights, settings: ModelSettings) {
    this.config = runner.config;
    this.tokenizer = tokenizer;
    this.#runner = runner;
    this.#weights = weights;
    this.#modelSettings = settings;
    this.#settings = passSettings("loadModel", runner.config, settings);
  }

  /** Logits [n, vocabSize], or [1, vocabSize] of the last token, in float32. */
  async forward(tokens: readonly number[] | Int32Array, options?: ForwardOptions): Promise<Tensor> {
    const op = "forward";
    this.#requireAlive();
    const { cache, logits, signal } = checkedOptions(op, options, ["cache", "logits", "signal"]);
    const which = checkedChoice(op, "logits", logits, ["last", "all"]) ?? "all";
    checkedSignal(op, signal);
    const ids = checkedTokens(op, tokens, this.config.vocabSize);
    if (ids.length === 0 && which === "last")
      wrongArgument(op, "tokens", 'at least one token for logits "last"', tokens);
    if (ids.length === 0) return new Tensor("float32", [], [0, this.config.vocabSize]);
    if (cache instanceof ModelContext)
      return cache.forward((settings) => this.#logits(ids, which, cache.cache, settings, signal), ids);
    const given = cache as KVCache | undefined;
    given?.requireFits(this.#runner.cacheShape(this.#settings));
    const used = given ?? this.#runner.createCache(this.#settings);
    try {
      return await this.#logits(ids, which, used, this.#settingsFor(used, ids.length), signal);
    } finally {
      if (!given) used.dispose();
    }
  }

  /** −log p of tokens 1 … n−1, each given those before it; logits are made and dropped block by block. */
  async nll(tokens: readonly number[] | Int32Array, options?: NllOptions): Promise<Float32Array> {
    this.#requireAlive();
    const { signal, ...given } = checkedOptions("nll", options, ["signal", "ropeScaling", "attention"]);
    checkedSignal("nll", signal);
    const settings = passSettings("nll", this.config, { ...this.#modelSettings, ...given }, tokens.length);
    const ids = checkedTokens("nll", tokens, this.config.vocabSize);
    const result = new Float32Array(Math.max(0, ids.length - 1));
    if (ids.length < 2) return result;
    const rows = Math.max(1, Math.floor(nllBlockBytes / (4 * this.config.vocabSize)));
    const cache = this.#runner.createCache(settings);
    try {
      await this.#runner.run(ids.subarray(0, -1), {
        cache,
        settings,
        signal,
        onChunk: async (x, start) => {
          for (let row = 0; row < x.shape[0]!; row += rows) {
            const count = Math.min(rows, x.shape[0]! - row);
            await native.ready();
            const targets = ids.slice(start + row + 1, start + row + 1 + count);
            const block = scope(() => native.nll(this.#runner.decoder.logits(x.narrow(0, row, count)), targets));
            result.set((await block.data()) as Float32Array, start + row);
            block.dispose();
          }
        },
      });
    } finally {
      cache.dispose();
    }
    return result;
  }

  /** An empty context; its options win over the model's. */
  async createContext(options?: ContextOptions): Promise<ModelContext> {
    this.#requireAlive();
    const onDispose = (context: ModelContext) => this.#contexts.delete(context);
    const context = new ModelContext(this.#runner, this.tokenizer, this.#modelSettings, options, onDispose);
    this.#contexts.add(context);
    return context;
  }

  /** A bare key/value cache for forward, in the dtype of the weights if none is given; see ContextOptions.kvDtype. */
  createCache(options: { kvDtype?: KVDType } = {}): KVCache {
    this.#requireAlive();
    const kvDtype = checkedChoice("createCache", "kvDtype", options.kvDtype, kvDTypes);
    return this.#runner.createCache(this.#settings, kvDtype);
  }

  /** One context for one generation; takes the options of both. */
  generate(prompt: Prompt, options?: GenerateOptions & ContextOptions): Generation {
    this.#requireAlive();
    const all = Object.entries(options ?? {});
    const of = (isContext: boolean) =>
      Object.fromEntries(all.filter(([name]) => contextOptionNames.includes(name) === isContext));
    const onDispose = (context: ModelContext) => this.#contexts.delete(context);
    const context = new ModelContext(this.#runner, this.tokenizer, this.#modelSettings, of(true), onDispose);
    this.#contexts.add(context);
    const { source, usage } = generateTokens(context, this.tokenizer, this.config, prompt, of(false));
    return new Generation({ source: disposingAfter(source, context), usage });
  }

  /** Lets go of the weights, of every context, and of the tokenizer's thread. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    for (const context of this.#contexts) await context.dispose();
    await this.tokenizer.dispose();
    await native.idle();
    this.#weights.dispose();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose();
  }

  async #logits(
    ids: Int32Array,
    which: "last" | "all",
    cache: KVCache,
    settings: PassSettings,
    signal: AbortSignal | undefined,
  ): Promise<Tensor> {
    const kept: Tensor[] = [];
    try {
      await this.#runner.run(ids, {
        cache,
        settings,
        signal,
        onChunk: (x, start) => {
          const count = x.shape[0]!;
          if (which === "all") kept.push(x.narrow(0, 0, count));
          else if (start + count === ids.length) kept.push(x.narrow(0, count - 1, 1));
        },
      });
      await native.idle(); // an empty queue takes an output of any size
      return scope(() => this.#runner.decoder.logits(kept.length === 1 ? kept[0]! : native.concatenate(kept, 0)));
    } finally {
      for (const tensor of kept) tensor.dispose();
    }
  }

  /** All keys of a cache are rotated for one length: that of the tokens it got first. */
  #settingsFor(cache: KVCache, added: number): PassSettings {
    const { atLength } = this.#settings;
    if (!atLength) return this.#settings;
    const chosen = cache.length > 0 ? this.#settingsOfCaches.get(cache) : undefined;
    const settings = chosen ?? atLength(cache.length + added);
    this.#settingsOfCaches.set(cache, settings);
    return settings;
  }

  #requireAlive(): void {
    if (this.#disposed) throw new DisposedError("the model was disposed", { object: "Model" });
  }
}

async function* disposingAfter<T>(source: AsyncGenerator<T, void>, context: ModelContext): AsyncGenerator<T, void> {
  try {
    yield* source;
  } finally {
    await context.dispose();
  }
}
