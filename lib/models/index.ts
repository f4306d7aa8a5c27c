// The list of architectures, by model_type of config.json.
import { UnsupportedError } from "../errors.js";
import type { JsonFields } from "../formats/json-file.js";
import type { Architecture } from "./architecture.js";
import { llama } from "./llama.js";
import { mistral } from "./mistral.js";
import { qwen2 } from "./qwen2.js";
import { qwen3 } from "./qwen3.js";

export type { Architecture, DecoderModel, Pass } from "./architecture.js";
export { type DecoderConfig, ropeFault, ropesOf, rotariesOf } from "./decoder-config.js";

const architectures: Record<string, Architecture> = { llama, mistral, qwen2, qwen3 };

export const modelTypes: readonly string[] = Object.keys(architectures);

/** The architecture of a config.json; UnsupportedError lists the known model types. */
export function architectureOf(fields: JsonFields): Architecture {
  const modelType = fields.string("model_type");
  const architecture = Object.hasOwn(architectures, modelType) ? architectures[modelType] : undefined;
  if (architecture) return architecture;
  throw new UnsupportedError(`${fields.file}: unknown model_type "${modelType}"; known: ${modelTypes.join(", ")}`, {
    feature: `model_type ${modelType}`,
    known: [...modelTypes],
  });
}
