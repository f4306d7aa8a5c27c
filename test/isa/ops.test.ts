import { expect, it } from "vitest";
import { Tensor } from "../../lib/index.js";
import { type OpCase, opCases } from "../cases/ops.js";
import { judge } from "../support/compare.js";
import type { FloatDType } from "../support/numbers.js";
import { random } from "../support/random.js";
import { randomValues, read, tensorOf } from "../support/tensors.js";
import { describeOnIsa, isa } from "./support.js";

async function check(c: OpCase, dtype: FloatDType): Promise<void> {
  const next = random(c.name.length);
  const dtypeOf = (name: string) => c.otherDTypes?.[name] ?? dtype;
  const inputs = Object.fromEntries(
    Object.entries(c.inputs).map(([name, shape]) => [name, randomValues(next, shape, dtypeOf(name), c.spread)]),
  );
  const tensors = Object.fromEntries(
    Object.entries(inputs).map(([name, values]) => [name, tensorOf(values, dtypeOf(name), c.layout)]),
  );
  const out = c.run(tensors);
  const exact = c.reference(inputs, (x) => x);
  const naive = c.reference(inputs, Math.fround);
  expect(out).toBeInstanceOf(Tensor);
  expect(out.shape).toEqual(exact.shape);
  expect(out.dtype).toBe(c.resultDType?.(dtype) ?? dtype);
  const verdict = judge(await read(out), exact.data, naive.data, out.dtype as FloatDType);
  expect(verdict.error, JSON.stringify(verdict)).toBeLessThanOrEqual(verdict.allowed);
}

describeOnIsa(`ops on ${isa}`, () => {
  for (const c of opCases) for (const dtype of c.dtypes) it(`${c.op} ${c.name}, ${dtype}`, async () => check(c, dtype));
});
