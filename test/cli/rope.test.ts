// `longspan rope` as a user meets it: table, drawing, JSON, Ctrl-C and going on. It runs the built dist/.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { timeLeft } from "../../lib/cli/output.js";
import { run } from "../support/process.js";

const main = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "longspan-rope-"));
afterAll(() => rmSync(folder, { recursive: true }));
const environment = { XDG_CACHE_HOME: join(folder, "cache"), NO_COLOR: "1" };
const kept = () => readdirSync(join(folder, "cache", "longspan"));

const file = (name: string, content: string) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const sentence = "The whale went down, and the sea was still, and nobody said a word of it to the captain. ";
const text = file("text.txt", Array.from({ length: 60 }, (_, i) => `${i} ${sentence}`).join(""));
const longspan = (args: string[]) => run([main, "rope", "--text", text, ...args], environment);
const small = ["--lengths", "64..512", "--schemes", "none,dynamic,longrope,window", "--windows", "3"];

interface Row {
  scheme: string;
  length: number;
  perplexity: number;
}

describe("longspan rope", () => {
  it("prints a table, the best scheme and what to paste, and draws", async () => {
    const svg = join(folder, "curves.svg");
    const { code, stdout, stderr } = await longspan([...small, "--svg", svg]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^scheme +64 +128 +256 +512 +time$/);
    expect(lines.slice(1, 4).map((line) => line.split(" ")[0])).toEqual(["none", "dynamic", "window"]);
    expect(stdout.match(/\d\*/g)).toHaveLength(1);
    expect(stdout).toMatch(/Skipped\n {2}longrope {2}needs short_factor and long_factor/);
    expect(stdout).toMatch(/3 windows of each length in [\d,]+ tokens of the text, \d+ tokens apart/);
    expect(stdout).toMatch(/Best at 512 tokens: (\w+)\. To use it:\n\nimport .*\nconst model = await loadModel\(/);
    const drawn = readFileSync(svg, "utf8");
    for (const name of ["none", "dynamic", "window", "trained length"]) expect(drawn).toContain(`>${name}<`);
    expect(kept()).toEqual([]);
  });
  it("gives one JSON value, with the form for config.json", async () => {
    const args = ["--lengths", "256,300", "--schemes", "yarn", "--per-length", "--windows", "2", "--json"];
    const { code, stdout, stderr } = await longspan(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { rows, schemes, best, skipped, windows, trainedLength } = JSON.parse(stdout);
    expect(rows.map(({ scheme, length }: Row) => `${scheme} ${length}`)).toEqual(["yarn 256", "yarn 300"]);
    expect(rows[1]).toMatchObject({ windows: 2, predictions: 2 * 299 });
    expect(rows[1].perplexity).toBeCloseTo(Math.exp(rows[1].nll), 9);
    expect(schemes).toMatchObject([{ scheme: "yarn", passes: 4 }]);
    expect({ skipped, count: windows.count, trainedLength }).toEqual({ skipped: [], count: 2, trainedLength: 256 });
    expect(best).toMatchObject({
      scheme: "yarn",
      length: 300,
      config: { max_position_embeddings: 300, rope_parameters: { rope_type: "yarn", factor: 300 / 256 } },
    });
  });
  it("leaves out lengths that the text is too short for", async () => {
    const args = ["--lengths", "64,64k", "--schemes", "none", "--windows", "2"];
    const { code, stdout, stderr } = await longspan(args);
    expect(code).toBe(0);
    expect(stdout).toContain("Best at 64 tokens");
    expect(stderr).toMatch(/^longspan: left out 65536: the text gives \d+ tokens/);
    const none = await longspan(["--lengths", "64k"]);
    expect(none).toMatchObject({ code: 1, stdout: "" });
    expect(none.stderr).toMatch(/^longspan: ERR_LONGSPAN_ARGUMENT: .* fewer than the 65543 that 8 windows of/);
  });
  it.each([
    [["--schemes", "none,yarm"], 'longspan: --schemes: there is no scheme "yarm"; did you mean yarn? Known: none, '],
    [["--schemes", "none,,yarn"], "longspan: option '--schemes <names>' argument 'none,,yarn' is invalid."],
    [["--windows", "0"], "longspan: option '--windows <n>' argument '0' is invalid."],
  ])("%j is a wrong call", async (args, message) => {
    const { code, stdout, stderr } = await longspan(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr.startsWith(message), stderr).toBe(true);
  });
});

describe("--resume", () => {
  const rowsOf = (stdout: string) => JSON.parse(stdout).rows as Row[];

  it("keeps what was finished at Ctrl-C, and the same command ends with the same rows", async () => {
    const args = ["--lengths", "64..512", "--schemes", "none,dynamic,window", "--windows", "8", "--json"];
    const child = spawn(process.execPath, [main, "rope", "--text", text, ...args], {
      env: { ...process.env, ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stderr = "";
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    const ended = new Promise((resolve) => child.on("exit", resolve));
    const path = () => join(folder, "cache", "longspan", kept()[0]!);
    const passes = () => {
      try {
        return JSON.parse(readFileSync(path(), "utf8")).passes.length as number;
      } catch {
        return 0; // not there yet
      }
    };
    while (passes() < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    child.kill("SIGINT");
    expect(await ended).toBe(130);
    expect(stderr).toMatch(
      /^longspan: \d+ passes are kept; the same command goes on from them\nlongspan: interrupted\n$/,
    );
    const resumed = await longspan(args);
    expect(resumed.code).toBe(0);
    expect(resumed.stderr).toMatch(/^longspan: going on from \S+rope-[0-9a-f]{16}\.json: \d+ passes are done$/);
    expect(kept()).toEqual([]);
    expect(rowsOf(resumed.stdout)).toEqual(rowsOf((await longspan(args)).stdout));
  });
  it("reads a finished file again, and takes further schemes", async () => {
    const state = join(folder, "state.json");
    const args = ["--lengths", "64", "--windows", "2", "--resume", state, "--json"];
    const first = await longspan([...args, "--schemes", "none"]);
    const second = await longspan([...args, "--schemes", "none,window"]);
    expect(second.stderr).toContain(": 2 passes are done");
    expect(rowsOf(second.stdout)[0]).toEqual(rowsOf(first.stdout)[0]);
    expect(rowsOf(second.stdout)).toHaveLength(2);
  });
  it("refuses the file of another measurement and says what differs", async () => {
    const state = join(folder, "other.json");
    const args = ["--schemes", "yarn", "--windows", "2", "--resume", state];
    await longspan([...args, "--lengths", "64,300"]);
    const before = readFileSync(state);
    const { code, stdout, stderr } = await longspan([...args, "--lengths", "64,301", "--dtype", "bfloat16"]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(
      "other.json is of another measurement, with other lengths (there 64, 300, here 64, 301), " +
        "dtype (there float32, here bfloat16), settings of yarn. Give --resume another file; it was left as it is",
    );
    expect(readFileSync(state)).toEqual(before);
  });
  it.each([
    ["cut", '{"kind":"longspan rope","fac', "is not what longspan rope --resume writes: "],
    ["foreign", "[1, 2]", "is not what longspan rope --resume writes; it was left as it is"],
    ["changed", '{"kind":"longspan rope","facts":{},"schemes":{},"passes":[{"scheme":1}]}', "is damaged: "],
  ])("a %s file is an error and stays", async (name, content, message) => {
    const state = file(`${name}.json`, content);
    const { code, stdout, stderr } = await longspan(["--lengths", "64", "--resume", state]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain(`ERR_LONGSPAN_ARGUMENT: ${state} ${message}`);
    expect(readFileSync(state, "utf8")).toBe(content);
  });
});

it("a bar says how much time is left by what was done since it began", () => {
  expect(timeLeft({ done: 50, at: 0 }, { done: 50, at: 1000 }, 100)).toBe("");
  expect(timeLeft({ done: 50, at: 0 }, { done: 60, at: 3000 }, 100)).toBe(", 12 s left");
  expect(timeLeft({ done: 0, at: 0 }, { done: 100, at: 3000 }, 100)).toBe("");
});
