// Whether a model answers: each token of the answer is the most likely one behind the prompt and the answer's tokens
// before it, which is to say that greedy decoding begins with the answer. No text is generated or searched.
import type { Model } from "../model.js";
import type { ModelContext } from "../model-context.js";
import type { AttentionSettings, RopeScaling } from "../model-settings.js";
import { argmax } from "../ops.js";

export interface AnswerSettings {
  ropeScaling?: RopeScaling;
  attention?: AttentionSettings;
  signal?: AbortSignal;
}

interface Step {
  context: ModelContext;
  rows: "last" | "all";
  signal?: AbortSignal | undefined;
}

/** What the model holds most likely behind the last token, or behind each. */
async function mostLikely(model: Model, tokens: readonly number[], { context, rows, signal }: Step): Promise<number[]> {
  const logits = await model.forward(tokens, { cache: context, logits: rows, signal });
  const best = argmax(logits);
  try {
    return Array.from((await best.data(signal ? { signal } : {})) as Int32Array);
  } finally {
    best.dispose();
    logits.dispose();
  }
}

export async function isAnswered(
  model: Model,
  prompt: readonly number[],
  answer: readonly number[],
  { ropeScaling, attention, signal }: AnswerSettings,
): Promise<boolean> {
  const settings = { ...(ropeScaling !== undefined && { ropeScaling }), ...(attention && { attention }) };
  const context = await model.createContext(settings);
  try {
    const [first] = await mostLikely(model, prompt, { context, rows: "last", signal });
    if (first !== answer[0] || answer.length === 1) return first === answer[0];
    const rest = await mostLikely(model, answer.slice(0, -1), { context, rows: "all", signal });
    return rest.every((id, i) => id === answer[i + 1]);
  } finally {
    await context.dispose();
  }
}
