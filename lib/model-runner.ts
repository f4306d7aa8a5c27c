// Tokens through the layers, chunk by chunk into a key/value cache: the one path of forward, nll, prefill and decoding.
// The event loop stays free: ops are enqueued a layer at a time, and the queue is bounded.
import { abortable } from "./abort.js";
import { KVCache, type KVCacheShape, type KVDType } from "./cache/kv-cache.js";
import { attendLayer, attendRemapped } from "./model-attention.js";
import type { PassSettings } from "./model-settings.js";
import type { DecoderConfig, DecoderModel, Pass } from "./models/index.js";
import { native } from "./binding.js";
import type { QueryScale } from "./positions/index.js";
import { wrongArgument } from "./options.js";
import { RecordedPass } from "./model-recorded-pass.js";
import { scope, Tensor } from "./tensor.js";

/** Tokens per pass; measured: longer ones gain nothing on a CPU, shorter ones leave the products too small. */
export const chunkLength = 512;

export interface RunOptions {
  cache: KVCache;
  settings: PassSettings;
  signal?: AbortSignal | undefined;
  /** Called with each chunk's last layer [n, hiddenSize], which it must not keep, and the place of its first token. */
  onChunk(x: Tensor, start: number): void | Promise<void>;
  /** Tokens whose layers have been computed. */
  onDone?: ((done: number) => void) | undefined;
}

/** Token ids as int32, each checked against the vocabulary. */
export function checkedTokens(op: string, tokens: unknown, vocabSize: number): Int32Array {
  if (!Array.isArray(tokens) && !ArrayBuffer.isView(tokens))
    wrongArgument(op, "tokens", "an array of token ids", tokens);
  const ids = Int32Array.from(tokens as ArrayLike<number>, Number);
  ids.forEach((id, i) => {
    const given = Number((tokens as ArrayLike<number>)[i]);
    if (id !== given || id < 0 || id >= vocabSize)
      wrongArgument(op, `tokens[${i}]`, `a token id in [0, ${vocabSize})`, given);
  });
  return ids;
}

/** [1, count, 1, 1] factors of the queries from `first` on; undefined where all are 1. */
function queryScaleTensor(
  first: number,
  count: number,
  scale: QueryScale | undefined,
  device: string,
): Tensor | undefined {
  if (!scale) return undefined;
  const factors = Float32Array.from({ length: count }, (_, i) => {
    const factor = scale(first + i);
    if (typeof factor === "number" && Number.isFinite(factor)) return factor;
    return wrongArgument("attention", "queryScale", `a finite number for position ${first + i}`, factor);
  });
  if (factors.every((factor) => factor === 1)) return undefined;
  return new Tensor("float32", factors, [1, count, 1, 1], { device });
}

/** Where the tokens of a pass are, and what their queries are multiplied by. */
interface Chunk {
  first: number;
  /** [n] int32, from `first` on. */
  positions: Tensor;
  scale: Tensor | undefined;
}

/** In float32: a bfloat16 factor would be off by as much as the scaling does. */
function scaledQuery(q: Tensor, scale: Tensor): Tensor {
  return native.cast(native.multiply(native.cast(q, "float32"), scale), q.dtype);
}

export class ModelRunner {
  readonly config: DecoderConfig;
  readonly decoder: DecoderModel;
  readonly defaultKVDType: KVDType;
  readonly device: string;
  readonly #recorded = new WeakMap<KVCache, RecordedPass>();

  constructor(config: DecoderConfig, decoder: DecoderModel, { dtype, device }: { dtype: KVDType; device: string }) {
    this.config = config;
    this.decoder = decoder;
    this.defaultKVDType = dtype;
    this.device = device;
  }

  cacheShape({ rotary }: PassSettings): Omit<KVCacheShape, "dtype"> {
    const { numLayers, numKVHeads, headDim } = this.config;
    const keySets = rotary.some(({ distances }) => distances && distances.keys.length > 1) ? 2 : 1;
    return { numLayers, numKVHeads, headDim, keySets, device: this.device };
  }
  createCache(settings: PassSettings, dtype: KVDType = this.defaultKVDType): KVCache {
    return new KVCache({ ...this.cacheShape(settings), dtype });
  }

