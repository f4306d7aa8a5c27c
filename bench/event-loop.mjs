// The event loop during a long prefill: its lag must not depend on what the kernels do (target: p99 below 20 ms).
import { monitorEventLoopDelay } from "node:perf_hooks";
import { loadModel } from "../dist/index.js";

export function cases({ quick }) {
  return [{ op: "event-loop", tokens: quick ? 8192 : 32768 }];
}

export async function measure({ tokens }) {
  const model = await loadModel(new URL("../assets/books", import.meta.url).pathname);
  const context = await model.createContext({ attention: { window: 255 } });
  const ids = Int32Array.from({ length: tokens }, (_, i) => (i * 7919) % model.config.vocabSize);
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  const begin = performance.now();
  await context.prefill({ tokens: ids });
  const seconds = (performance.now() - begin) / 1000;
  delay.disable();
  await model.dispose();
  // monitorEventLoopDelay counts the timer's own millisecond in
  return {
    seconds,
    rate: tokens / seconds,
    unit: "tokens/s",
    lagP99Ms: Math.max(0, delay.percentile(99) / 1e6 - 1),
    lagMaxMs: delay.max / 1e6 - 1,
  };
}
