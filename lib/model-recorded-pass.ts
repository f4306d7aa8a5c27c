// Decoding on a device: the pass of one token is recorded once and then run again for every token, as one graph, with
// nothing to enqueue but its token and position. It is recorded anew when the cache gets memory, and where it cannot be
// recorded (positions schemes with several distances, sinks, patterns, query scales) passes are enqueued op by op.
import type { KVCache } from "./cache/kv-cache.js";
import { native, type Recording } from "./binding.js";
import { UnsupportedError } from "./errors.js";
import { log } from "./log.js";
import type { PassSettings } from "./model-settings.js";
import type { DecoderModel } from "./models/index.js";
import { scope, Tensor } from "./tensor.js";

/** Is every layer full, causal or window attention of one kind of distances, at positions known by number? */
function isPlain({ rotary, attention, queryScale }: PassSettings): boolean {
  return (
    !queryScale &&
    rotary.every(({ distances }) => !distances) &&
    attention.every(({ sinks, pattern, distanceBias }) => !sinks && !pattern && !distanceBias)
  );
}

export class RecordedPass {
  readonly #decoder: DecoderModel;
  readonly #cache: KVCache;
  readonly #settings: PassSettings;
  #step: Tensor | undefined;
  readonly #device: string;
  #recording: Recording | undefined;
  #result: Tensor | undefined;
  #isPossible: boolean;

  constructor(decoder: DecoderModel, cache: KVCache, settings: PassSettings, device: string) {
    this.#decoder = decoder;
    this.#cache = cache;
    this.#settings = settings;
    this.#device = device;
    this.#isPossible = isPlain(settings);
  }

  isFor(settings: PassSettings): boolean {
    return settings === this.#settings;
  }

  /**
   * Runs `token` behind the cache's keys: [1, hiddenSize] of the last layer, which the next run overwrites; undefined
   * where it must be run op by op.
   */
  async run(token: number): Promise<Tensor | undefined> {
    const position = this.#cache.length;
    if (!this.#isPossible) return undefined;
    if (this.#recording && this.#cache.replay(this.#recording, token, position)) return this.#result;
    await this.#record();
    if (this.#recording && this.#cache.replay(this.#recording, token, position)) return this.#result;
    this.#isPossible = false;
    return undefined;
  }

  async #record(): Promise<void> {
    this.#forget();
    this.#step ??= new Tensor("int32", [0, 0], [2], { device: this.#device });
    native.beginRecording(this.#step);
    try {
      this.#result = this.#pass(this.#step);
      this.#recording = native.endRecording();
    } catch (error) {
      native.dropRecording();
      this.#forget();
      if (!(error instanceof UnsupportedError)) throw error;
      log("debug", `decoding is not recorded: ${error.message}`);
      return;
    }
    const captured = native.isCaptured(this.#recording);
    const isCaptured = await captured.item().catch(() => 0);
    captured.dispose();
    if (!isCaptured) this.#forget();
  }

  #pass(step: Tensor): Tensor {
    const [decoder, cache, settings] = [this.#decoder, this.#cache, this.#settings];
    return scope(() => {
      const [token, position] = [0, 1].map((at) => step.narrow(0, at, 1)) as [Tensor, Tensor];
      let x = decoder.embed(token);
      for (let layer = 0; layer < decoder.numLayers; layer++)
        x = decoder.layer(layer, x, {
          attend(layer, q, k, v) {
            const { frequencies, attentionScale } = settings.rotary[layer]!;
            const turned = cache.ropeAppend(layer, q, k, v, position, { frequencies, attentionScale });
            const { sinks, ...options } = settings.attention[layer]!;
            return cache.attend(layer, turned, options);
          },
        });
      return x;
    });
  }

  #forget(): void {
    if (this.#recording) native.dispose(this.#recording);
    this.#result?.dispose();
    this.#recording = undefined;
    this.#result = undefined;
  }

  dispose(): void {
    this.#forget();
    this.#step?.dispose();
    this.#step = undefined;
  }
}
