import { defineConfig } from "vitest/config";
import { isas } from "./test/support/isas.js";
import { testedPlugin } from "./test/support/plugin.js";

// Under a sanitizer whole models take minutes and limits of time mean nothing; test/models/architectures has their code.
const slow = process.env.LONGSPAN_SANITIZED !== undefined;
const wholeModels = [
  "models/context",
  "models/books",
  "evaluation/*",
  "cli/cli",
  "cli/rope",
  "cli/needle",
  "readme",
  "large",
];
const left = slow ? wholeModels.map((name) => `test/${name}.test.ts`) : [];

// Each file in its own process: a native fault then names the file, and budgets set by one file do not reach the next.
// test/isa runs once per instruction set, where the machine has it, and once on the CUDA kernels: there a tensor that is
// not told where to be is on the device, an emulated one unless LONGSPAN_TEST_PLUGIN names another plugin.
export default defineConfig({
  test: {
    pool: "forks",
    // Times mean nothing under a sanitizer: two files at once, where vitest takes one on two processors.
    ...(slow && { maxWorkers: 2 }),
    testTimeout: slow ? 600_000 : 60_000,
    hookTimeout: slow ? 600_000 : 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "suite",
          include: ["test/**/*.test.ts"],
          exclude: ["test/isa/**", "test/cuda/**", ...left],
          // nothing there: the same on machines with a GPU
          env: { LONGSPAN_CUDA_PLUGIN: "/nowhere/longspan_cuda.so" },
        },
      },
      {
        extends: true,
        test: {
          name: "cuda",
          include: ["test/cuda/**/*.test.ts", "test/isa/**/*.test.ts", "test/models/architectures.test.ts"],
          env: { LONGSPAN_DEVICE: "cuda", LONGSPAN_CUDA_PLUGIN: testedPlugin },
        },
      },
      ...isas.map((isa) => ({
        extends: true as const,
        test: { name: isa, include: ["test/isa/**/*.test.ts"], env: { LONGSPAN_ISA: isa } },
      })),
    ],
  },
});
