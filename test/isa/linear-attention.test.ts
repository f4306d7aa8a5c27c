import { expect, it } from "vitest";
import { setThreads, Tensor } from "../../lib/index.js";
import { dtypesOf, inputsOf, linearCases, type LinearCase, tensorsOf } from "../cases/linear.js";
import { exact } from "../reference/attention.js";
import { judge } from "../support/compare.js";
import { type FloatDType, round } from "../support/numbers.js";
import { read } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

function expected(c: LinearCase, dtype: FloatDType) {
  const inputs = inputsOf(c, dtype);
  const { q, k, v, extra } = inputs;
  return {
    inputs,
    right: c.reference(q, k, v, extra, exact),
    naive: c.reference(q, k, v, extra, { dtype: round[dtype], float32: Math.fround }),
  };
}
const known = new Map<string, ReturnType<typeof expected>>();
function references(c: LinearCase, dtype: FloatDType) {
  const key = `${c.name}, ${dtype}`;
  const found = known.get(key) ?? expected(c, dtype);
  known.set(key, found);
  return found;
}

async function check(c: LinearCase, dtype: FloatDType): Promise<void> {
  const { inputs, right, naive } = references(c, dtype);
  const { q, k, v, extra } = tensorsOf(inputs, dtype, c.layout);
  const out = c.run(q, k, v, extra) as Tensor;
  const { batch, seqLenQ, numHeads, valueDim } = c.sizes;
  expect(out).toBeInstanceOf(Tensor);
  expect(out.shape).toEqual([batch, seqLenQ, numHeads, valueDim]);
  expect(out.dtype).toBe(dtype);
  const verdict = judge(await read(out), right, naive, dtype);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

// The same outputs, the keys taken in steps of `size` with the state carried along.
async function checkSteps(c: LinearCase, size: number): Promise<void> {
  const { inputs, right, naive } = references(c, "float32");
  const { q, k, v, extra } = tensorsOf(inputs, "float32", c.layout);
  const { seqLenKV, seqLenQ } = c.sizes;
  const parts: Tensor[] = [];
  let state: unknown;
  for (let first = 0; first < seqLenKV; first += size) {
    const n = Math.min(size, seqLenKV - first);
    const firstQuery = Math.max(0, first - (seqLenKV - seqLenQ));
    const endQuery = Math.max(0, first + n - (seqLenKV - seqLenQ));
    const ofKeys = extra.map((x) => (x.shape[1] === seqLenKV ? x.narrow(1, first, n) : x));
    const step = c.run(
      q.narrow(1, firstQuery, endQuery - firstQuery),
      k.narrow(1, first, n),
      v.narrow(1, first, n),
      ofKeys,
      {
        ...(state ? { state } : {}),
        returnState: true,
      },
    ) as { out: Tensor; state: unknown };
    parts.push(step.out);
    state = step.state;
  }
  const { batch, numHeads, valueDim } = c.sizes;
  const out = new Float64Array(right.length);
  const row = numHeads * valueDim;
  let at = 0;
  for (const part of parts) {
    const [values, n] = [await read(part), part.shape[1] as number];
    for (let b = 0; b < batch; b++) out.set(values.subarray(b * n * row, (b + 1) * n * row), (b * seqLenQ + at) * row);
    at += n;
  }
  expect(at).toBe(seqLenQ);
  const verdict = judge(out, right, naive, "float32", 4);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`linear attention on ${isa}`, () => {
  for (const c of linearCases) for (const dtype of dtypesOf(c)) it(`${c.name}, ${dtype}`, async () => check(c, dtype));

  for (const c of linearCases) {
    const { seqLenQ, seqLenKV } = c.sizes;
    if (!c.steps || seqLenQ > seqLenKV || seqLenKV === 0) continue;
    if (seqLenKV < 100) it(`${c.name}, a token at a time`, async () => checkSteps(c, 1));
    it(`${c.name}, in steps of 257`, async () => checkSteps(c, seqLenKV > 257 ? 257 : 27));
  }

  it("gives the same bits for 1, 2 and 3 threads", async () => {
    const some = linearCases.filter((c) => /groups|one query|views|wide|scatterbrain/.test(c.name));
    const runs: Tensor[][] = [];
    for (const threads of [1, 2, 3]) {
      setThreads(threads);
      const run = some.map((c) => {
        const { q, k, v, extra } = tensorsOf(inputsOf(c, "bfloat16"), "bfloat16", "dense");
        return c.run(q, k, v, extra) as Tensor;
      });
      await Promise.all(run.map((t) => t.data()));
      runs.push(run);
    }
    setThreads(0);
    const [first, ...others] = await Promise.all(runs.map((run) => Promise.all(run.map((t) => t.data()))));
    for (const other of others) expect(other).toEqual(first);
  });
});
