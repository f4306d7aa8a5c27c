// Time left of a row of measurements, each over the same prompts: by the work that is left, since a long prompt takes
// more time for each token.
export interface Prompt {
  ids: { length: number };
}

export class Pace {
  readonly #begun = performance.now();
  readonly #hiddenSize: number;
  /** Of one measurement over all prompts. */
  readonly #each: { count: number; work: number };
  #measurements: number;
  #done = 0;
  readonly #total: number;
  #workLeft: number;
  #workDone = 0;

  constructor(prompts: readonly Prompt[], measurements: number, hiddenSize: number) {
    this.#hiddenSize = hiddenSize;
    this.#each = { count: prompts.length, work: prompts.reduce((sum, prompt) => sum + this.#workOf(prompt), 0) };
    this.#measurements = measurements;
    this.#total = measurements * this.#each.count;
    this.#workLeft = measurements * this.#each.work;
  }

  step(prompt: Prompt): { done: number; total: number; etaMs: number } {
    const work = this.#workOf(prompt);
    this.#done++;
    this.#workDone += work;
    this.#workLeft -= work;
    const etaMs = ((performance.now() - this.#begun) * this.#workLeft) / this.#workDone;
    return { done: this.#done, total: this.#total, etaMs };
  }

  /** Ends a measurement: what it left out counts as done. */
  next(): void {
    this.#measurements--;
    this.#done = this.#total - this.#measurements * this.#each.count;
    this.#workLeft = this.#measurements * this.#each.work;
  }

  /** Per token a constant part, about that of a layer's weights, and one that grows with attention. */
  #workOf({ ids }: Prompt): number {
    return ids.length * (12 * this.#hiddenSize + ids.length);
  }
}
