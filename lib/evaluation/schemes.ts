// The position schemes that a model can be run with as it is, by the names of `longspan rope` and `longspan needle`: from
// the trained length and how much longer the text is to settings, with the defaults of the papers.
import { ArgumentError } from "../errors.js";
import type { Model } from "../model.js";
import type { AttentionSettings, RopeScaling } from "../model-settings.js";
import { closest } from "../options.js";
import { positions } from "../positions/index.js";
import { trainedLength } from "./perplexity.js";

export interface SchemeSettings {
  ropeScaling?: RopeScaling;
  attention?: AttentionSettings;
  /** The options to paste, where JSON of the settings does not say them. */
  snippet?: string;
}

interface SchemeFacts {
  trained: number;
  /** Length / trained length, at least 1. */
  factor: number;
  /** rope_scaling or rope_parameters of config.json. */
  checkpoint: Readonly<Record<string, unknown>>;
}

interface EvaluatedScheme {
  title: string;
  /** Settings, or why this checkpoint cannot have them. */
  settings(facts: SchemeFacts): SchemeSettings | string;
  /** Its positions depend on the length of the text: one pass serves one length only. */
  byLength?: true;
}

const schemes: Record<string, EvaluatedScheme> = {
  none: { title: "plain RoPE", settings: () => ({ ropeScaling: null }) },
  checkpoint: {
    title: "as config.json says",
    settings: ({ checkpoint }) =>
      "rope_type" in checkpoint || "type" in checkpoint ? {} : "its config.json scales nothing: the same as none",
    byLength: true,
  },
  linear: {
    title: "linear (PI)",
    settings: ({ factor }) => ({ ropeScaling: { rope_type: "linear", factor } }),
  },
  ntk: { title: "NTK-aware", settings: ({ factor }) => ({ ropeScaling: { rope_type: "ntk", factor } }) },
  dynamic: {
    title: "dynamic NTK",
    settings: ({ factor }) => ({ ropeScaling: { rope_type: "dynamic", factor } }),
    byLength: true,
  },
  yarn: {
    title: "YaRN",
    settings: ({ factor, trained }) => ({
      ropeScaling: { rope_type: "yarn", factor, original_max_position_embeddings: trained },
    }),
  },
  llama3: {
    title: "Llama 3",
    settings: ({ factor, trained }) => ({
      ropeScaling: {
        rope_type: "llama3",
        factor,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: trained,
      },
    }),
  },
  longrope: {
    title: "LongRoPE",
    settings: ({ checkpoint }) =>
      "long_factor" in checkpoint ? {} : "needs short_factor and long_factor, which this checkpoint's config has not",
    byLength: true,
  },
  rerope: {
    title: "ReRoPE",
    settings: ({ trained }) => ({ ropeScaling: { rope_type: "rerope", window: Math.floor(trained / 2) } }),
  },
  "leaky-rerope": {
    title: "Leaky ReRoPE",
    settings: ({ trained, factor }) => ({
      ropeScaling: { rope_type: "leaky_rerope", window: Math.floor(trained / 2), scaling_factor: 2 * factor },
    }),
  },
  "self-extend": {
    title: "Self-Extend",
    settings: ({ trained, factor }) => ({
      ropeScaling: {
        rope_type: "self_extend",
        window_size: Math.floor(trained / 2),
        group_size: Math.ceil(2 * factor),
      },
    }),
  },
  dca: {
    title: "Dual Chunk Attention",
    settings: ({ trained }) => ({ ropeScaling: { rope_type: "dca", chunk_size: Math.floor(trained * 0.75) } }),
  },
  window: {
    title: "window",
    settings: ({ trained }) => ({ attention: { window: Math.floor(trained / 2) - 1 } }),
  },
  sinks: {
    title: "sinks + window",
    settings: ({ trained }) => ({ attention: { window: Math.max(1, trained - 5), sinks: 4 } }),
  },
  "lm-infinite": {
    title: "LM-Infinite",
    settings: ({ trained }) => ({ ropeScaling: { rope_type: "lm_infinite", window: trained, sinks: 4 } }),
  },
  logn: {
    title: "log-n",
    settings: ({ trained }) => ({
      attention: { queryScale: positions.logN({ trainedLength: trained }) },
      snippet: `attention: { queryScale: positions.logN({ trainedLength: ${trained} }) }`,
    }),
  },
};

export const schemeNames: readonly string[] = Object.keys(schemes);

export interface SchemeChoice {
  name: string;
  title: string;
  byLength: boolean;
  /** Settings for texts of a length; a reason where the checkpoint cannot have them. */
  at(length: number): SchemeSettings | string;
}

/** A scheme for a model; ArgumentError lists the known names. */
export function schemeFor(model: Model, name: string): SchemeChoice {
  if (!Object.hasOwn(schemes, name)) {
    const near = closest(name, schemeNames);
    throw new ArgumentError(
      `unknown scheme "${name}"${near ? `; did you mean "${near}"?` : ""} Known: ${schemeNames.join(", ")}`,
      { op: "schemeFor", argument: "name" },
    );
  }
  const { title, settings, byLength = false } = schemes[name]!;
  const trained = trainedLength(model);
  const checkpoint = model.config.rope.parameters;
  return {
    name,
    title,
    byLength,
    at: (length) => settings({ trained, factor: Math.max(1, length / trained), checkpoint }),
  };
}
