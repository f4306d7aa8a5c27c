// `longspan needle` as a user meets it. It runs the built dist/.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parseNames, parseShares } from "../../lib/cli/units.js";
import { defaultNeedleSchemes } from "../../lib/evaluation/index.js";
import { asset } from "../models/fixtures.js";
import { expectTextsApart, expectWellFormed } from "../plot/svg.js";
import { longspan, startLongspan } from "./command.js";

const folder = mkdtempSync(join(tmpdir(), "longspan-needle-"));
afterAll(() => rmSync(folder, { recursive: true }));

describe("longspan needle", () => {
  it("prints a table of schemes and lengths, and draws a map for each scheme", async () => {
    const svg = join(folder, "needle.svg");
    const args = [
      "needle",
      "--schemes",
      "none,linear,ntk,longrope",
      "--lengths",
      "64..1k",
      "--probes",
      "1",
      "--svg",
      svg,
    ];
    const { code, stdout, stderr } = await longspan(args);
    expect(code).toBe(0);
    expect(stderr).toBe(
      "longspan: left out longrope from length 64 on: needs short_factor and long_factor, which this checkpoint's config has not\n",
    );
    const lines = stdout.split("\n");
    expect(lines[0]).toMatch(/^scheme +64 +128 +256 +512 +1,024 +time$/);
    expect(lines[1]).toMatch(/^none +100 % +100 % +100 % .*s$/);
    expect(lines[2]).toMatch(/^linear( +\d+ %){5} .*s$/);
    expect(lines[3]).toMatch(/^ntk( +100 %){5} .*s$/);
    expect(lines[5]).toMatch(
      /^Task recall: one of five facts in noise; a scheme's row is the mean over 5 depths\. 75 prompts, 1 for each scheme, depth and length, in [\d.]+ s; trained length 256\.$/,
    );
    expect(lines[6]).toBe(`Heat maps: ${svg}`);
    const drawn = readFileSync(svg, "utf8");
    expectWellFormed(drawn);
    const [, width, height] = /width="([\d.]+)" height="([\d.]+)"/.exec(drawn)!;
    expectTextsApart(drawn, { width: Number(width), height: Number(height) });
    for (const words of [
      "trained length",
      "Over all depths at 1,024 tokens:",
      "1 prompt in each cell",
      "none\u00a0100\u00a0%, linear\u00a00\u00a0%, ntk\u00a0100\u00a0%.",
    ])
      expect(drawn).toContain(words);
    expect(drawn).not.toContain("longrope");
  });
  it("prints depth × length for one scheme, and JSON with the same numbers", async () => {
    const args = ["needle", "--schemes", "window", "--lengths", "256,512", "--depths", "100,0", "--probes", "2"];
    const [table, json] = await Promise.all([longspan(args), longspan([...args, "--json"])]);
    expect(table.stdout).toMatch(/\nwindow: depth +256 +512\n0 % +0 % +0 %\n100 % +100 % +100 %\n/);
    const { rows, ...facts } = JSON.parse(json!.stdout);
    expect(facts).toMatchObject({ model: "kv-constructed", task: "recall", trainedLength: 256, seed: 1, leftOut: [] });
    expect(
      rows.map((row: { length: number; depth: number; accuracy: number }) => [row.length, row.depth, row.accuracy]),
    ).toEqual([
      [256, 0, 0],
      [256, 1, 1],
      [512, 0, 0],
      [512, 1, 1],
    ]);
    expect(json!.stderr).toBe("");
  });
  it("takes any model with a tokenizer, and says which task it ran", async () => {
    const args = [
      "needle",
      asset("books"),
      "--schemes",
      "none",
      "--lengths",
      "16,128",
      "--depths",
      "50",
      "--probes",
      "1",
    ];
    const { code, stdout, stderr } = await longspan(args);
    expect(code).toBe(0);
    expect(stdout).toContain("Task passkey: a pass key in filler sentences");
    expect(stderr).toMatch(/^longspan: left out length 16: passkey: a prompt has at least \d+ of this model's tokens/);
  });
  it("explains itself", async () => {
    const { stdout } = await longspan(["needle", "--help"]);
    expect(stdout).toMatch(/Examples:\n {2}longspan needle\n/);
    expect(stdout).toContain("bundled kv-constructed");
    expect(stdout.replace(/\s+/g, "")).toContain(`(default:${defaultNeedleSchemes.join()})`);
  });
  it("stops at Ctrl-C with 130 and no output", async () => {
    const { child, out, ended } = startLongspan(["needle", "--lengths", "64k"]);
    setTimeout(() => child.kill("SIGINT"), 1200);
    expect(await ended).toBe(130);
    expect(out).toEqual({ stdout: "", stderr: "longspan: interrupted\n" });
  });
});

describe("what is wrong with a call", () => {
  it.each([
    [["--lengths", "4k..1k"], 2, /The range 4k\.\.1k ends before it begins\.\n$/],
    [["--depths", "0,101"], 2, /argument '0,101' is invalid\. Expected a number from 0 to 100\.\n$/],
    [["--probes", "0"], 2, /Expected a whole number from 1 on\.\n$/],
    [["--schemes", "none,,yarn"], 2, /Expected names between commas, such as none,yarn,window\.\n$/],
    [["--task", "books"], 2, /Allowed choices are recall, passkey, kv\.\n$/],
    [["--schemes", "yarm"], 1, /^longspan: ERR_LONGSPAN_ARGUMENT: unknown scheme "yarm"; did you mean "yarn"\?/],
    [["--task", "kv"], 1, /^longspan: ERR_LONGSPAN_ARGUMENT: kv: the model's vocabulary cannot write/],
    [["--lengths", "4"], 1, /^longspan: ERR_LONGSPAN_ARGUMENT: .*length must be a whole number from 13 on, got 4\n$/],
    [
      ["--schemes", "longrope", "--lengths", "64"],
      1,
      /^longspan: ERR_LONGSPAN_UNSUPPORTED: needle: no scheme can be run/,
    ],
    [["--svg", "/proc/needle.svg"], 1, /^longspan: ERR_LONGSPAN_ARGUMENT: \/proc\/needle\.svg cannot be written/],
  ])("%j", async (args, code, stderr) => {
    const outcome = await longspan(["needle", ...args]);
    expect(outcome).toMatchObject({ code, stdout: "" });
    expect(outcome.stderr).toMatch(stderr);
    expect(outcome.stderr.trimEnd().split("\n")).toHaveLength(1);
  });
});

describe("lists on the command line", () => {
  it("are names, each once", () => expect(parseNames("none, yarn,none")).toEqual(["none", "yarn"]));
  it("are percents, ascending", () => expect(parseShares("100,0,12.5,0")).toEqual([0, 0.125, 1]));
  it.each(["", "50%", "-1", "0,,50"])("refuses %j as percents", (text) => expect(() => parseShares(text)).toThrow());
});
