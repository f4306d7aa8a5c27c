// The command as a user meets it: a child process, its two streams and its exit code. It runs the built dist/.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { fixture } from "../models/fixtures.js";
import { longspan, startLongspan } from "./command.js";

const folder = mkdtempSync(join(tmpdir(), "longspan-cli-"));
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
};
const text = file("text.txt", "The whale went down, and the sea was still. ".repeat(60));

describe("longspan --help", () => {
  it("names every command and the exit codes", async () => {
    const { code, stdout } = await longspan(["--help"]);
    expect(code).toBe(0);
    for (const word of [
      "generate",
      "perplexity",
      "rope",
      "needle",
      "inspect",
      "doctor",
      "bench",
      "Exit codes",
      "Examples",
    ])
      expect(stdout).toContain(word);
  });
  it.each(["generate", "perplexity", "rope", "inspect"])("explains %s with examples", async (command) => {
    const { code, stdout } = await longspan([command, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/Examples:\n {2}longspan/);
    expect(stdout).toContain("bundled books");
  });
  it("prints the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8"));
    expect(await longspan(["--version"])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  });
});

describe("a wrong call is 2 and says what would be right", () => {
  it.each([
    [["generat"], "longspan: unknown command 'generat'\n(Did you mean generate?)\n"],
    [["generate", "--promt", "x"], "longspan: unknown option '--promt'\n(Did you mean --prompt?)\n"],
    [["generate"], "longspan: generate needs --prompt or --file; see longspan generate --help\n"],
    [["generate", "-p", "x", "--sinks", "4"], "longspan: --sinks needs --window\n"],
    [["perplexity"], "longspan: required option '--text <file>' not specified\n"],
    [
      ["perplexity", "--text", "x", "--lengths", "4k..1k"],
      "longspan: option '--lengths <lengths>' argument '4k..1k' is invalid. The range 4k..1k ends before it begins.\n",
    ],
    [
      ["generate", "-p", "x", "-n", "many"],
      "longspan: option '-n, --max-tokens <n>' argument 'many' is invalid. Expected a whole number such as 4096 or 4k (4 × 1024).\n",
    ],
  ])("%j", async (args, stderr) => {
    expect(await longspan(args)).toEqual({ code: 2, stdout: "", stderr });
  });
  it("without a command prints the help", async () => {
    const { code, stderr } = await longspan([]);
    expect(code).toBe(2);
    expect(stderr).toContain("Usage: longspan");
  });
});

describe("a failure is 1 and one line with its code", () => {
  const failing = async (args: string[], environment?: NodeJS.ProcessEnv) => {
    const { code, stdout, stderr } = await longspan(args, environment);
    expect(code).toBe(1);
    expect(stdout).toBe("");
    expect(stderr.trimEnd().split("\n")).toHaveLength(1);
    return stderr.trimEnd().replaceAll(folder, "");
  };
  it("a missing model", async () =>
    expect(await failing(["generate", join(folder, "none"), "-p", "x"])).toBe(
      "longspan: ERR_LONGSPAN_MODEL_FORMAT: loadModel: /none does not exist",
    ));
  it("a missing checkpoint", async () =>
    expect(await failing(["inspect", join(folder, "none")])).toBe(
      "longspan: ERR_LONGSPAN_MODEL_FORMAT: /none: there is no such file or folder",
    ));
  it("a text that is not UTF-8", async () => {
    const bad = file("bad.txt", Uint8Array.from([0x61, 0xff, 0xfe, 0x62]));
    const message = "longspan: ERR_LONGSPAN_ARGUMENT: /bad.txt is not UTF-8 text";
    expect(await failing(["perplexity", "--text", bad])).toBe(message);
    expect(await failing(["generate", "--file", bad])).toBe(message);
  });
  it("a text shorter than the lengths", async () =>
    expect(await failing(["perplexity", "--text", file("short.txt", "one two"), "--lengths", "256"])).toMatch(
      /^longspan: ERR_LONGSPAN_ARGUMENT: \/short.txt: has \d tokens, fewer than the shortest length, 256$/,
    ));
  it.each(["/proc/longspan.svg", "none/plot.svg"])("a drawing that cannot be written: %s", async (place) => {
    const svg = place.startsWith("/") ? place : join(folder, place);
    expect(await failing(["perplexity", "--text", text, "--svg", svg])).toMatch(
      /^longspan: ERR_LONGSPAN_ARGUMENT: \S+\.svg cannot be written: (no such file or folder|no permission)$/,
    );
  });
  it("a memory budget that is too small", async () =>
    expect(await failing(["generate", "-p", "x"], { LONGSPAN_MEMORY: "1MiB" })).toMatch(
      /^longspan: ERR_LONGSPAN_OUT_OF_MEMORY: .*available within the memory budget/,
    ));
  it("a context that is too small", async () =>
    expect(await failing(["generate", "--file", text, "-c", "16"])).toMatch(
      /^longspan: ERR_LONGSPAN_CONTEXT_OVERFLOW: /,
    ));
  it("an addon that is not there", async () =>
    expect(await failing(["generate", "-p", "x"], { LONGSPAN_BINARY: "/none.node" })).toMatch(
      /^longspan: ERR_LONGSPAN_NATIVE_BINDING: .*Tried: \/none.node/,
    ));
});

