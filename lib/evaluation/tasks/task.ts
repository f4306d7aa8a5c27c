// What a retrieval task is: prompts of an exact number of tokens with something hidden at a depth, and the tokens that
// must follow. The same request gives the same probes everywhere.
import { ArgumentError } from "../../errors.js";

export interface NeedleProbe {
  ids: readonly number[];
  /** The tokens that must follow. */
  answer: readonly number[];
  /** Where it is hidden: 0 at the beginning, 1 right before the question. */
  depth: number;
}

export interface ProbeRequest {
  /** Tokens of each prompt. */
  length: number;
  depths: readonly number[];
  /** Probes at each depth. */
  count: number;
  seed: number;
  signal?: AbortSignal | undefined;
}

export interface NeedleTask {
  name: string;
  /** What is asked, in a few words. */
  title: string;
  /** Throws ArgumentError for a length that holds no prompt. */
  probes(request: ProbeRequest): Promise<NeedleProbe[]>;
}

export function tooShort(task: string, shortest: number, length: number): never {
  throw new ArgumentError(
    `${task}: a prompt has at least ${shortest} of this model's tokens, a length of ${length} is too short`,
    { op: task, argument: "length" },
  );
}
