// Behaviour of the whole process: how it ends, its worker threads, its memory, its event loop.
// Programs are JavaScript files beside this one; they import the built package by its name (npm test builds dist).
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import { add, flashAttention, idle, matmul, ready, setThreads, softmax, Tensor } from "../lib/index.js";
import { run } from "./support/process.js";
import { normal, random } from "./support/random.js";

const program = (name: string) => fileURLToPath(new URL(`programs/${name}.mjs`, import.meta.url));
const sanitized = process.env.LONGSPAN_SANITIZED !== undefined;

describe("a process ends", () => {
  const ending = (name: string, environment?: NodeJS.ProcessEnv) => run([program("long"), name], environment);
  it("after its promises", async () =>
    expect(await ending("pending promise")).toMatchObject({ code: 0, stdout: "done 1", stderr: "" }));
  it("without waiting for ops that nobody reads", async () => {
    const outcome = await ending("forgotten ops");
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    expect(outcome.milliseconds).toBeLessThan(sanitized ? 20_000 : 4000); // the work would take far longer
  });
  for (const how of ["process.exit", "process.exit at once"])
    it(`by ${how} with work pending`, async () => {
      const outcome = await ending(how);
      expect(outcome).toMatchObject({ code: 3, stderr: "" });
      expect(outcome.milliseconds).toBeLessThan(sanitized ? 20_000 : 4000);
    });
  it("by an uncaught error", async () => {
    const outcome = await ending("uncaught error");
    expect(outcome.code).toBe(1);
    expect(outcome.stderr).toContain("own fault");
  });
  it("by a signal", async () => expect((await ending("signal")).code).toBe("SIGTERM"));
});

describe("worker threads", () => {
  const file = program("worker");
  const start = (workerData: object) => new Worker(file, { workerData, env: process.env, execArgv: [] });
  const message = (worker: Worker) =>
    new Promise<unknown>((resolve, reject) => {
      worker.once("message", resolve);
      worker.once("error", reject);
    });

  it("four compute at once, beside the main thread", async () => {
    const data = Float32Array.from({ length: 256 * 256 }, (_, i) => Math.sin(1 + i));
    const x = new Tensor("float32", data, [1, 256, 4, 64]);
    const own = (async () => {
      const out = flashAttention(x, x, x, { causal: true }).reshape([256, 256]);
      return softmax(matmul(out, out)).data();
    })();
    const workers = [1, 2, 3, 1].map((seed) => start({ mode: "compute", seed }));
    const results = await Promise.all(workers.map(message));
    expect(results[0]).toEqual(await own);
    expect(results[3]).toEqual(results[0]);
    expect(results[1]).not.toEqual(results[0]);
    await Promise.all(workers.map((worker) => worker.terminate()));
  });

  for (const mode of ["long", "busy", "synchronous"])
    it(`are terminated in the middle: ${mode}`, async () => {
      const x = new Tensor("float32", [1, 2, 3], [3]);
      for (let i = 0; i < 5; i++) {
        const worker = start({ mode });
        expect(await message(worker)).toBe("running");
        await new Promise((resolve) => setTimeout(resolve, i * 7));
        const started = performance.now();
        await worker.terminate();
        expect(performance.now() - started).toBeLessThan(10_000); // of work without an end
        expect(await add(x, x).toArray()).toEqual([2, 4, 6]);
      }
    });

  it("whose work was dropped leave no one waiting in ready()", async () => {
    const worker = start({ mode: "long" });
    await message(worker);
    const waiting = ready();
    await worker.terminate();
    await waiting;
  });

  it("end by process.exit", async () => {
    const worker = start({ mode: "exit" });
    expect(await new Promise((resolve) => worker.once("exit", resolve))).toBe(5);
  });

  it("come and go while the main thread has no part in it", async () =>
    expect(await run([program("only-workers")])).toMatchObject({ code: 0, stdout: "20", stderr: "" }));
});

describe("memory", () => {
  for (const how of ["dispose", "scope", "collector"])
    it.skipIf(sanitized)(`of 4000 tensors of 256 KiB comes back: ${how}`, async () => {
      const { code, stdout, stderr } = await run(["--expose-gc", program("memory"), how]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      const { grown, held } = JSON.parse(stdout);
      expect(grown).toBeLessThan(how === "collector" ? 400e6 : 100e6); // all of it would be 2 GB
      expect(held).toBeLessThan(4e6);
    });
});

describe("the event loop", () => {
  it("stays free during long ops", async () => {
    const x = new Tensor("float32", new Float32Array(4096 * 512).fill(1), [1, 4096, 8, 64]);
    await softmax(x.narrow(1, 0, 1)).data();
    let [last, running] = [performance.now(), true];
    const lags: number[] = [];
    const reading = flashAttention(x, x, x)
      .data()
      .finally(() => {
        running = false;
      });
    while (running) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      const now = performance.now();
      lags.push(now - last);
      last = now;
    }
    await reading;
    lags.sort((a, b) => a - b);
    expect(lags.length).toBeGreaterThan(10);
    expect(lags[Math.floor(lags.length * 0.9)]).toBeLessThan(50); // cores that others use too; the bench has the figure
  });
});

describe("the thread pool", () => {
  it("survives many small ops and changing numbers of threads", async () => {
    const next = random(9);
    const x = new Tensor(
      "float32",
      Array.from({ length: 300 * 40 }, () => normal(next)),
      [300, 40],
    );
    const expected = await softmax(x).data();
    for (let round = 0; round < 300; round++) {
      if (round % 10 === 0) setThreads(1 + ((round / 10) % 7));
      const outs = Array.from({ length: 8 }, () => softmax(x));
      const last = outs.at(-1) as Tensor;
      if (round % 50 === 0) expect(await last.data()).toEqual(expected);
      for (const out of outs) out.dispose();
      if (round % 20 === 0) await idle();
    }
    setThreads(256);
    expect(await softmax(x).data()).toEqual(expected);
    setThreads(0);
    expect(await softmax(x).data()).toEqual(expected);
  });
});
