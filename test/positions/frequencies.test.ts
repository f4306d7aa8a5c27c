// Frequencies of each scheme against transformers' own, recomputed in float64.
import { describe, expect, it } from "vitest";
import { UnsupportedError } from "../../lib/index.js";
import { rotary, SchemeParameters } from "../../lib/positions/index.js";
import { fixture, readJson } from "../models/fixtures.js";

interface Case {
  name: string;
  config: {
    hidden_size: number;
    num_attention_heads: number;
    head_dim?: number | null;
    max_position_embeddings: number;
    partial_rotary_factor?: number;
    rope_parameters: Record<string, unknown> & {
      rope_type: string;
      rope_theta: number;
      partial_rotary_factor?: number;
    };
  };
  inv_freq_f64: number[];
  attention_factor_f64: number;
}

function fail(name: string, expected: string, actual: unknown): never {
  throw new Error(`${name}: ${expected}, ${actual}`);
}

describe("frequencies", () => {
  it.each(readJson<Case[]>(fixture("positions", "hf_rope.json")))(
    "$name",
    ({ config, inv_freq_f64, attention_factor_f64 }) => {
      const rope = config.rope_parameters;
      const headDim = config.head_dim ?? config.hidden_size / config.num_attention_heads;
      const partial = rope.partial_rotary_factor ?? config.partial_rotary_factor ?? 1;
      const { frequencies, attentionScale } = rotary(rope.rope_type, {
        rotaryDim: Math.trunc(headDim * partial),
        theta: rope.rope_theta,
        maxPositionEmbeddings: config.max_position_embeddings,
        originalMaxPositionEmbeddings: Number(rope.original_max_position_embeddings ?? config.max_position_embeddings),
        parameters: new SchemeParameters(rope, fail),
      });
      expect(attentionScale).toBe(attention_factor_f64);
      expect(frequencies).toHaveLength(inv_freq_f64.length);
      frequencies.forEach((frequency, i) => {
        expect(Math.abs(frequency / inv_freq_f64[i]! - 1)).toBeLessThan(1e-14);
      });
    },
  );

  it("lists the known schemes", () => {
    expect(() => rotary("yarnish", {} as never)).toThrow(UnsupportedError);
    expect(() => rotary("yarnish", {} as never)).toThrow(/default, linear, llama3/);
  });
});
