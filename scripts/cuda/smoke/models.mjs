// The bundled models: what the device computes of them beside the CPU. They are loaded without their tokenizers, which
// would ask for node_modules; prompts are token ids.
import { existsSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadModel } from "../../../dist/index.js";
import { RecordedPass } from "../../../dist/model-recorded-pass.js"; // to count recorded passes, and to turn them off
import { distance, largest } from "./group.mjs";

const assets = fileURLToPath(new URL("../../../assets", import.meta.url));
/** Largest error against the largest value. Sums of a few thousand terms in float32; halves through all layers. */
const allowed = { float32: 2e-5, bfloat16: 0.05 };
const prompts = { books: [625, 746, 429, 840, 362] };

const run = RecordedPass.prototype.run;

/** Greedy tokens and their log-probabilities, and how many passes were recorded ones. */
async function continued(model, prompt, { maxTokens, recorded = true }) {
  let replays = 0;
  RecordedPass.prototype.run = async function (token) {
    const x = recorded ? await run.call(this, token) : undefined;
    if (x) replays++;
    return x;
  };
  const context = await model.createContext();
  const [ids, logprobs] = [[], []];
  try {
    for await (const { tokenId, logprob } of context.generate({ tokens: prompt }, { maxTokens, temperature: 0 })) {
      ids.push(tokenId);
      logprobs.push(logprob);
    }
  } finally {
    RecordedPass.prototype.run = run;
    await context.dispose();
  }
  return { ids, logprobs, replays };
}

const same = (a, b) => `${a.ids}` === `${b.ids}` && `${a.logprobs}` === `${b.logprobs}`;

async function checkLogits(group, name, { here, there, dtype }) {
  const { vocabSize } = here.config;
  const tokens = Array.from({ length: group.quick ? 50 : 700 }, (_, i) => (i * 37 + 11) % vocabSize);
  const logits = async (model) => {
    const tensor = await model.forward(tokens);
    const data = await tensor.data();
    tensor.dispose();
    return data;
  };
  const relative = (a, b) => distance(a, b) / largest(b);
  const [first, again, expected] = [await logits(there), await logits(there), await logits(here)];
  group.judge(`${name}: logits`, relative(first, expected), allowed[dtype]);
  if (distance(again, first) > 0) group.fault(name, "logits have other bits the second time");
  const [found, wanted] = [await there.nll(tokens), await here.nll(tokens)];
  group.judge(`${name}: nll`, relative(found, wanted), allowed[dtype]);
}

async function checkDecoding(group, name, { here, there, dtype, prompt }) {
  const maxTokens = group.quick ? 16 : 64;
  const expected = await continued(here, prompt, { maxTokens });
  const recorded = await continued(there, prompt, { maxTokens });
  const again = await continued(there, prompt, { maxTokens });
  const plain = await continued(there, prompt, { maxTokens, recorded: false });
  const { length } = recorded.ids;
  if (recorded.replays < length - 3) group.fault(name, `${recorded.replays} passes of ${length} were recorded`);
  if (!same(recorded, again)) group.fault(name, "decoding differs the second time");
  if (!same(recorded, plain)) {
    const at = recorded.ids.findIndex((id, i) => id !== plain.ids[i] || recorded.logprobs[i] !== plain.logprobs[i]);
    const apart = distance(recorded.logprobs, plain.logprobs);
    const kind = `${recorded.ids}` === `${plain.ids}` ? "the same tokens" : "other tokens";
    group.fault(name, `recorded is not op by op from token ${at} on: ${kind}, log-probabilities ${apart} apart`);
  }
  const agreed = recorded.ids.findIndex((id, i) => id !== expected.ids[i]);
  if (dtype === "float32" && `${recorded.ids}` !== `${expected.ids}`)
    group.fault(name, `other tokens from ${agreed} on: ${recorded.ids}, not ${expected.ids}`);
  if (dtype !== "float32" && agreed >= 0)
    group.notes.push(`${name}: the CPU's tokens to ${agreed} of ${expected.ids.length}`);
  const common = agreed < 0 ? length : agreed + 1;
  const [a, b] = [recorded, expected].map(({ logprobs }) => logprobs.slice(0, common));
  group.judge(`${name}: log-probabilities`, distance(a, b), dtype === "float32" ? 1e-3 : 0.25);
}

async function checkModel(group, name, folder, dtype) {
  const here = await loadModel(folder, { dtype, device: "cpu" });
  const there = await loadModel(folder, { dtype, device: group.device });
  try {
    const prompt = prompts[name] ?? [1, ...Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 250))];
    await group.one(`${name}, ${dtype}: logits`, () => checkLogits(group, `${name}, ${dtype}`, { here, there, dtype }));
    await group.one(`${name}, ${dtype}: decoding`, () =>
      checkDecoding(group, `${name}, ${dtype}`, { here, there, dtype, prompt }),
    );
  } finally {
    await here.dispose();
    await there.dispose();
  }
}

export async function models(group) {
  const folders = readdirSync(assets, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  for (const { name } of folders) {
    const folder = mkdtempSync(join(tmpdir(), "longspan-smoke-"));
    try {
      for (const file of ["config.json", "generation_config.json", "model.safetensors"])
        if (existsSync(join(assets, name, file))) symlinkSync(join(assets, name, file), join(folder, file));
      for (const dtype of ["float32", "bfloat16"])
        await group.one(`${name}, ${dtype}`, () => checkModel(group, name, folder, dtype));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
}
