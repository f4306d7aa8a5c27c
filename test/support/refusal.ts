// What a call that must be refused throws.
import { expect } from "vitest";
import { LongspanError } from "../../lib/index.js";

export type ErrorClass = new (...args: never[]) => LongspanError;

export function refusal(run: () => unknown, kind: ErrorClass): LongspanError {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(kind);
    expect(error).toBeInstanceOf(LongspanError);
    return error as LongspanError;
  }
  throw new Error("nothing was refused");
}
