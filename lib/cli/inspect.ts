// `longspan inspect`: a checkpoint's facts from its headers; no weight is read.
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { LongspanError, ModelFormatError } from "../errors.js";
import { JsonFields, readJsonFile } from "../formats/json-file.js";
import { Checkpoint, type WeightFacts } from "../formats/safetensors.js";
import { architectureOf, type DecoderConfig } from "../models/index.js";
import { defaultModel } from "./files.js";
import { paint, printFacts, printJson, printLine, printTable } from "./output.js";
import { formatBytes, formatCount, formatShare } from "./units.js";

const bytesOf: Record<string, number> = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
};

interface TensorFacts {
  name: string;
  dtype: string;
  shape: readonly number[];
  elements: number;
  bytes: number;
  file: string;
}

function tensorFacts(weights: ReadonlyMap<string, WeightFacts>): TensorFacts[] {
  return [...weights].map(([name, { dtype, shape, file }]) => {
    const elements = shape.reduce((a, b) => a * b, 1);
    return { name, dtype, shape, elements, bytes: elements * (bytesOf[dtype] ?? 1), file };
  });
}

function byDtype(tensors: readonly TensorFacts[]) {
  const dtypes = [...new Set(tensors.map(({ dtype }) => dtype))];
  return dtypes.map((dtype) => {
    const same = tensors.filter((tensor) => tensor.dtype === dtype);
    const sum = (of: (tensor: TensorFacts) => number) => same.reduce((total, tensor) => total + of(tensor), 0);
    return {
      dtype,
      tensors: same.length,
      parameters: sum(({ elements }) => elements),
      bytes: sum(({ bytes }) => bytes),
    };
  });
}

/** What loading and reading take: weights are kept at load in the compute dtype, keys and values grow by token. */
function memoryFacts(config: DecoderConfig, parameters: number) {
  const perToken = (bytes: number) => 2 * config.numLayers * config.numKVHeads * config.headDim * bytes;
  const trained = config.originalMaxPositionEmbeddings ?? config.maxPositionEmbeddings;
  return {
    weightsBytes: { float32: parameters * 4, bfloat16: parameters * 2 },
    cacheBytesPerToken: { float32: perToken(4), bfloat16: perToken(2) },
    cacheBytesAtTrainedLength: { float32: perToken(4) * trained, bfloat16: perToken(2) * trained },
    cacheBytesAt16Times: { float32: perToken(4) * trained * 16, bfloat16: perToken(2) * trained * 16 },
  };
}

async function readConfig(folder: string) {
  const file = join(folder, "config.json");
  const raw = await readJsonFile(file);
  if (!raw) return { raw, config: undefined, problem: "there is no config.json" };
  try {
    const fields = new JsonFields(file, raw);
    return { raw, config: architectureOf(fields).config(fields), problem: undefined };
  } catch (error) {
    if (!(error instanceof LongspanError)) throw error;
    return { raw, config: undefined, problem: error.message };
  }
}

function configFacts(config: DecoderConfig): [string, string][] {
  const { modelType, numLayers, hiddenSize, intermediateSize, numHeads, numKVHeads, headDim, vocabSize, rope } = config;
  const scaling = Object.entries(rope.parameters).filter(([name]) => !/^(rope_)?(type|theta)$/.test(name));
  const windows = [...new Set(config.windows)].map((window) =>
    window === null ? "all tokens" : `${window + 1} tokens`,
  );
  return [
    ["architecture", modelType],
    ["layers", `${numLayers}, hidden ${hiddenSize}, feed-forward ${intermediateSize}`],
    ["heads", `${numHeads} query, ${numKVHeads} key/value, ${headDim} wide`],
    ["vocabulary", `${formatCount(vocabSize)}${config.tieWordEmbeddings ? ", embeddings tied" : ""}`],
    ["trained length", `${formatCount(config.originalMaxPositionEmbeddings ?? config.maxPositionEmbeddings)} tokens`],
    [
      "positions",
      [
        `RoPE ${rope.ropeType}, theta ${rope.theta}`,
        ...scaling.map(
          ([name, value]) => `${name} ${Array.isArray(value) ? `of ${value.length}` : JSON.stringify(value)}`,
        ),
      ].join(", "),
    ],
    ["each token sees", windows.join(" or ")],
  ];
}

interface Facts {
  source: string;
  config: DecoderConfig | undefined;
  problem: string | undefined;
  tokenizer: boolean;
  metadata: Readonly<Record<string, string>>;
  parameters: number;
  bytes: number;
  dtypes: ReturnType<typeof byDtype>;
  memory: ReturnType<typeof memoryFacts> | undefined;
  tensors: TensorFacts[];
}

function print(facts: Facts, listTensors: boolean): void {
  const { config, memory, tensors } = facts;
  const both = ({ float32, bfloat16 }: { float32: number; bfloat16: number }) =>
    `${formatBytes(float32)} in float32, ${formatBytes(bfloat16)} in bfloat16`;
  printFacts(facts.source, [
    ...(config ? configFacts(config) : [["config.json", `not usable: ${facts.problem}`] as [string, string]]),
    ["tokenizer.json", facts.tokenizer ? "present" : "missing: give token ids instead of text"],
    [
      "parameters",
      `${formatCount(facts.parameters)} in ${tensors.length} tensors, ${formatBytes(facts.bytes)} on disk`,
    ],
  ]);
  if (memory) {
    printLine();
    printFacts("Memory", [
      ["weights", both(memory.weightsBytes)],
      ["keys and values, per token", both(memory.cacheBytesPerToken)],
      ["at the trained length", both(memory.cacheBytesAtTrainedLength)],
      ["at 16 times of it", both(memory.cacheBytesAt16Times)],
    ]);
  }
  printLine();
  printTable(
    ["dtype", "tensors", "parameters", "bytes", "share"],
    facts.dtypes.map(({ dtype, tensors, parameters, bytes }) => [
      dtype,
      String(tensors),
      formatCount(parameters),
      formatBytes(bytes),
      formatShare(bytes / facts.bytes),
    ]),
  );
  printLine();
  if (!listTensors) {
    printLine(paint("dim", "--tensors lists every tensor"));
    return;
  }
  printTable(
    ["tensor", "dtype", "shape", "bytes"],
    tensors.map(({ name, dtype, shape, bytes }) => [name, dtype, `[${shape.join(", ")}]`, formatBytes(bytes)]),
    [0, 1, 2],
  );
}

export async function inspect(given: string | undefined, options: { tensors: boolean; json?: boolean }): Promise<void> {
  const source = given ?? defaultModel;
  if (!existsSync(source))
    throw new ModelFormatError(`${source}: there is no such file or folder`, { file: source, reason: "missing" });
  const folder = statSync(source).isDirectory() ? source : dirname(source);
  const checkpoint = await Checkpoint.open(source);
  try {
    const tensors = tensorFacts(checkpoint.weights);
    const parameters = tensors.reduce((sum, { elements }) => sum + elements, 0);
    const { config, raw, problem } = await readConfig(folder);
    const facts: Facts = {
      source,
      config,
      problem,
      tokenizer: existsSync(join(folder, "tokenizer.json")),
      metadata: checkpoint.metadata,
      parameters,
      bytes: tensors.reduce((sum, { bytes }) => sum + bytes, 0),
      dtypes: byDtype(tensors),
      memory: config && memoryFacts(config, parameters),
      tensors,
    };
    if (options.json) printJson({ ...facts, config: config ? { ...config, raw } : raw });
    else print(facts, options.tensors);
  } finally {
    checkpoint.close();
  }
}
