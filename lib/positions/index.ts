// The list of position schemes, by rope_type of config.json.
import { UnsupportedError } from "../errors.js";
import { plain } from "./default.js";
import { linear } from "./linear.js";
import { llama3 } from "./llama3.js";
import type { PositionScheme, Rotary, RotaryInput } from "./scheme.js";

export { type ParameterFault, type Rotary, type RotaryInput, SchemeParameters } from "./scheme.js";

const schemes: Record<string, PositionScheme> = { default: plain, linear, llama3 };

/** Spellings met in checkpoints; mrope is plain RoPE for text. */
const aliases: Record<string, string> = { mrope: "default" };

export const ropeTypes: readonly string[] = Object.keys(schemes);

/** The scheme of a rope_type; UnsupportedError lists the known ones. */
export function positionScheme(ropeType: string): PositionScheme {
  const name = aliases[ropeType] ?? ropeType;
  const scheme = Object.hasOwn(schemes, name) ? schemes[name] : undefined;
  if (scheme) return scheme;
  throw new UnsupportedError(`unknown rope_type "${ropeType}"; known: ${ropeTypes.join(", ")}`, {
    feature: `rope_type ${ropeType}`,
    known: [...ropeTypes],
  });
}

export function rotary(ropeType: string, input: RotaryInput): Rotary {
  return positionScheme(ropeType).rotary(input);
}
