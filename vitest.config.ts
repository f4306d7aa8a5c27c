import { defineConfig } from "vitest/config";
import { isas } from "./test/support/isas.js";

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
// test/isa runs once per instruction set, where the machine has it.
export default defineConfig({
  test: {
    pool: "forks",
    testTimeout: slow ? 600_000 : 60_000,
    hookTimeout: slow ? 600_000 : 60_000,
    projects: [
      { extends: true, test: { name: "suite", include: ["test/**/*.test.ts"], exclude: ["test/isa/**", ...left] } },
      ...isas.map((isa) => ({
        extends: true as const,
        test: { name: isa, include: ["test/isa/**/*.test.ts"], env: { LONGSPAN_ISA: isa } },
      })),
    ],
  },
});
