// Creates and drops thousands of tensors, with dispose (argv[2] "dispose") or left to the collector, and prints how far
// resident memory grew after the first tenth, and what the library still holds.
import { memory, scope, softmax, Tensor } from "longspan";

const how = process.argv[2];
const rounds = Number(process.argv[3] ?? 4000);
const data = new Float32Array(64 * 1024); // 256 KiB
let base = 0;
for (let round = 0; round < rounds; round++) {
  if (how === "dispose") {
    const x = new Tensor("float32", data, [64, 1024]);
    const y = softmax(x);
    x.dispose();
    if (round % 8 === 0) await y.data();
    y.dispose();
  } else if (how === "scope") {
    const y = scope(() => softmax(new Tensor("float32", data, [64, 1024])));
    if (round % 8 === 0) await y.data();
    y.dispose();
  } else {
    const y = softmax(new Tensor("float32", data, [64, 1024]));
    if (round % 4 === 0) await y.data();
  }
  if (round === Math.floor(rounds / 10)) base = process.memoryUsage().rss;
}
const grown = process.memoryUsage().rss - base;
globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 50));
globalThis.gc?.();
await new Promise((resolve) => setTimeout(resolve, 50));
console.log(JSON.stringify({ grown, held: memory().usedBytes }));
