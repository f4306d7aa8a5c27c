// The same cases on peers, in the same run: PyTorch where `python3 -c "import torch"` works (PYTHON names another
// interpreter), onnxruntime-node where `npm ci --prefix bench/peers` has been run. A peer that is absent is said so.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = new URL("./peers/", import.meta.url);
const path = (name) => fileURLToPath(new URL(name, here));
const python = process.env.PYTHON ?? "python3";

function available() {
  const found = [];
  const torch = spawnSync(python, ["-c", "import torch; print(torch.__version__)"], { encoding: "utf8" });
  if (torch.status === 0)
    found.push({ name: `PyTorch ${torch.stdout.trim()}`, command: python, args: [path("pytorch.py")] });
  if (existsSync(path("node_modules/onnxruntime-node")))
    found.push({ name: "onnxruntime-node", command: process.execPath, args: [path("onnxruntime.mjs")] });
  return found;
}

/** Peers that can be measured here. */
export const peers = available();

/** Seconds of each case on a peer, null where it has no such op. */
export function measurePeer(peer, cases, budget) {
  const run = spawnSync(peer.command, peer.args, {
    input: JSON.stringify({ cases, budget }),
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (run.status !== 0) return { error: run.stderr.trim().split("\n").at(-1) ?? `exit ${run.status}` };
  return { seconds: JSON.parse(run.stdout) };
}
