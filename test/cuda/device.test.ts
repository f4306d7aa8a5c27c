// Tensors on a device: where they are, how they move, what is refused, and that a failed launch harms nothing else.
import { describe, expect, it } from "vitest";
import {
  add,
  DeviceError,
  ExecutionError,
  flashAttention,
  idle,
  linearAttention,
  mergeAttention,
  OutOfMemoryError,
  rmsNorm,
  Tensor,
} from "../../lib/index.js";
import { native } from "../../lib/binding.js";
import { distance } from "../support/compare.js";
import { floatDTypes } from "../support/numbers.js";
import { random } from "../support/random.js";
import { type Layout, layouts, randomValues, read, tensorOf } from "../support/tensors.js";

const gpu = { device: "cuda" };

describe("tensors", () => {
  it("are where they were asked to be", () => {
    expect(new Tensor("float32", [1, 2], [2], gpu).device).toBe("cuda");
    expect(new Tensor("float32", [1, 2], [2], { device: "cpu" }).device).toBe("cpu");
    expect(new Tensor("float32", [1, 2], [2], { device: "cuda:0" }).device).toBe("cuda");
    expect(Tensor.view(Float32Array.of(1, 2), [2]).device).toBe("cpu");
  });

  const sizes = [0, 1, 1000, 3_000_001]; // the last is more than one part of a transfer
  it.each(sizes)("come back as they went: %i bytes", async (size) => {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7) % 251);
    const there = new Tensor("uint8", bytes, [size], gpu);
    expect(Buffer.compare(Buffer.from((await there.data()) as Uint8Array), Buffer.from(bytes))).toBe(0);
    const back = there.to("cpu");
    expect(back.device).toBe("cpu");
    expect(Buffer.compare(Buffer.from((await back.data()) as Uint8Array), Buffer.from(bytes))).toBe(0);
  });

  it.each(
    (["int64", "int32", "int8", "uint8", ...floatDTypes] as const).flatMap((dtype) =>
      layouts.map((layout) => [dtype, layout] as const),
    ),
  )("move as views: %s, %s", async (dtype, layout: Layout) => {
    const values = randomValues(random(5), [3, 4, 5], "float32", 20);
    const whole = { ...values, data: values.data.map((x) => Math.abs(Math.round(x))) };
    const there = tensorOf(whole, dtype, layout);
    expect(there.device).toBe("cuda");
    expect(distance(await read(there), whole.data)).toBe(0);
    expect(distance(await read(there.to("cpu")), whole.data)).toBe(0);
    const again = there.to("cpu").to("cuda").reshape([-1]).narrow(0, 3, 20);
    expect(distance(await read(again), whole.data.slice(3, 23))).toBe(0);
  });

  it("that are there already are not copied", () => {
    const there = new Tensor("float32", [1], [1], gpu);
    expect(there.to("cuda")).toBe(there);
    expect(there.to("cuda:0")).not.toBe(undefined);
  });

  it("say where they are once disposed", () => {
    const there = new Tensor("float32", [1], [1], gpu);
    there.dispose();
    expect(() => there.device).not.toThrow();
  });
});

describe("what is refused", () => {
  it("tensors on two devices", () => {
    const here = new Tensor("float32", [1, 2], [2], { device: "cpu" });
    expect(() => add(new Tensor("float32", [1, 2], [2], gpu), here)).toThrow(DeviceError);
    expect(() => add(new Tensor("float32", [1, 2], [2], gpu), here)).toThrow(
      "add: its tensors are on cuda and on cpu; move them to one device with .to()",
    );
  });

  it("a device that is not there", () => {
    expect(() => new Tensor("float32", [1], [1], { device: "cuda:9" })).toThrow(DeviceError);
    expect(() => new Tensor("float32", [1], [1]).to("cuda:-1")).toThrow(DeviceError);
    expect(() => new Tensor("float32", [1], [1]).to("cuda:")).toThrow(DeviceError);
  });

  it("more memory than there is, before anything is lost", async () => {
    const kept = new Tensor("float32", [1, 2, 3], [3], gpu);
    const { availableBytes } = native.deviceMemory("cuda");
    const half = new Tensor("uint8", new Uint8Array(1 << 20), [1 << 20], gpu);
    expect(native.deviceMemory("cuda").availableBytes).toBe(availableBytes - (1 << 20));
    const wide = half.reshape([1 << 10, 1, 1 << 10]);
    const parts = Array.from({ length: Math.ceil(availableBytes / (1 << 20)) + 1 }, () => wide);
    const error = await Promise.resolve()
      .then(() => native.concatenate(parts, 1))
      .catch((caught) => caught);
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error.device).toBe("cuda");
    expect(error.requiredBytes).toBe(parts.length * (1 << 20));
    for (const tensor of [half, wide]) tensor.dispose();
    await idle();
    expect(native.deviceMemory("cuda").availableBytes).toBe(availableBytes);
    expect(await kept.toArray()).toEqual([1, 2, 3]);
  });
});

describe("a launch that fails", () => {
  it("rejects what depends on it, and nothing else", async () => {
    const x = new Tensor("float32", [1, 2, 3, 4], [2, 2], gpu);
    await idle();
    process.env.LONGSPAN_EMULATOR_FAIL_LAUNCH = "1";
    const failed = rmsNorm(x, undefined, {});
    const after = add(failed, x);
    await expect(failed.data()).rejects.toThrow(ExecutionError);
    await expect(after.data()).rejects.toThrow(/rmsNorm failed on cuda: .*cudaErrorLaunchFailure/);
    delete process.env.LONGSPAN_EMULATOR_FAIL_LAUNCH;
    expect(await add(x, x).toArray()).toEqual([
      [2, 4],
      [6, 8],
    ]);
  });
});

describe("what has no kernel on the device", () => {
  it("is computed on the CPU and comes back", async () => {
    const values = randomValues(random(3), [1, 9, 2, 4], "float32");
    const there = tensorOf(values, "float32");
    const { out, state } = linearAttention(there, there, there, { causal: true, returnState: true });
    expect([out.device, state.values.device]).toEqual(["cuda", "cuda"]);
    const here = there.to("cpu");
    expect(distance(await read(out), await read(linearAttention(here, here, here, { causal: true })))).toBe(0);
  });
});

describe("attention", () => {
  it("in parts, merged there, is attention", async () => {
    const [q, k, v] = [1, 2, 3].map((seed) =>
      tensorOf(randomValues(random(seed), [1, 40, 2, 16], "float32"), "float32"),
    ) as [Tensor, Tensor, Tensor];
    const parts = [k.narrow(1, 0, 17), k.narrow(1, 17, 23)].map((keys, i) =>
      flashAttention(q, keys, i === 0 ? v.narrow(1, 0, 17) : v.narrow(1, 17, 23), { returnLse: true }),
    );
    const merged = mergeAttention(parts);
    expect(merged.out.device).toBe("cuda");
    expect(distance(await read(merged.out), await read(flashAttention(q, k, v)))).toBeLessThan(1e-6);
  });
});
