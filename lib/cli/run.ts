// One command's life: Ctrl-C aborts its signal, a second one ends the process; what goes wrong becomes one line on
// stderr and an exit code: 0 done, 1 failed, 2 wrongly called, 130 interrupted (143 by SIGTERM).

export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130, terminated: 143 } as const;

/** Called wrongly in a way that only the command can see. */
export class UsageError extends Error {}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "ERR_LONGSPAN_UNEXPECTED";
}

export function reportError(error: unknown): void {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError) process.stderr.write(`longspan: ${message}\n`);
  else process.stderr.write(`longspan: ${codeOf(error)}: ${message}\n`);
  if (process.env.LONGSPAN_LOG_LEVEL === "debug" && error instanceof Error) process.stderr.write(`${error.stack}\n`);
}

/** The reader of a pipe went away (`longspan … | head`): nothing is left to do, and nothing went wrong. */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));
}

/** Runs the command; never rejects. */
export async function runCommand(body: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const controller = new AbortController();
  const stop = (code: number) => () => {
    if (controller.signal.aborted) process.exit(code);
    process.exitCode = code;
    controller.abort(new DOMException("interrupted", "AbortError"));
  };
  const onInterrupt = stop(exitCodes.interrupted);
  const onTerminate = stop(exitCodes.terminated);
  process.on("SIGINT", onInterrupt).on("SIGTERM", onTerminate);
  try {
    await body(controller.signal);
  } catch (error) {
    if (controller.signal.aborted) process.stderr.write("longspan: interrupted\n");
    else {
      reportError(error);
      process.exitCode = error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
    }
  } finally {
    process.off("SIGINT", onInterrupt).off("SIGTERM", onTerminate);
  }
}
