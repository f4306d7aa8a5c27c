// A pattern as JavaScript sees it: a specification, made concrete by the lengths of a call. Which keys it allows is
// answered by the C++ structs that the kernels walk (csrc/attention), never written twice.
import { native } from "../binding.js";
import { ArgumentError } from "../errors.js";
import type { PatternSpec as NativePatternSpec } from "../native.d.ts";
import { checkedNumber, checkedOptions } from "../options.js";
import { unscoped } from "../tensor.js";

export type PatternSpec = NativePatternSpec & { kind: string };

/** Queries and keys of a call. The last query is aligned with the last key. */
export interface PatternLengths {
  seqLenQ: number;
  seqLenKV: number;
}
/** Where a pattern is asked: lengths, and the head where heads differ. */
export interface PatternPlace extends Partial<PatternLengths> {
  /** Which query head; 0 if absent. */
  head?: number;
  /** Query heads of the call; as many as the pattern is for, if absent. */
  numHeads?: number;
  /** Which sequence of the batch; 0 if absent. */
  batch?: number;
}
export interface PatternFacts {
  /** What the picture is titled; the kind if absent. */
  title?: string;
  /** The pattern differs by head and is for so many. */
  numHeads?: number;
  /** The pattern differs by sequence and is for so many. */
  batches?: number;
  /** The pattern was made for these lengths alone. */
  lengths?: PatternLengths;
  /** What is seen depends on how long the sequence is, not on positions alone. */
  byLength?: boolean;
}

/** A specification, or what makes it once the lengths are known. */
export type PatternSource = PatternSpec | ((lengths: PatternLengths) => PatternSpec);

/** Which keys a query sees. Made by the factories of `patterns`. */
export class Pattern {
  readonly #source: PatternSource;
  readonly #facts: PatternFacts;
  #last: { key: string; spec: PatternSpec } | undefined;
  #row: { key: string; runs: number[] | undefined } | undefined;

