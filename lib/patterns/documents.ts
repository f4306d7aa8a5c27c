// Several texts in one sequence: documents that do not see each other, parallel context windows, draft trees.
import { ArgumentError } from "../errors.js";
import { checkedOptions } from "../options.js";
import { Tensor, unscoped } from "../tensor.js";
import { Pattern } from "./pattern.js";

function lengthsOf(op: string, argument: string, lengths: readonly number[]): number[] {
  const good = Array.isArray(lengths) && lengths.every((length) => Number.isSafeInteger(length) && length >= 0);
  if (!good || lengths.length === 0)
    throw new ArgumentError(`${op}: ${argument} must be a list of lengths, none of them negative`, { op, argument });
  return [...lengths];
}
function begins(lengths: readonly number[]): number[] {
  const at = [0];
  for (const length of lengths.slice(0, -1)) at.push((at.at(-1) as number) + length);
  return at;
}

/** Documents behind each other, each sees itself: doc(i) = doc(j), and j ≤ i if causal (true unless said otherwise). */
export function documents(options: { lengths: readonly number[]; causal?: boolean }): Pattern {
  const { lengths, causal = true } = checkedOptions("documents", options, ["lengths", "causal"]);
  const bounds = begins(lengthsOf("documents", "lengths", lengths ?? []));
  return new Pattern({ kind: "documents", bounds, causal });
}

/**
 * Parallel context windows (Ratner et al. 2022): each window sees itself causally, what follows the last window sees all
 * windows and itself causally. Positions restart in each window: that is the caller's `positions`.
 */
export function pcw(options: { windows: readonly number[] }): Pattern {
  const { windows } = checkedOptions("pcw", options, ["windows"]);
  const lengths = lengthsOf("pcw", "windows", windows ?? []);
  const total = lengths.reduce((a, b) => a + b, 0);
  const task = {
    kind: "intersect",
    of: [{ kind: "queries", bounds: [total, 2 ** 30] }, { kind: "causal" }],
  };
  return new Pattern(
    { kind: "union", of: [{ kind: "documents", bounds: begins([...lengths, 1]), causal: true }, task] },
    { title: "parallel context windows" },
  );
}

/**
 * A draft tree behind committed keys, for speculative decoding: the last parents.length positions are its nodes, each
 * sees all committed keys, its ancestors and itself. parents[i] < i is the parent of node i, −1 for a root.
 */
export function tree(options: { parents: readonly number[] }): Pattern {
  const { parents = [] } = checkedOptions("tree", options, ["parents"]);
  const size = parents.length;
  const mask = new Uint8Array(size * size);
  parents.forEach((parent, node) => {
    if (!Number.isSafeInteger(parent) || parent >= node || parent < -1)
      throw new ArgumentError(`tree: parents[${node}] must be −1 or an earlier node, got ${parent}`, {
        op: "tree",
        argument: "parents",
      });
    if (parent >= 0) mask.copyWithin(node * size, parent * size, (parent + 1) * size);
    mask[node * size + node] = 1;
  });
  const table = unscoped(() => new Tensor("uint8", mask, [size, size], { device: "cpu" }));
  return new Pattern(
    ({ seqLenKV }) => {
      const committed = Math.max(seqLenKV - size, 0);
      return {
        kind: "union",
        of: [
          {
            kind: "intersect",
            of: [{ kind: "keys", bounds: [0, committed] }, { kind: "causal" }],
          },
          { kind: "elements", mask: table, firstQuery: committed, firstKey: committed },
        ],
      };
    },
    { title: "draft tree", byLength: true },
  );
}