  /**
   * Runs the tokens behind those in the cache. When it fails or is aborted the cache is as before.
   */
  async run(tokens: Int32Array, options: RunOptions): Promise<void> {
    const { cache, signal } = options;
    const before = cache.length;
    if (tokens.length === 1 && this.device !== "cpu" && (await this.#runRecorded(tokens[0]!, options))) return;
    const state: { newest?: Tensor; stopped: boolean } = { stopped: false };
    let loop: Promise<void> | undefined;
    try {
      await abortable(
        signal,
        () => (loop = this.#loop(tokens, options, state)),
        (abortId) => {
          state.stopped = true;
          if (state.newest) native.cancelTensor(state.newest, abortId);
        },
      );
    } catch (error) {
      await loop?.catch(() => {});
      cache.rollback(before);
      throw error;
    } finally {
      state.newest?.dispose();
    }
  }

  /** One token by the recording of its pass; false where there is none. */
  async #runRecorded(token: number, { cache, settings, onChunk, onDone, signal }: RunOptions): Promise<boolean> {
    signal?.throwIfAborted();
    const before = cache.length;
    let recorded = this.#recorded.get(cache);
    if (!recorded?.isFor(settings)) {
      // Worth it from the second token on: settings that follow the length are other ones each time.
      recorded?.dispose();
      recorded = new RecordedPass(this.decoder, cache, settings, this.device);
      this.#recorded.set(cache, recorded);
      cache.keep(recorded);
      return false;
    }
    try {
      const x = await recorded.run(token);
      if (!x) return false;
      cache.commit(before + 1);
      await onChunk(x, 0);
      onDone?.(1);
      return true;
    } catch (error) {
      cache.rollback(before);
      throw error;
    }
  }

  async #loop(
    tokens: Int32Array,
    { cache, settings, onChunk, onDone, signal }: RunOptions,
    state: { newest?: Tensor; stopped: boolean },
  ): Promise<void> {
    const length = this.#chunkLength();
    let running: { finished: Promise<unknown>; done: number } | undefined;
    const settle = async () => {
      await running?.finished;
      if (running) onDone?.(running.done);
    };
    const advance = (x: Tensor) => {
      state.newest?.dispose();
      state.newest = x;
      return x;
    };
    for (let start = 0; start < tokens.length; start += length) {
      const ids = tokens.subarray(start, start + length);
      const first = cache.length;
      const [idTensor, positions] = [ids, ids.map((_, i) => first + i)].map(
        (values) => new Tensor("int32", values, [ids.length], { device: this.device }),
      ) as [Tensor, Tensor];
      const scale = queryScaleTensor(first, ids.length, settings.queryScale, this.device);
      const pass = this.#pass({ first, positions, scale }, cache, settings);
      let x = advance(this.decoder.embed(idTensor));
      for (let layer = 0; layer < this.decoder.numLayers; layer++) {
        await native.ready();
        if (state.stopped) throw signal?.reason;
        x = advance(this.decoder.layer(layer, x, pass));
      }
      cache.commit(first + ids.length);
      await onChunk(x, start);
      const probe = scope(() => x.narrow(0, ids.length - 1, 1).narrow(1, 0, 1));
      const finished = probe.data();
      finished.catch(() => {});
      for (const tensor of [probe, idTensor, positions, scale]) tensor?.dispose();
      // The chunk before is awaited only now, so that the stream never runs dry.
      await settle();
      running = { finished, done: start + ids.length };
    }
    await settle();
  }

  #pass({ first, positions, scale }: Chunk, cache: KVCache, settings: PassSettings): Pass {
    const scaled = (q: Tensor) => (scale ? scaledQuery(q, scale) : q);
    return {
      attend(layer, q, k, v) {
        const [rotary, options] = [settings.rotary[layer]!, settings.attention[layer]!];
        if (rotary.distances) return attendRemapped(cache, layer, { q: scaled(q), k, v, first }, options, rotary);
        const { frequencies, attentionScale } = rotary;
        const turned = cache.ropeAppend(layer, q, k, v, positions, { frequencies, attentionScale });
        return attendLayer(cache, layer, scaled(turned), first, options, rotary);
      },
    };
  }

  /** Shorter where one layer's outputs would pass a quarter of the queue. */
  #chunkLength(): number {
    const { hiddenSize, intermediateSize, numHeads, numKVHeads, headDim } = this.config;
    const perToken = 4 * (6 * hiddenSize + 4 * (numHeads + numKVHeads) * headDim + 3 * intermediateSize);
    const fitting = Math.floor(native.machine().queueBytes / 4 / perToken);
    return Math.max(1, Math.min(chunkLength, fitting));
  }
}
