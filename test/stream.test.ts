// The stream: its bounded queue, the memory budget, and AbortSignals.
import { afterEach, describe, expect, it } from "vitest";
import {
  add,
  flashAttention,
  idle,
  machine,
  memory,
  OutOfMemoryError,
  QueueFullError,
  ready,
  setMemoryBudget,
  setQueueBytes,
  softmax,
  Tensor,
} from "../lib/index.js";

const queueBytes = machine().queueBytes;
afterEach(async () => {
  setMemoryBudget(0);
  setQueueBytes(queueBytes);
  await idle();
});

const ones = (...shape: number[]) =>
  new Tensor("float32", new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1), shape);
/** A fraction of a second of work; four times as much at twice the length. */
function long(seqLen = 3072): Tensor {
  const x = ones(1, seqLen, 8, 64);
  return flashAttention(x, x, x);
}
function thrown(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}
async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => "resolved",
    (reason) => reason,
  );
}

describe("queue", () => {
  it("refuses more than its bytes, and takes them again after ready()", async () => {
    const x = ones(1024, 256); // 1 MiB
    setQueueBytes(3 << 20);
    const running = long().data(); // 6 MiB: one op is always taken
    expect(memory().pendingBytes).toBeGreaterThanOrEqual(6 << 20);
    const error = thrown(() => softmax(x)) as QueueFullError;
    expect(error).toBeInstanceOf(QueueFullError);
    expect(error).toMatchObject({ code: "ERR_LONGSPAN_QUEUE_FULL", limitBytes: 3 << 20 });
    expect(error.pendingBytes).toBeGreaterThanOrEqual(6 << 20);
    expect(error.message).toMatch(/queue is full: \d+ bytes of outputs are pending .* await ready\(\)/);
    await ready();
    expect((await softmax(x).data())[5]).toBe(1 / 256);
    await running;
  });

  it("ready() paces a loop that would overflow it", async () => {
    setQueueBytes(4 << 20);
    let x = ones(512, 512);
    for (let i = 0; i < 50; i++) {
      const next = add(x, x);
      x.dispose();
      x = next;
      await ready();
    }
    expect((await x.data())[0]).toBe(2 ** 50);
  });

  it("ready() resolves when the limit is raised", async () => {
    setQueueBytes(1 << 20);
    const running = long().data();
    const waiting = ready();
    expect(await Promise.race([waiting.then(() => "ready"), new Promise((r) => setTimeout(r, 20, "waiting"))])).toBe(
      "waiting",
    );
    setQueueBytes(1 << 30);
    await waiting;
    expect(memory().pendingBytes).toBeGreaterThan(0);
    await running;
  });

  it("idle() and ready() stop waiting when asked", async () => {
    const running = long().data();
    const controller = new AbortController();
    const waiting = idle({ signal: controller.signal });
    controller.abort("enough");
    expect(await reasonOf(waiting)).toBe("enough");
    setQueueBytes(1);
    const late = AbortSignal.timeout(10);
    expect(await reasonOf(ready({ signal: late }))).toBe(late.reason);
    expect((await running)[0]).toBe(1); // what was waited for goes on
  });
});

