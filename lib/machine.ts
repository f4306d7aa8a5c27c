// Facts and limits of this process.
import { native } from "./binding.js";

/** Kernels (ISA), threads and limits in use. */
export const machine = native.machine;
/** The memory budget and what is used of it, in bytes. */
export const memory = native.memory;
/** An own limit on tensor, cache and scratch memory besides the system's (as LONGSPAN_MEMORY); 0 removes it. */
export const setMemoryBudget = native.setMemoryBudget;
/** Limit of pending output bytes (as LONGSPAN_QUEUE_BYTES). */
export const setQueueBytes = native.setQueueBytes;
/** Compute threads (as LONGSPAN_THREADS); 0 for the default. Results do not depend on it. */
export const setThreads = native.setThreads;
