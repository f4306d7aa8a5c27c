// The ladder of causal attention, 32/8 heads × 128: from the textbook's three steps to the kernel that ships, each rung
// with its figure and its reason. Each rung runs in a process of its own, since the kernels are picked at load.
//   node bench/ladder.mjs [seqLen]
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const rungs = [
  {
    name: "three steps",
    isa: "avx2",
    dtype: "float32",
    naive: true,
    why: "scores, softmax, product: a seqLen² matrix written and read three times, masked half computed for nothing",
  },
  {
    name: "flash, 4 lanes",
    isa: "baseline",
    dtype: "float32",
    why: "tiles with online softmax: no matrix of scores, masked tiles skipped; SSE2 has no FMA",
  },
  {
    name: "flash, 8 lanes",
    isa: "avx2",
    dtype: "float32",
    why: "AVX2 and FMA: twice the lanes, product and sum in one instruction",
  },
  {
    name: "flash, 16 lanes",
    isa: "avx512",
    dtype: "float32",
    why: "AVX-512: 32 registers hold a 6 × 4 block, exp in two special instructions",
  },
  {
    name: "flash, bfloat16 widened",
    isa: "avx512",
    dtype: "bfloat16",
    why: "half the bytes, but no bfloat16 product: widened while packing",
  },
  {
    name: "flash, bfloat16 pairs",
    isa: "avx512bf16",
    dtype: "bfloat16",
    why: "vdpbf16ps: two products a lane, float32 sums",
  },
];

async function runRung({ dtype, naive }, seqLen) {
  const { add, flashAttention, idle, machine, matmul, multiply, softmax, Tensor } = await import("../dist/index.js");
  const { causalPairs, median, random } = await import("./measure.mjs");
  const [numHeads, numKVHeads, headDim] = [32, 8, 128];
  const q = random(dtype, [1, seqLen, numHeads, headDim], 1);
  const [k, v] = [2, 3].map((seed) => random(dtype, [1, seqLen, numKVHeads, headDim], seed));
  const scale = new Tensor("float32", [headDim ** -0.5], [1]);
  const mask = new Float32Array(seqLen * seqLen);
  for (let i = 0; naive && i < seqLen; i++) mask.fill(-Infinity, i * seqLen + i + 1, (i + 1) * seqLen);
  const bias = naive && new Tensor("float32", mask, [seqLen, seqLen]);
  const head = (x, h) => x.narrow(2, h, 1).reshape([seqLen, headDim]);
  const threeSteps = async () => {
    for (let h = 0; h < numHeads; h++) {
      const group = Math.floor((h * numKVHeads) / numHeads);
      const products = matmul(head(q, h), head(k, group), { transposeB: true });
      const weights = softmax(add(multiply(products, scale), bias));
      const out = matmul(weights, head(v, group));
      await idle();
      for (const tensor of [products, weights, out]) tensor.dispose();
    }
  };
  const flash = async () => {
    const out = flashAttention(q, k, v, { causal: true });
    await idle();
    out.dispose();
  };
  const seconds = await median(naive ? threeSteps : flash, { budget: 2 });
  return { isa: machine().isa, seconds, rate: (4 * headDim * numHeads * causalPairs(seqLen, seqLen)) / seconds };
}

if (process.argv[2] === "--rung") {
  console.log(JSON.stringify(await runRung(rungs[Number(process.argv[3])], Number(process.argv[4]))));
} else {
  const seqLen = Number(process.argv[2] ?? 2048);
  console.log(`causal attention, 32/8 heads × 128, ${seqLen} tokens; GFLOP/s on allowed pairs`);
  let below;
  for (const [i, { name, isa, why }] of rungs.entries()) {
    const env = { ...process.env, LONGSPAN_ISA: isa };
    const run = spawnSync(process.execPath, [fileURLToPath(import.meta.url), "--rung", i, seqLen], {
      env,
      encoding: "utf8",
    });
    if (run.status !== 0) {
      console.log(`  ${name.padEnd(26)} not here: this processor or build has no ${isa}`);
      continue;
    }
    const { rate } = JSON.parse(run.stdout);
    const step = below ? `${(rate / below).toFixed(2)} × the rung below` : "";
    console.log(`  ${name.padEnd(26)} ${(rate / 1e9).toFixed(1).padStart(7)}  ${step.padEnd(24)} ${why}`);
    below = rate;
  }
}
