// The list of position schemes, by rope_type of config.json.
import { UnsupportedError } from "../errors.js";
import { abfScheme } from "./abf.js";
import { byPartsScheme } from "./by-parts.js";
import { clexScheme } from "./clex.js";
import { plainScheme } from "./default.js";
import { divisorsScheme } from "./divisors.js";
import { dualChunkScheme } from "./dual-chunk.js";
import { dynamicScheme, qwenDynamicScheme } from "./dynamic.js";
import { giraffeScheme } from "./giraffe.js";
import { linearScheme } from "./linear.js";
import { llama3Scheme } from "./llama3.js";
import { lmInfiniteScheme } from "./lm-infinite.js";
import { longropeScheme } from "./longrope.js";
import { ntkFixedScheme, ntkMixedScheme, ntkScheme } from "./ntk.js";
import { proportionalScheme } from "./proportional.js";
import { leakyReropeScheme, reropeScheme } from "./rerope.js";
import { type PositionScheme, type Rotary, type RotaryInput, snakeCase } from "./scheme.js";
import { selfExtendScheme } from "./self-extend.js";
import { yarnScheme } from "./yarn.js";

const schemes: Record<string, PositionScheme> = {
  default: plainScheme,
  linear: linearScheme,
  llama3: llama3Scheme,
  dynamic: dynamicScheme,
  yarn: yarnScheme,
  longrope: longropeScheme,
  proportional: proportionalScheme,
  ntk: ntkScheme,
  ntk_fixed: ntkFixedScheme,
  ntk_mixed: ntkMixedScheme,
  by_parts: byPartsScheme,
  abf: abfScheme,
  giraffe: giraffeScheme,
  clex: clexScheme,
  qwen_dynamic: qwenDynamicScheme,
  divisors: divisorsScheme,
  rerope: reropeScheme,
  leaky_rerope: leakyReropeScheme,
  self_extend: selfExtendScheme,
  dca: dualChunkScheme,
  lm_infinite: lmInfiniteScheme,
};

/** Other spellings; mrope is plain RoPE for text. */
const aliases: Record<string, string> = {
  mrope: "default",
  none: "default",
  su: "longrope",
  p_rope: "proportional",
  ntk_by_parts: "by_parts",
  ntk_aware: "ntk",
  re_ro_p_e: "rerope",
  dual_chunk: "dca",
  dual_chunk_attention: "dca",
};

export const ropeTypes: readonly string[] = Object.keys(schemes);

/** The scheme of a rope_type; UnsupportedError lists the known ones. */
export function positionScheme(ropeType: string): PositionScheme {
  const spelt = snakeCase(ropeType.replace(/-/g, "_")).replace(/^_/, "");
  const name = Object.hasOwn(aliases, spelt) ? aliases[spelt]! : spelt;
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined;
  if (scheme) return scheme;
  const why = spelt === "xpos" ? ": models must be trained with it; positions.xpos has its numbers" : "";
  throw new UnsupportedError(`unknown rope_type "${ropeType}"${why}; known: ${ropeTypes.join(", ")}`, {
    feature: `rope_type ${ropeType}`,
    known: [...ropeTypes],
  });
}

export function rotary(ropeType: string, input: RotaryInput): Rotary {
  return positionScheme(ropeType).rotary(input);
}
