// ropeAppend where one launch is not enough, in a recording, and beside tensors of another device.
import { expect, it, vi } from "vitest";
import { DeviceError, KVCache, loadModel, rope, Tensor } from "../../lib/index.js";
import { native } from "../../lib/binding.js";
import { fixture } from "../models/fixtures.js";
import { random } from "../support/random.js";
import { randomValues, tensorOf } from "../support/tensors.js";

const shape = { numLayers: 1, numKVHeads: 1, headDim: 4, dtype: "bfloat16" };
const options = { frequencies: [1, 0.01] };
const next = random(11);
const heads = (length: number, count: number) =>
  tensorOf(randomValues(next, [1, length, count, 4], "float32"), "float32");

type Attended = { out: Tensor; lse: Tensor };
/** Of the last `count` places: each key's score by itself, and what a window gives. */
async function seen(cache: ReturnType<typeof native.createKVCache>, count: number) {
  const q = tensorOf(randomValues(random(3), [1, count, 1, 4], "float32"), "float32");
  const own = { window: { before: 0, after: 0 }, returnLse: true };
  const { out, lse } = native.cacheAttention(q, cache, 0, own) as Attended;
  return [await out.data(), await lse.data()];
}

it("runs into more slabs than a launch takes", async () => {
  const length = 65 * 1024 + 5;
  const [together, apart] = [native.createKVCache(shape), native.createKVCache(shape)];
  const [q, k, v] = [heads(length, 1), heads(length, 1), heads(length, 1)];
  const positions = Int32Array.from({ length }, (_, i) => i);
  const turned = native.ropeAppend(together, 0, q, k, v, positions, options);
  native.cacheAppend(apart, 0, rope(k, positions, options), v);
  expect(await turned.data()).toEqual(await rope(q, positions, options).data());
  for (const length of [65 * 1024 + 5, 64 * 1024 + 3]) {
    for (const cache of [together, apart]) native.cacheTruncate(cache, length);
    expect(await seen(together, 40)).toEqual(await seen(apart, 40));
  }
  for (const cache of [together, apart]) native.dispose(cache);
});

it.each([2, 65])("is recorded over %i slabs", async (slabs) => {
  const [together, apart] = [native.createKVCache(shape), native.createKVCache(shape)];
  const start = (slabs - 1) * 1024 + 3;
  const before = heads(start, 1);
  for (const cache of [together, apart]) native.cacheAppend(cache, 0, before, before);
  const [q, k, v] = [heads(1, 3), heads(1, 1), heads(1, 1)];
  const step = new Tensor("int32", [0, 0], [2]);
  native.beginRecording(step);
  const turned = native.ropeAppend(together, 0, q, k, v, step.narrow(0, 1, 1), options);
  const recording = native.endRecording();
  expect(await native.isCaptured(recording).item()).toBe(1);
  for (let i = 0; i < 3; i++) {
    const position = start + i;
    expect(native.replay(recording, together, 0, position)).toBe(true);
    native.cacheAppend(apart, 0, rope(k, [position], options), v);
    expect(await turned.data()).toEqual(await rope(q, [position], options).data());
    expect(await seen(together, 6)).toEqual(await seen(apart, 6));
  }
  native.dispose(recording);
  for (const cache of [together, apart]) native.dispose(cache);
});

it("refuses keys of another device and leaves the cache as it was", async () => {
  using cache = new KVCache({ ...shape, dtype: "float32" });
  const [q, k, v] = [heads(2, 3), heads(2, 1), heads(2, 1)];
  expect(() => cache.ropeAppend(0, q, k.to("cpu"), v, [0, 1], options)).toThrow(DeviceError);
  expect(() => cache.append(0, k.to("cpu"), v)).toThrow(DeviceError);
  cache.ropeAppend(0, q, k, v, [0, 1], options);
  const alone = new KVCache({ ...shape, dtype: "float32" });
  alone.ropeAppend(0, q, k, v, [0, 1], options);
  const [found, expected] = [cache, alone].map((one) => one.attend(0, q, { causal: true })) as [Tensor, Tensor];
  expect(await found.data()).toEqual(await expected.data());
  alone.dispose();
});

it("is what a layer of a model calls, once, recorded and not", async () => {
  await using model = await loadModel(fixture("models", "llama"), { device: "cuda" });
  const names = ["ropeAppend", "rope", "cacheAppend"] as const;
  const calls = names.map((name) => vi.spyOn(native, name));
  using cache = model.createCache();
  for (const tokens of [[1, 2, 3], [4], [5], [6]]) (await model.forward(tokens, { cache })).dispose();
  const { numLayers } = model.config;
  // The prompt, the first token, the recording of the second, which the third runs again
  expect(calls.map(({ mock }) => mock.calls.length)).toEqual([3 * numLayers, 0, 0]);
  vi.restoreAllMocks();
});
