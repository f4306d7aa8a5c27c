// Tests in this folder run once per instruction set (vitest.config.ts gives LONGSPAN_ISA), and once on the device of
// LONGSPAN_DEVICE; sets the machine lacks are skipped, a device is not: its plugin is built with the tests.
import { describe } from "vitest";
import { DeviceError, machine } from "../../lib/index.js";

export const onDevice = process.env.LONGSPAN_DEVICE !== undefined;
export const isa = process.env.LONGSPAN_DEVICE ?? process.env.LONGSPAN_ISA ?? "default";

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
