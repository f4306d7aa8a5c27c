// AbortSignals across the native boundary: a number names the signal there, its reason stays here.
import { NativeAbort } from "./errors.js";

const reasons = new Map<number, unknown>();
const kept = 4096;
let lastId = 0;

function register(reason: unknown): number {
  reasons.set(++lastId, reason);
  reasons.delete(lastId - kept);
  return lastId;
}

/**
 * Awaits `start()`; when `signal` aborts, calls `cancel(id)` and rejects with the signal's reason. An op stopped by
 * another signal rejects with that one's reason.
 */
export async function abortable<T>(
  signal: AbortSignal | undefined,
  start: () => Promise<T>,
  cancel: (abortId: number) => void,
): Promise<T> {
  signal?.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = signal
    ? new Promise<never>((_, reject) => {
        stop = () => {
          cancel(register(signal.reason));
          reject(signal.reason);
        };
        signal.addEventListener("abort", stop, { once: true });
      })
    : undefined;
  try {
    const running = start();
    running.catch(() => {}); // its rejection is taken below, or lost to the signal's
    return await (aborted ? Promise.race([running, aborted]) : running);
  } catch (error) {
    if (error instanceof NativeAbort)
      throw reasons.has(error.abortId)
        ? reasons.get(error.abortId)
        : new DOMException("This operation was aborted", "AbortError");
    throw error;
  } finally {
    if (signal && stop) signal.removeEventListener("abort", stop);
  }
}
