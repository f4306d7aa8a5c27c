// The README's code runs as it stands, in the root of a checkout, and its links and commands exist.
import { execFile } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(join(root, "README.md"), "utf8");
const blocks = (language: string) =>
  [...readme.matchAll(/^```(\w+)\n(.*?)^```/gms)].filter(([, name]) => name === language).map(([, , code]) => code!);

/** Inside of the package, so that it may import it by its name. */
function run(code: string): Promise<{ error: Error | null; stdout: string; stderr: string }> {
  mkdirSync(join(root, "build"), { recursive: true });
  const folder = mkdtempSync(join(root, "build", "readme-"));
  const file = join(folder, "example.mjs");
  writeFileSync(file, code);
  return new Promise((resolve) => {
    execFile(process.execPath, [file], { cwd: root, timeout: 55_000 }, (error, stdout, stderr) => {
      rmSync(folder, { recursive: true });
      resolve({ error, stdout, stderr });
    });
  });
}

describe("README.md", () => {
  it("has one example of twelve lines", () => {
    expect(blocks("js")).toHaveLength(1);
    expect(blocks("js")[0]!.trim().split("\n")).toHaveLength(12);
  });
  it("its example runs", async () => {
    const { error, stdout, stderr } = await run(blocks("js")[0]!);
    expect(error, stderr).toBeNull();
    expect(stderr).toBe("");
    expect(stdout).toMatch(/\n \d{4} tokens in the context\n\[ 1, 4096, 8, 64 \] 0\.5\n$/);
  });
  it("its npm scripts exist", () => {
    const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
    const used = [...readme.matchAll(/npm (?:run )?(start|test|bench|check)\b/g)].map(([, name]) => name!);
    expect(used).toEqual(expect.arrayContaining(["start", "test", "bench"]));
    for (const name of used) expect(scripts).toHaveProperty(name);
  });
  it("its links lead somewhere", () => {
    const links = [...readme.matchAll(/\]\((?!https?:)([^)#]+)\)/g)].map(([, target]) => target!);
    expect(links.length).toBeGreaterThan(8);
    for (const link of links) expect(existsSync(join(root, link)), link).toBe(true);
  });
  it("its perplexities are those of the reference", () => {
    const read = (name: string) =>
      JSON.parse(readFileSync(join(root, "test", "fixtures", "books", name), "utf8")) as {
        method: string;
        length: number;
        ppl: number;
      }[];
    const rows = [...read("ppl.json"), ...read("ppl_methods.json")];
    const of = (method: string) =>
      [256, 512, 1024, 2048, 4096].map((length) => {
        const own = length === 256 && method !== "sliding_window" ? "none" : method; // within the trained length: plain
        return rows.find((row) => row.method === own && row.length === length)?.ppl.toFixed(1) ?? "–";
      });
    for (const [title, method] of [
      ["plain RoPE", "none"],
      ["linear (PI), factor length / 256", "linear"],
      ["NTK-aware", "ntk_fixed"],
      ["YaRN", "yarn"],
      ["ReRoPE, window 128", "rerope"],
      ["4 sinks + window of 252", "streaming_sinks"],
      ["window of 128 tokens", "sliding_window"],
    ])
      expect(readme).toContain(`| ${title} | ${of(method!).join(" | ")} |`);
  });
});
