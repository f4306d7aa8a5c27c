import { defineConfig } from "vitest/config";

// Each file in its own process: a native fault then names the file, and budgets set by one file do not reach the next.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    pool: "forks",
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
