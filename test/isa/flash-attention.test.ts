import { it } from "vitest";
import { attentionCases } from "../cases/attention.mjs";
import { checkAttention } from "../support/attention.js";
import { floatDTypes } from "../support/numbers.js";
import { describeOnIsa, isa } from "./support.js";

describeOnIsa(`flashAttention on ${isa}`, () => {
  for (const c of attentionCases)
    for (const dtype of floatDTypes) it(`${c.name}, ${dtype}`, async () => checkAttention(c, dtype));
});