  constructor(source: PatternSource, facts: PatternFacts = {}) {
    this.#source = typeof source === "function" ? source : Object.freeze({ ...source });
    this.#facts = facts;
    if (typeof source !== "function" && !facts.lengths) this.multiplicity(0, 0); // checks the parameters now
  }
  /** Name and parameters, at the lengths of a call. */
  spec(lengths: PatternLengths): PatternSpec {
    const { lengths: own } = this.#facts;
    if (own && (own.seqLenQ !== lengths.seqLenQ || own.seqLenKV !== lengths.seqLenKV))
      throw new ArgumentError(
        `pattern: it was made for seqLenQ = ${own.seqLenQ} and seqLenKV = ${own.seqLenKV}, not for ${lengths.seqLenQ} and ${lengths.seqLenKV}`,
        { op: "pattern", argument: "pattern" },
      );
    if (typeof this.#source !== "function") return this.#source;
    const key = `${lengths.seqLenQ},${lengths.seqLenKV}`;
    const source = this.#source;
    if (this.#last?.key !== key) this.#last = { key, spec: unscoped(() => source(lengths)) };
    return this.#last.spec;
  }
  get facts(): Readonly<PatternFacts> {
    return this.#facts;
  }
  #place(
    op: string,
    given: PatternPlace,
    least: number,
  ): { spec: PatternSpec; place: Required<Omit<PatternPlace, "numHeads">> & { numHeads?: number; batches?: number } } {
    const options = checkedOptions(op, given, ["seqLenQ", "seqLenKV", "head", "numHeads", "batch"]);
    const own = this.#facts.lengths;
    const length = (name: "seqLenQ" | "seqLenKV", other: "seqLenQ" | "seqLenKV") =>
      checkedNumber(op, name, options[name], { integer: true, min: 0 }) ?? own?.[name] ?? options[other] ?? least;
    const seqLenQ = length("seqLenQ", "seqLenKV");
    const seqLenKV = length("seqLenKV", "seqLenQ");
    const numHeads = options.numHeads ?? this.#facts.numHeads;
    return {
      spec: this.spec({ seqLenQ, seqLenKV }),
      place: {
        seqLenQ,
        seqLenKV,
        head: options.head ?? 0,
        batch: options.batch ?? 0,
        ...(numHeads === undefined ? {} : { numHeads }),
        ...(this.#facts.batches === undefined ? {} : { batches: this.#facts.batches }),
      },
    };
  }
  /** May query `q` see key `kv`? Both lengths are max(q, kv) + 1 unless given. */
  visible(q: number, kv: number, place: PatternPlace = {}): boolean {
    return this.multiplicity(q, kv, place) > 0;
  }
  /** In how many parts of a sum (LongNet's branches) query `q` sees key `kv`: it counts as often. */
  multiplicity(q: number, kv: number, place: PatternPlace = {}): number {
    const at = this.#place("visible", place, Math.max(q, kv) + 1);
    const { seqLenQ, seqLenKV, head, batch, numHeads } = at.place;
    const key = `${q},${seqLenQ},${seqLenKV},${head},${batch},${numHeads}`;
    if (this.#row?.key !== key || !(kv >= 0 && kv < seqLenKV)) {
      this.#row = { key, runs: undefined };
      return native.patternMultiplicity(at.spec, q, kv, at.place);
    }
    this.#row.runs ??= native.patternRuns(at.spec, q, 1, at.place); // asked again: all of the row at once
    const { runs } = this.#row;
    for (let i = 0; i < runs.length; i += 4)
      if (kv >= (runs[i + 1] as number) && kv < (runs[i + 2] as number)) return runs[i + 3] as number;
    return 0;
  }
  /** The share of query-key pairs that are visible, each as often as it counts. */
  density(seqLenQ: number, seqLenKV: number = seqLenQ, place: PatternPlace = {}): number {
    const pairs = seqLenQ * seqLenKV;
    return pairs === 0 ? 0 : this.allowedPairs(seqLenQ, seqLenKV, place) / pairs;
  }
  /** How many query-key pairs are visible, exactly: flops are 2 · (headDim + valueDim) per pair and query head. */
  allowedPairs(seqLenQ: number, seqLenKV: number = seqLenQ, place: PatternPlace = {}): number {
    const at = this.#place("allowedPairs", { ...place, seqLenQ, seqLenKV }, 1);
    return native.patternAllowedPairs(at.spec, at.place);
  }
  /** The picture that papers show: queries downwards, keys to the right, visible pairs dark. Lengths up to 512. */
  toSvg(options: PatternPlace & { seqLen?: number; cell?: number } = {}): string {
    const { seqLen, cell = 6, ...place } = options;
    const own = this.#facts.lengths;
    const rule = { integer: true, min: 1, max: 512 };
    const rows = checkedNumber("toSvg", "seqLen", place.seqLenQ ?? seqLen ?? own?.seqLenQ ?? 64, rule) as number;
    const columns = checkedNumber("toSvg", "seqLen", place.seqLenKV ?? seqLen ?? own?.seqLenKV ?? 64, rule) as number;
    const at = this.#place("toSvg", { ...place, seqLenQ: rows, seqLenKV: columns }, 1);
    const runs = native.patternRuns(at.spec, 0, rows, at.place);
    const paths = new Map<number, string[]>();
    for (let i = 0; i < runs.length; i += 4) {
      const [q, begin, end, times] = runs.slice(i, i + 4) as [number, number, number, number];
      const path = paths.get(times) ?? [];
      paths.set(times, path);
      path.push(`M${begin * cell} ${q * cell}h${(end - begin) * cell}v${cell}h${(begin - end) * cell}z`);
    }
    const most = Math.max(...paths.keys(), 1);
    const shade = (times: number) => (most === 1 ? 1 : 0.45 + (0.55 * times) / most);
    const title = `${this.#facts.title ?? at.spec.kind} attention, ${rows} queries by ${columns} keys`;
    return (
      `<svg xmlns="http://www.w3.org/2000/svg" viewBox="-1 -1 ${columns * cell + 2} ${rows * cell + 2}" role="img">` +
      `<title>${title}</title>` +
      `<rect width="${columns * cell}" height="${rows * cell}" fill="#f4f6f8" stroke="#9aa5b1"/>` +
      [...paths]
        .map(([times, path]) => `<path d="${path.join("")}" fill="#1f4e79" fill-opacity="${shade(times).toFixed(2)}"/>`)
        .join("") +
      "</svg>"
    );
  }
}

/** What the addon reads of a pattern, at the lengths of a call. */
export function patternSpec(op: string, pattern: unknown, lengths: () => PatternLengths): PatternSpec {
  if (pattern instanceof Pattern) return pattern.spec(lengths());
  if (typeof (pattern as { select?: unknown } | null)?.select === "function")
    throw new ArgumentError(`${op}: this pattern depends on content: give what its select(q, k) returns`, {
      op,
      argument: "pattern",
    });
  throw new ArgumentError(`${op}: pattern must be made by one of the factories of \`patterns\``, {
    op,
    argument: "pattern",
  });
}
