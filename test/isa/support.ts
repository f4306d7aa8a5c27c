// Tests in this folder run once per instruction set (vitest.config.ts gives LONGSPAN_ISA); sets the machine lacks are
// skipped.
import { describe } from "vitest";
import { DeviceError, machine } from "../../lib/index.js";

export const isa = process.env.LONGSPAN_ISA ?? "default";

function isMissing(): boolean {
  try {
    machine();
    return false;
  } catch (error) {
    if (error instanceof DeviceError) return true;
    throw error;
  }
}

export const describeOnIsa = isMissing() ? describe.skip : describe;
