// What to paste to run a model with a scheme: the call in TypeScript, and config.json where transformers knows the scheme.
import type { SchemeSettings } from "./schemes.js";

function literal(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(literal).join(", ")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).map(([name, field]) => `${name}: ${literal(field)}`);
  return fields.length > 0 ? `{ ${fields.join(", ")} }` : "{}";
}

/** The lines that load the model with these settings. */
export function schemeSnippet(source: string, { snippet, ropeScaling, attention }: SchemeSettings): string {
  const options = snippet
    ? `{ ${snippet} }`
    : literal({ ...(ropeScaling !== undefined && { ropeScaling }), ...(attention && { attention }) });
  const names = snippet?.includes("positions.") ? "loadModel, positions" : "loadModel";
  const call = `loadModel(${JSON.stringify(source)}${options === "{}" ? "" : `, ${options}`})`;
  return `import { ${names} } from "longspan";\nconst model = await ${call};`;
}

const transformersTypes = ["linear", "dynamic", "yarn", "llama3"];
/** Their factor is read together with max_position_embeddings by some versions of transformers. */
const typesOfALength = ["yarn", "llama3"];

/**
 * The fields of config.json that say the same to transformers, in the spelling that the checkpoint's own file has;
 * undefined where transformers has no such scheme.
 */
export function schemeConfig(
  raw: Readonly<Record<string, unknown>>,
  { ropeScaling, attention }: SchemeSettings,
  length: number,
): Record<string, unknown> | undefined {
  const type = ropeScaling?.rope_type;
  if (attention || typeof type !== "string" || !transformersTypes.includes(type)) return undefined;
  const own = raw.rope_parameters as Readonly<Record<string, unknown>> | undefined;
  const theta = own?.rope_theta ?? raw.rope_theta;
  return {
    ...(typesOfALength.includes(type) && { max_position_embeddings: length }),
    ...(own
      ? { rope_parameters: { ...(theta !== undefined && { rope_theta: theta }), ...ropeScaling } }
      : { rope_scaling: ropeScaling }),
  };
}
