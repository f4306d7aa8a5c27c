// Which dims of a head form a pair: "half" pairs k with k + d / 2, "interleaved" 2k with 2k + 1. No file says it; it follows
// from the architecture, and for GGUF files from ggml's own table, because its converters permute some weights.
import { UnsupportedError } from "../errors.js";

export type RopeLayout = "half" | "interleaved";

/** model_types of transformers that pair neighbours; all others that were met are half-split. */
const interleavedModelTypes = new Set(
  `gptj codegen roformer cohere cohere2 glm glm4 glm4v ernie4_5 helium llama4 llama4_text deepseek_v2 deepseek_v3
  longcat_flash youtu moonshine blt`.split(/\s+/),
);

/** The layout of a Hugging Face checkpoint, by its model_type. */
export function ropeLayout(modelType: string): RopeLayout {
  return interleavedModelTypes.has(modelType) ? "interleaved" : "half";
}

export type GgufLayout = RopeLayout | "mrope" | "imrope" | "none";

// A name that ends in * stands for all that begin so.
const ggufArchitectures: Record<GgufLayout, string> = {
  none: "gpt2 gptj mpt refact bloom mamba* jamba jina-bert-v2 t5 t5encoder jais rwkv* arwkv* wavtokenizer* nemotron_h kimi-linear",
  interleaved: `llama llada llama4 deci baichuan starcoder internlm2 minicpm xverse command-r cohere2 olmo arctic deepseek
    deepseek2 deepseek32 deepseek4 plm chatglm granite* chameleon bailingmoe neo-bert smollm3 arcee ernie4_5 ernie4_5-moe
    mistral3 mistral4 eagle3 llama-embed maincoder glm-dsa nanbeige glm4`,
  half: `falcon falcon-h1 grok dbrx bert jina-bert-v3 jina-v3 modern-bert nomic* eurobert stablelm bitnet qwen qwen2 qwen2moe
    qwen3 qwen3moe dream olmo2 olmoe phi2 phi3 phimoe plamo* gemma* starcoder2 openelm gptneox codeshell orion nemotron
    exaone* minicpm3 bailingmoe2 dots1 hunyuan* gpt-oss openai-moe lfm2* smallthinker seed_oss grovemoe apertus minimax* cogvlm
    pangu* afmoe qwen3next mimo2 step35 glm4moe`,
  mrope: "qwen2vl paddleocr",
  imrope: "qwen3vl qwen3vlmoe qwen35 qwen35moe",
};

const plainName = (name: string) => name.toLowerCase().replace(/[-_.]/g, "");

/** How ggml rotates the tensors of a GGUF file, by general.architecture. */
export function ggufLayout(architecture: string): GgufLayout {
  const name = plainName(architecture);
  const listed = Object.entries(ggufArchitectures).flatMap(([layout, names]) =>
    names.split(/\s+/).map((word) => ({ layout: layout as GgufLayout, word: plainName(word) })),
  );
  const exact = listed.find(({ word }) => word === name);
  const family = listed.find(({ word }) => word.endsWith("*") && name.startsWith(word.slice(0, -1)));
  const found = exact ?? family;
  if (found) return found.layout;
  throw new UnsupportedError(`the layout of GGUF architecture "${architecture}" is not known`, {
    feature: `architecture ${architecture}`,
    known: listed.map(({ word }) => word),
  });
}

/**
 * [dim] where to find each dim: half[i] = interleaved[order[i]]. For the rows of the weights, biases and norms of q and k of
 * each head (k: of each key/value head), never of v.
 */
export function interleavedToHalf(dim: number): Int32Array {
  return Int32Array.from({ length: dim }, (_, i) => (i < dim / 2 ? 2 * i : 2 * i - dim + 1));
}
/** The way back: interleaved[i] = half[order[i]]. */
export function halfToInterleaved(dim: number): Int32Array {
  return Int32Array.from({ length: dim }, (_, i) => (i % 2 ? (i - 1 + dim) / 2 : i / 2));
}
