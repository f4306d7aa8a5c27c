// The retrieval tasks by name, and which one suits a model.
import type { Model } from "../../model.js";
import { checkedChoice } from "../../options.js";
import { keyValueTask } from "./key-value.js";
import { passkeyTask } from "./passkey.js";
import { recallTask, speaksRecall } from "./recall.js";
import type { NeedleTask } from "./task.js";

export const needleTaskNames = ["recall", "passkey", "kv"] as const;
export type NeedleTaskName = (typeof needleTaskNames)[number];

const tasks: Record<NeedleTaskName, (model: Model) => Promise<NeedleTask>> = {
  recall: recallTask,
  passkey: passkeyTask,
  kv: keyValueTask,
};

/**
 * A task for a model; without a name recall where the model's vocabulary is the constructed one, else passkey. Throws
 * ArgumentError where the vocabulary cannot write the task, ModelFormatError where there is no tokenizer.
 */
export async function needleTask(model: Model, name?: NeedleTaskName): Promise<NeedleTask> {
  const chosen = checkedChoice("needleTask", "name", name, needleTaskNames);
  return tasks[chosen ?? ((await speaksRecall(model)) ? "recall" : "passkey")](model);
}
