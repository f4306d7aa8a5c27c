// The main thread never loads the addon: workers come and go, so that the last one ends while the next one begins.
import { Worker } from "node:worker_threads";

const file = new URL("worker.mjs", import.meta.url);
let finished = 0;
async function one(mode) {
  const worker = new Worker(file, { workerData: { mode } });
  await new Promise((resolve, reject) => {
    worker.once("message", resolve);
    worker.once("error", reject);
  });
  await worker.terminate();
  finished++;
}
for (let round = 0; round < 5; round++) {
  await Promise.all([one("nothing"), one("busy"), one("synchronous")]);
  await one("nothing");
}
console.log(finished);
