// What a measurement costs the process: how late the event loop is, and the most memory it held.
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

export interface LoopLag {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
}

const resolutionMs = 1;

/** Watches the event loop until stop() is called: by how much a timer of 1 ms comes late. */
export function watchLoopLag(): { stop(): LoopLag } {
  const histogram = monitorEventLoopDelay({ resolution: resolutionMs });
  histogram.enable();
  const ms = (nanoseconds: number) => Math.max(0, nanoseconds / 1e6 - resolutionMs);
  return {
    stop() {
      histogram.disable();
      return {
        p50Ms: ms(histogram.percentile(50)),
        p99Ms: ms(histogram.percentile(99)),
        maxMs: ms(histogram.max),
      };
    },
  };
}

/** The most memory this process held at once (resident set), in bytes. */
export function peakMemory(): number {
  try {
    // Not getrusage: its maximum outlives exec, so that a big parent would be counted.
    const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"));
    if (found) return Number(found[1]) * 1024;
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}
