// A worker thread that computes until it is told otherwise; workerData.mode says what it does.
import { parentPort, workerData } from "node:worker_threads";
import { add, flashAttention, matmul, memory, softmax, Tensor } from "longspan";

const { mode, seed = 1 } = workerData;
const numbers = (n) => Float32Array.from({ length: n }, (_, i) => Math.sin(seed + i));
const x = new Tensor("float32", numbers(256 * 4 * 64), [1, 256, 4, 64]);

if (mode === "compute") {
  for (let i = 0; i < 20; i++) {
    const out = flashAttention(x, x, x, { causal: true });
    const square = matmul(out.reshape([256, 256]), out.reshape([256, 256]));
    const data = await softmax(square).data();
    if (i === 19) parentPort.postMessage(data);
  }
} else if (mode === "long") {
  const wide = new Tensor("float32", new Float32Array(8192 * 512).fill(1), [1, 8192, 8, 64]);
  for (let i = 0; i < 10; i++)
    flashAttention(wide, wide, wide)
      .data()
      .catch(() => {});
  Tensor.view(new Float32Array(1 << 20), [1 << 20]);
  parentPort.postMessage("running");
} else if (mode === "busy") {
  parentPort.postMessage("running");
  for (;;) await Promise.all([softmax(x).data(), add(x, x).data(), add(x, x).toArray()]);
} else if (mode === "synchronous") {
  parentPort.postMessage("running");
  for (;;) {
    try {
      softmax(x).dispose();
      x.reshape([7]);
    } catch {} // a wrong shape, or a full queue
  }
} else if (mode === "exit") {
  softmax(x).data();
  setTimeout(() => process.exit(5), 5);
} else {
  parentPort.postMessage(memory().usedBytes);
}
