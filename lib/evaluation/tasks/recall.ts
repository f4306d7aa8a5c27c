// Five facts in noise, in the language of the bundled constructed model: the task it was written for.
import { ArgumentError } from "../../errors.js";
import type { Model } from "../../model.js";
import { phrase, retrievalProbes } from "../retrieval.js";
import type { NeedleTask } from "./task.js";

/** Whether the model's vocabulary is that of the constructed model. */
export async function speaksRecall({ tokenizer, config }: Model): Promise<boolean> {
  if (!tokenizer.available || config.vocabSize !== 256) return false;
  const ids = await tokenizer.encode(phrase.text, { addSpecialTokens: false });
  return ids.join() === phrase.ids.join();
}

export async function recallTask(model: Model): Promise<NeedleTask> {
  if (!(await speaksRecall(model)))
    throw new ArgumentError(
      "recall: this task is written in the words of the bundled kv-constructed model, which this model does not know; take passkey or kv",
      { op: "recall", argument: "task" },
    );
  return {
    name: "recall",
    title: "one of five facts in noise",
    probes: async ({ length, depths, count, seed }) =>
      retrievalProbes({ length, count: count * depths.length, depths, seed }).map(({ answer, ...probe }) => ({
        ...probe,
        answer: [answer],
      })),
  };
}