describe("longspan generate", () => {
  const items = JSON.parse(readFileSync(fixture("books", "greedy.json"), "utf8")) as {
    prompt: string;
    greedy_text: string;
  }[];
  it("continues as the reference does", async () => {
    const { prompt, greedy_text: expected } = items[0]!;
    const { code, stdout, stderr } = await longspan(["generate", "-p", prompt, "-t", "0", "-n", "64"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toBe(expected.endsWith("\n") ? expected : `${expected}\n`);
  });
  it("gives one JSON value, the same for any number of threads", async () => {
    const args = ["generate", "--file", text, "--seed", "7", "-n", "12", "--window", "64", "--sinks", "4", "--json"];
    const [one, two] = await Promise.all(["1", "2"].map((threads) => longspan([...args, "--threads", threads])));
    const result = JSON.parse(one!.stdout);
    expect(result.usage.completionTokens).toBe(12);
    expect(result.tokens).toHaveLength(12);
    expect(result.interrupted).toBe(false);
    expect(JSON.parse(two!.stdout).tokens).toEqual(result.tokens);
    expect(one!.stderr).toBe("");
  });
});

describe("longspan perplexity", () => {
  it("compares methods, and draws them", async () => {
    const svg = join(folder, "curves.svg");
    const args = ["perplexity", "--text", text, "--lengths", "64..256", "--compare", "--svg", svg, "--json"];
    const { code, stdout, stderr } = await longspan(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { rows, trainedLength } = JSON.parse(stdout);
    expect(trainedLength).toBe(256);
    expect(rows.map(({ method, length }: { method: string; length: number }) => `${method} ${length}`)).toEqual(
      ["plain RoPE", "linear scaling", "window of 128"].flatMap((name) => [64, 128, 256].map((n) => `${name} ${n}`)),
    );
    expect(readFileSync(svg, "utf8")).toMatch(/^<svg .*window of 128.*<\/svg>\n$/s);
  });
  it("leaves out lengths that the text does not fill, and says so", async () => {
    const { code, stdout, stderr } = await longspan(["perplexity", "--text", text, "--lengths", "128,64k"]);
    expect(code).toBe(0);
    expect(stdout).toContain("plain RoPE     128");
    expect(stderr).toMatch(/^longspan: left out 65536: the text gives \d+ tokens/);
  });
});

describe("longspan inspect and doctor", () => {
  it("inspect counts parameters and memory", async () => {
    const { code, stdout } = await longspan(["inspect", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      parameters: 4_049_664,
      config: { modelType: "llama", numLayers: 5, maxPositionEmbeddings: 256 },
      dtypes: [{ dtype: "F16", tensors: 47 }],
      memory: { cacheBytesPerToken: { float32: 2560, bfloat16: 1280 } },
      tokenizer: true,
    });
  });
  it("inspect prints tables", async () => {
    const { stdout } = await longspan(["inspect", "--tensors"]);
    expect(stdout).toContain("trained length   256 tokens");
    expect(stdout).toMatch(/model\.embed_tokens\.weight +F16 +\[2048, 256\] +1 MiB/);
  });
  it("doctor names the binary, the kernels and why", async () => {
    const { code, stdout } = await longspan(["doctor", "--json"], { LONGSPAN_THREADS: "1" });
    expect(code).toBe(0);
    const { addon, kernels, threads, binary, environment, error } = JSON.parse(stdout);
    expect(addon).toBeUndefined();
    expect(kernels.possible).toContain(kernels.isa);
    expect(threads).toEqual({ count: 1, why: "LONGSPAN_THREADS" });
    expect(binary.file).toMatch(/\.node$/);
    expect(environment.LONGSPAN_THREADS).toBe("1");
    expect(error).toBeNull();
  });
  it("doctor works without the addon, and exits with 1", async () => {
    const { code, stdout } = await longspan(["doctor", "--json"], { LONGSPAN_BINARY: "/none.node" });
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: "ERR_LONGSPAN_NATIVE_BINDING" } });
  });
});

describe("an interrupted command", () => {
  it("by Ctrl-C ends with 130 and keeps what it wrote", async () => {
    const { child, out, ended } = startLongspan(["generate", "-p", "The whale", "-n", "100k"]);
    child.stdout.once("data", () => child.kill("SIGINT"));
    expect(await ended).toBe(130);
    expect(out.stdout).toMatch(/.\n$/);
    expect(out.stderr).toBe("longspan: interrupted\n");
  });
  it("by a pipe that closes ends quietly", async () => {
    const { child, out, ended } = startLongspan(["generate", "-p", "The whale", "-n", "100k"]);
    child.stdout.once("data", () => child.stdout.destroy());
    expect(await ended).toBe(0);
    expect(out.stderr).toBe("");
  });
  it("by a pipe that closes before its help is written ends quietly", async () => {
    const { child, out, ended } = startLongspan(["perplexity", "--help"]);
    child.stdout.destroy();
    expect(await ended).toBe(0);
    expect(out.stderr).toBe("");
  });
});