describe("memory budget", () => {
  it("refuses at the call, with numbers", () => {
    setMemoryBudget(memory().usedBytes + (64 << 20));
    const error = thrown(() => add(ones(1 << 14, 1), ones(1, 1 << 14))) as OutOfMemoryError; // 1 GiB
    expect(error).toBeInstanceOf(OutOfMemoryError);
    expect(error).toMatchObject({ code: "ERR_LONGSPAN_OUT_OF_MEMORY", requiredBytes: 2 ** 30, device: "cpu" });
    expect(error.availableBytes).toBeLessThanOrEqual(64 << 20);
    expect(error.suggestions.length).toBeGreaterThan(0);
    expect(() => new Tensor("float32", new Float32Array(1 << 25), [1 << 25])).toThrow(OutOfMemoryError);
  });

  it("refuses sizes no machine has", async () => {
    let x = ones(1 << 15, 1);
    x = add(x, ones(1, 1 << 4)).reshape([1 << 19, 1]);
    await idle(); // with something pending it would be the queue that refuses
    expect(() => add(x, ones(1, 1 << 22))).toThrow(OutOfMemoryError); // 8 TiB
  });

  it("gives the memory back", async () => {
    setMemoryBudget(memory().usedBytes + (64 << 20));
    for (let i = 0; i < 50; i++) {
      const x = ones(4 << 20); // 16 MiB
      x.dispose();
    }
    expect(memory().availableBytes).toBeGreaterThan(60 << 20);
  });

  it("rejects when scratch or a copy does not fit, and works on", async () => {
    const x = ones(1, 512, 4, 64);
    const big = ones(2 << 20);
    await add(big, big).data();
    await idle();
    setMemoryBudget(memory().usedBytes + 1000);
    await expect(big.data()).rejects.toBeInstanceOf(OutOfMemoryError);
    setMemoryBudget(0);
    expect((await flashAttention(x, x, x).data())[0]).toBe(1);
  });
});

describe("AbortSignal", () => {
  it("stops a running kernel within 100 ms, with the signal's own reason", { retry: 3 }, async () => {
    await softmax(ones(4)).data();
    const controller = new AbortController();
    const out = long(8192);
    const reason = { my: "reason" };
    const waiting = reasonOf(out.data({ signal: controller.signal }));
    await new Promise((resolve) => setTimeout(resolve, 50));
    const started = performance.now();
    controller.abort(reason);
    expect(await waiting).toBe(reason);
    await idle();
    expect(performance.now() - started).toBeLessThan(process.env.LONGSPAN_SANITIZED ? 2000 : 100);
    expect(memory().pendingBytes).toBe(0);
  });

  it("rejects what depends on it with the same reason; the rest goes on", async () => {
    const controller = new AbortController();
    const x = ones(16);
    const out = long(8192);
    const dependent = softmax(out);
    const next = add(dependent, dependent);
    const other = add(x, x);
    const reading = out.data({ signal: controller.signal });
    const results = Promise.all([reading, dependent.data(), next.toArray(), out.data()].map(reasonOf));
    const reason = new Error("mine");
    controller.abort(reason);
    expect(new Set(await results)).toEqual(new Set([reason]));
    expect((await results).every((r) => r === reason)).toBe(true);
    expect((await other.data())[0]).toBe(2);
    expect(await reasonOf(softmax(next).data())).toBe(reason); // also what is asked for later
  });

  it("that is aborted already rejects at once and starts nothing", async () => {
    const x = ones(4);
    expect(await reasonOf(x.data({ signal: AbortSignal.abort("before") }))).toBe("before");
    expect((await x.data())[0]).toBe(1);
  });

  it("stops the queued ops a tensor waits for", async () => {
    const controller = new AbortController();
    let x = long(8192);
    for (let i = 0; i < 20; i++) x = add(x, x);
    const started = performance.now();
    setTimeout(() => controller.abort(), 30);
    expect(await reasonOf(x.data({ signal: controller.signal }))).toBe(controller.signal.reason);
    await idle();
    expect(performance.now() - started).toBeLessThan(1500);
  });

  it("works after its tensor was disposed, and comes too late without harm", async () => {
    const controller = new AbortController();
    const out = long(8192);
    const reading = reasonOf(out.data({ signal: controller.signal }));
    out.dispose();
    const started = performance.now();
    controller.abort("gone");
    expect(await reading).toBe("gone");
    await idle();
    expect(performance.now() - started).toBeLessThan(1000);
    const late = new AbortController();
    const x = ones(4);
    await x.data({ signal: late.signal });
    late.abort();
    expect((await x.data())[0]).toBe(1);
  });

  it("rejects with null when that is the reason", async () => {
    const controller = new AbortController();
    const out = long(8192);
    const readings = [out.data({ signal: controller.signal }), softmax(out).data()].map(reasonOf);
    controller.abort(null);
    expect(await Promise.all(readings)).toEqual([null, null]);
  });
});
