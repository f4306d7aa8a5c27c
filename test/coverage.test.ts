// docs/support.md says what the lists of test/cases cover and no more: its tables are printed from them. It fails where the
// file is stale; `-u` writes it.
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import * as longspan from "../lib/index.js";
import { entries } from "../scripts/gallery/entries.mjs";
import { attentionCoverage, type Coverage, forms, opCoverage, patternCoverage } from "./cases/coverage.js";
import { floatDTypes } from "./support/numbers.js";
import { isas } from "./support/isas.js";

const root = new URL("../", import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), "utf8");
const short = { float32: "f32", float16: "f16", bfloat16: "bf16" };
const named = (dtypes?: Set<string>) =>
  floatDTypes
    .filter((dtype) => dtypes?.has(dtype))
    .map((dtype) => short[dtype])
    .join(", ") || "–";

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [line(head), `|${"---|".repeat(head.length)}`, ...rows.map(line)].join("\n");
}
function byForm(title: string, coverage: Coverage): string {
  const columns = forms.filter((form) => [...coverage.values()].some((row) => row[form]));
  const rows = [...coverage].map(([op, row]) => [`\`${op}\``, ...columns.map((form) => named(row[form]))]);
  return table([title, ...columns], rows);
}

/** Rows of the backend table, and who has them: C++ tests call them by name, the CUDA table fills them by name. */
function kernels(): string {
  const backend = /struct Backend \{([\s\S]*?)\n\};/.exec(read("csrc/core/backend.h"))?.[1] ?? "";
  const names = [...backend.matchAll(/\(\*(\w+)\)\(const \w+&, /g)].map(([, name]) => name as string);
  const sources = readdirSync(new URL("test/native/", root)).filter((file) => file.endsWith(".cc"));
  const native = sources.map((file) => read(`test/native/${file}`)).join("\n");
  const cuda = read("cuda/backend.cu");
  const rows = names.map((name) => [
    `\`${name}\``,
    new RegExp(`(->|\\.)${name}\\(`).test(native) ? "C++ test" : "–",
    new RegExp(`\\.${name} = `).test(cuda) ? "emulated, never run on a device" : "–",
  ]);
  return table(["kernel", "NEON", "CUDA"], rows);
}

function generated(): string {
  const sets = isas.filter((isa) => isa !== "neon").map((isa) => `\`${isa}\``);
  const ops = [...opCoverage()].map(([op, dtypes]) => [`\`${op}\``, named(dtypes)]);
  return `## What is compared

Each entry is held against its definition in float64 (sequences: against calls of their own) on each of ${sets.join(", ")} that the machine has. Columns are forms: all rows of a sequence; the last rows, with keys before them; one row; a recurrence cut in steps; several sequences packed in one tensor, padded, or in pages. “–” is not in the lists, whether or not it works. Whole sequences of several tiles are compared on the best set alone (\`test/many-tiles.test.ts\`).

${byForm("op", attentionCoverage())}

\`flashAttention\` under a pattern:

${byForm("pattern", patternCoverage())}

Ops beside attention, dtype of the first input:

${table(["op", "dtypes"], ops)}

Kernels on other devices. NEON: the C++ tests of \`test/native\`, under qemu and by hand (\`scripts/arm64.sh\`); the lists above have not run there. CUDA: the lists above run on an emulated device (\`npx vitest run --project cuda\`, docs/cuda.md); ops whose rows are missing here fall back to the CPU there.

${kernels()}
`;
}

describe("coverage", () => {
  it("docs/support.md is what the lists cover", async () => {
    const path = "docs/support.md";
    const [head] = read(path).split(/(?<=^<!--.*-->\n)/m);
    await expect(`${head}\n${generated()}`).toMatchFileSnapshot(`../${path}`);
  });
  it("every pattern and every op of attention is in a list, and every pattern in the gallery", () => {
    const listed = [...patternCoverage().keys()].toSorted();
    const factories = Object.keys(longspan.patterns).toSorted();
    expect(listed).toEqual(factories);
    // docs/patterns.md shows them all but the two that only put others together.
    const shown = entries({ patterns: longspan.patterns }).map(({ name }) => name);
    expect([...shown, "perHead", "sum"].toSorted()).toEqual(factories);
    const ops = Object.keys(longspan).filter((name) => /Attention$|^deltaNet$|^retention$/.test(name));
    const missing = ops.filter((op) => !attentionCoverage().has(op));
    // One plans a call, the other adds up parts: test/explain.test.ts, test/isa/properties.test.ts.
    expect(missing.toSorted()).toEqual(["explainAttention", "mergeAttention"]);
  });
});
