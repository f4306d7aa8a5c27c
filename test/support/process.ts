// Node programs in processes of their own.
import { execFile } from "node:child_process";

export interface Outcome {
  code: number | string | null;
  stdout: string;
  stderr: string;
  milliseconds: number;
}
export function run(args: string[], environment: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  const started = performance.now();
  const { VITEST, ...inherited } = process.env;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      args,
      { env: { ...inherited, ...environment }, timeout: 50_000 },
      (error, stdout, stderr) =>
        resolve({
          code: error ? (error.signal ?? error.code ?? null) : 0,
          stdout: stdout.trim(),
          stderr: stderr.trim(),
          milliseconds: performance.now() - started,
        }),
    );
  });
}
