// A pattern as JavaScript sees it: a specification, made concrete by the lengths of a call. Which keys it allows is
// answered by the C++ struct that the kernels walk (csrc/attention/pattern.h), never written twice.
import { ArgumentError } from "../errors.js";
import { native } from "../binding.js";

export type PatternSpec = Parameters<typeof native.patternVisible>[0] & { kind: string };

/** Which keys a query sees. Made by the factories of `patterns`. */
export class Pattern {
  readonly #spec: PatternSpec;

  constructor(spec: PatternSpec) {
    native.patternVisible(spec, 0, 0, 1, 1); // checks the parameters now
    this.#spec = Object.freeze({ ...spec });
  }
  /** Name and parameters. */
  get spec(): PatternSpec {
    return this.#spec;
  }
  /** May query `q` see key `kv`? Lengths matter only where they differ: the last query is aligned with the last key. */
  visible(q: number, kv: number, lengths?: { seqLenQ: number; seqLenKV: number }): boolean {
    const seqLen = Math.max(q, kv) + 1;
    return native.patternVisible(this.#spec, q, kv, lengths?.seqLenQ ?? seqLen, lengths?.seqLenKV ?? seqLen);
  }
  /** The share of query-key pairs that are visible. */
  density(seqLenQ: number, seqLenKV: number = seqLenQ): number {
    const pairs = seqLenQ * seqLenKV;
    return pairs === 0 ? 0 : this.allowedPairs(seqLenQ, seqLenKV) / pairs;
  }
  /** How many query-key pairs are visible, exactly: flops are 2 · (headDim + valueDim) per pair and query head. */
  allowedPairs(seqLenQ: number, seqLenKV: number = seqLenQ): number {
    return native.patternAllowedPairs(this.#spec, seqLenQ, seqLenKV);
  }
  /** The picture that papers show: queries downwards, keys to the right, visible pairs dark. seqLen up to 512. */
  toSvg({ seqLen = 64, cell = 6 }: { seqLen?: number; cell?: number } = {}): string {
    if (!Number.isInteger(seqLen) || seqLen < 1 || seqLen > 512)
      throw new ArgumentError(`toSvg: seqLen must be an integer in [1, 512], got ${seqLen}`, {
        op: "toSvg",
        argument: "seqLen",
      });
    const size = seqLen * cell;
    const runs: string[] = [];
    for (let q = 0; q < seqLen; q++) {
      for (let kv = 0; kv < seqLen; kv++) {
        const start = kv;
        while (kv < seqLen && this.visible(q, kv, { seqLenQ: seqLen, seqLenKV: seqLen })) kv++;
        if (kv > start)
          runs.push(`M${start * cell} ${q * cell}h${(kv - start) * cell}v${cell}h${(start - kv) * cell}z`);
      }
    }
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 ${size + 2} ${size + 2}" role="img">` +
      `<title>${this.#spec.kind} attention, ${seqLen} queries by ${seqLen} keys</title>` +
      `<rect width="${size}" height="${size}" fill="#f4f6f8" stroke="#9aa5b1"/>` +
      `<path d="${runs.join("")}" fill="#1f4e79"/></svg>`
    );
  }
}

/** What the addon reads of a pattern. */
export function patternSpec(pattern: unknown): PatternSpec {
  if (pattern instanceof Pattern) return pattern.spec;
  throw new ArgumentError("flashAttention: pattern must be made by one of the factories of `patterns`", {
    op: "flashAttention",
    argument: "pattern",
  });
}
