import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { isas } from "./test/support/isas.js";
import { testedPlugin } from "./test/support/plugin.js";

// Under a sanitizer limits of time mean nothing, and what finds no fault in native code is left out: whole models, which
// take minutes (test/models/architectures and positions have their code), and files whose code is TypeScript alone.
const slow = process.env.LONGSPAN_SANITIZED !== undefined;
const wholeModels = ["models/books", "models/context", "models/kv-constructed", "evaluation/*", "readme", "large"];
const typescript = [
  "cli/*",
  "coverage",
  "formats/config",
  "formats/text-file",
  "models/sampling",
  "plot/*",
  "positions/*",
  "start",
  "types",
];
const left = slow ? [...wholeModels, ...typescript].map((name) => `test/${name}.test.ts`) : [];

// Where no test measures time, a file for each processor; vitest would take one on two. Not beside those that do.
const untimed = { maxWorkers: availableParallelism(), sequence: { groupOrder: slow ? 0 : 1 } };

const isOfProcessor = (isa: string) => (isa === "neon") === (process.arch === "arm64"); // others would only be skipped

// Each file in its own process: a native fault then names the file, and budgets set by one file do not reach the next.
// test/isa runs once per instruction set, where the machine has it, and once on the CUDA kernels: there a tensor that is
// not told where to be is on the device, an emulated one unless LONGSPAN_TEST_PLUGIN names another plugin.
export default defineConfig({
  test: {
    pool: "forks",
    ...(slow && untimed),
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
          ...untimed,
          name: "cuda",
          include: ["test/cuda/**/*.test.ts", "test/isa/**/*.test.ts", "test/models/architectures.test.ts"],
          env: { LONGSPAN_DEVICE: "cuda", LONGSPAN_CUDA_PLUGIN: testedPlugin },
        },
      },
      ...isas.filter(isOfProcessor).map((isa) => ({
        extends: true as const,
        test: { ...untimed, name: isa, include: ["test/isa/**/*.test.ts"], env: { LONGSPAN_ISA: isa } },
      })),
    ],
  },
});
