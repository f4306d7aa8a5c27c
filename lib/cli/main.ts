#!/usr/bin/env node
// The `longspan` command. Each command's code, and with it the native addon, is loaded only when it runs: --help is
// instant, and doctor works where the addon does not load.
import { readFileSync } from "node:fs";
import { Argument, Command, CommanderError, Option } from "commander";
import { endWithReader, exitCodes, runCommand } from "./run.js";
import {
  factorTypes,
  parseCount,
  parseLengths,
  parseNames,
  parseNumber,
  parseRopeScaling,
  parseShares,
} from "./units.js";

const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const modelHelpOf = (bundled: string) =>
  `folder with config.json and safetensors, or a .safetensors file (default: the bundled ${bundled} model)`;
const modelHelp = modelHelpOf("books");

const program = new Command("longspan")
  .description(
    "Long-context transformers in Node.js: read texts far longer than a model was trained on, and measure what it costs.",
  )
  .version(version, "-V, --version", "print the version")
  .helpOption("-h, --help", "show this help, or that of a command")
  .helpCommand("help [command]", "show the help of a command")
  .showSuggestionAfterError()
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "longspan: ")) })
  .addHelpText(
    "after",
    `
Counts take k and m: 4k is 4 × 1024. With --json a command prints one JSON value on stdout and nothing else there;
progress bars go to stderr, and only on a terminal.

Exit codes: 0 done, 1 failed (one line on stderr: longspan: ERR_…: message), 2 wrongly called, 130 interrupted.

Environment:
  LONGSPAN_THREADS   compute threads                 LONGSPAN_ISA      kernels: baseline, avx2, avx512, avx512bf16, neon
  LONGSPAN_MEMORY    memory budget, e.g. 8GiB        LONGSPAN_BINARY   another addon file
  LONGSPAN_DEVICE    where models are put: cpu, cuda LONGSPAN_LOG_LEVEL  silent, error, warn (default), info, debug
  LONGSPAN_CUDA_MEMORY  of each GPU, e.g. 40GiB      LONGSPAN_CUDA_PLUGIN  another file of CUDA kernels
  NO_COLOR           plain text on a terminal

Examples:
  longspan doctor
  longspan generate --prompt "Call me Ishmael." --temperature 0 --max-tokens 64
  longspan perplexity --text book.txt --lengths 256..4k --compare --svg perplexity.svg
  longspan rope --text book.txt --lengths 256..4k
  longspan needle --svg needle.svg
  longspan inspect path/to/checkpoint`,
  );

const json = () => new Option("--json", "print one JSON value on stdout");
const threads = () =>
  new Option("--threads <n>", "compute threads (default: LONGSPAN_THREADS, or as many as the machine gives)").argParser(
    parseNumber({ min: 1, max: 256, integer: true }),
  );
const device = () => new Option("--device <device>", "cpu, cuda or cuda:<number> (default: LONGSPAN_DEVICE, or cpu)");
const dtype = () =>
  new Option("--dtype <dtype>", "compute in float32, or in bfloat16: faster, less exact")
    .choices(["float32", "bfloat16"])
    .default("float32");
const weightDtype = () =>
  new Option("--weight-dtype <dtype>", "keep matrices in 8.5 or 4.5 bits a weight: less memory, less exact").choices([
    "q8_0",
    "q4_0",
  ]);
const window = () =>
  new Option("--window <n>", "tokens each token sees, its own among them (default: as the model says)").argParser(
    parseCount,
  );
const sinks = () =>
  new Option("--sinks <n>", "first tokens that stay visible behind the window (StreamingLLM)").argParser(
    parseNumber({ integer: true }),
  );
const ropeScaling = (factor: string) =>
  new Option("--rope-scaling <type[:factor]>", `none, ${factorTypes.join(", ")}; ${factor}`).argParser(
    parseRopeScaling,
  );
/** What `longspan rope` compares; longspan/evaluation has the list of all. */
const ropeSchemes = "none,linear,ntk,dynamic,yarn,llama3,rerope,leaky-rerope,self-extend,dca,window,sinks,logn";

program
  .command("generate")
  .summary("continue a text")
  .description("Continues a prompt, or a whole file, and prints what the model writes as it is written.")
  .argument("[model]", modelHelp)
  .option("-p, --prompt <text>", "text to continue; after --file, it follows the file")
  .option("-f, --file <file>", "UTF-8 text file to read first, of any length; - is stdin")
  .addOption(new Option("-n, --max-tokens <n>", "most tokens to write").argParser(parseCount).default(256))
  .addOption(
    new Option("-t, --temperature <x>", "0 always takes the most likely token").argParser(parseNumber()).default(1),
  )
  .addOption(new Option("--top-k <n>", "only the n most likely tokens").argParser(parseCount))
  .addOption(
    new Option("--top-p <p>", "only the fewest tokens that reach this probability together").argParser(
      parseNumber({ max: 1 }),
    ),
  )
  .addOption(
    new Option("--min-p <p>", "only tokens at least p times as likely as the likeliest").argParser(
      parseNumber({ max: 1 }),
    ),
  )
  .addOption(
    new Option("--repetition-penalty <x>", "above 1 discourages tokens that occurred").argParser(parseNumber()),
  )
  .addOption(
    new Option("--seed <n>", "same seed, same text, on any number of threads").argParser(
      parseNumber({ integer: true }),
    ),
  )
  .option("--stop <text...>", "end before any of these")
  .addOption(
    new Option("-c, --context-size <n>", "most tokens the context may hold (default: as memory allows)").argParser(
      parseCount,
    ),
  )
  .addOption(
    new Option(
      "--kv-dtype <dtype>",
      "keys and values; bfloat16 takes half the memory, int8 and float8 (on a CUDA device only) a quarter",
    ).choices(["float32", "bfloat16", "int8", "float8"]),
  )
  .addOption(ropeScaling("all but none with a factor, as in yarn:4"))
  .addOption(window())
  .addOption(sinks())
  .addOption(dtype())
  .addOption(weightDtype())
  .addOption(device())
  .addOption(threads())
  .addOption(json())
  .addHelpText(
    "after",
    `
Examples:
  longspan generate --prompt "Call me Ishmael." -n 64 -t 0
  longspan generate path/to/model --file war-and-peace.txt --prompt "Who is Pierre?" --window 1024 --sinks 4
  cat notes.txt | longspan generate --file - --seed 7 --json`,
  )
  .action((model, options) =>
    runCommand(async (signal) => (await import("./generate.js")).generate(model, options, signal)),
  );

program
  .command("perplexity")
  .summary("how well a model predicts a text, by length")
  .description(
    "Cuts the beginning of a text into windows of each length and prints the perplexity of the model's predictions:\n" +
      "exp of the mean of −log p, lower is better. Beyond the trained length it shows what long contexts cost.",
  )
  .argument("[model]", modelHelp)
  .requiredOption("--text <file>", "UTF-8 text that the model has not seen")
  .addOption(
    new Option(
      "--lengths <lengths>",
      "tokens per window: a,b,c or first..last, doubled (default: the trained length ×1 to ×16)",
    ).argParser(parseLengths),
  )
  .addOption(new Option("--tokens <n>", "tokens of the text to use").argParser(parseCount).default(16384, "16k"))
  .option("--compare", "plain RoPE, linear scaling and a window of half the trained length, side by side", false)
  .addOption(ropeScaling("without a factor it is length / trained length"))
  .addOption(window())
  .addOption(sinks())
  .option("--svg <file>", "also draw the curves into this file")
  .addOption(dtype())
  .addOption(weightDtype())
  .addOption(device())
  .addOption(threads())
  .addOption(json())
  .addHelpText(
    "after",
    `
Examples:
  longspan perplexity --text book.txt --lengths 256..4k
  longspan perplexity path/to/model --text book.txt --compare --svg perplexity.svg
  longspan perplexity --text book.txt --lengths 1k,4k --window 128 --json`,
  )
  .action((model, options) =>
    runCommand(async (signal) => (await import("./perplexity.js")).perplexity(model, options, signal)),
  );

program
  .command("rope")
  .summary("which position scheme fits a model and a text, by length")
  .description(
    "Runs a model over windows of a text with each position scheme and prints the perplexity by length, which scheme is\n" +
      "best at the longest, and what to paste to use it. The value at a length L is exp of the mean of −log p of tokens\n" +
      "1 … L−1 over windows that begin evenly spread over the text. One pass over the longest window serves all lengths,\n" +
      "except for schemes that follow the length (dynamic, checkpoint, longrope).",
  )
  .argument("[model]", modelHelp)
  .requiredOption("--text <file>", "UTF-8 text that the model has not seen")
  .addOption(
    new Option(
      "--lengths <lengths>",
      "tokens: a,b,c or first..last, doubled (default: the trained length ×1 to ×16, as far as the text goes)",
    ).argParser(parseLengths),
  )
  .addOption(
    new Option("--schemes <names>", "also: checkpoint (as config.json says), longrope, lm-infinite")
      .argParser(parseNames)
      .default(parseNames(ropeSchemes), ropeSchemes),
  )
  .option("--per-length", "scale by each length / trained length, instead of the longest's for all lengths", false)
  .addOption(new Option("--windows <n>", "windows of the text for each value").argParser(parseCount).default(8))
  .addOption(new Option("--tokens <n>", "tokens of the text to use (default: all)").argParser(parseCount))
  .option("--svg <file>", "also draw the curves into this file")
  .option(
    "--resume <file>",
    "keep finished passes in this file, and go on from those in it (default: one in the user's cache, removed at the end)",
  )
  .addOption(dtype())
  .addOption(weightDtype())
  .addOption(device())
  .addOption(threads())
  .addOption(json())
  .addHelpText(
    "after",
    `
Defaults of the schemes, with L0 the trained length and factor = longest length / L0: linear, ntk, dynamic, yarn and
llama3 by the factor; rerope and leaky-rerope window L0/2; self-extend window L0/2, group 2 · factor; dca chunks of ¾ · L0;
window L0/2; sinks 4 and a window that fills L0; lm-infinite window L0; logn of L0. A scheme that the checkpoint cannot
have is skipped, with the reason. The same command after Ctrl-C goes on where it was.

Examples:
  longspan rope --text book.txt
  longspan rope path/to/model --text book.txt --lengths 4k..64k --schemes none,yarn,dynamic,window --svg rope.svg
  longspan rope --text book.txt --lengths 256..16k --per-length --resume rope.json --json`,
  )
  .action((model, options) =>
    runCommand(async (signal) => (await import("./rope.js")).rope(model, { ...options, version }, signal)),
  );

program
  .command("needle")
  .summary("what a model finds in long prompts, by length and depth")
  .description(
    "Hides something at each depth of prompts of each length and prints how often the model finds it: its most likely\n" +
      "continuation is the answer. All position schemes get the same prompts; one that cannot be run is left out.",
  )
  .argument("[model]", modelHelpOf("kv-constructed"))
  .addOption(
    new Option(
      "--schemes <names>",
      "position schemes; an unknown name lists them all (default: none,linear,ntk,dynamic,yarn,rerope,window)",
    ).argParser(parseNames),
  )
  .addOption(
    new Option("--lengths <lengths>", "tokens per prompt: a,b,c or first..last, doubled")
      .argParser(parseLengths)
      .default([256, 512, 1024, 2048, 4096], "256..4k"),
  )
  .addOption(
    new Option("--depths <percents>", "where it is hidden: 0 at the beginning, 100 right before the question")
      .argParser(parseShares)
      .default([0, 0.25, 0.5, 0.75, 1], "0,25,50,75,100"),
  )
  .addOption(
    new Option("--probes <n>", "prompts for each depth and length")
      .argParser(parseNumber({ min: 1, integer: true }))
      .default(4),
  )
  .addOption(
    new Option(
      "--task <task>",
      "recall: a fact in words of kv-constructed; passkey: a number in sentences; kv: a value in a JSON object\n" +
        "(default: recall where the model has its words, else passkey)",
    ).choices(["recall", "passkey", "kv"]),
  )
  .addOption(new Option("--seed <n>", "same seed, same prompts").argParser(parseNumber({ integer: true })).default(1))
  .option("--per-length", "scale by length / trained length at each length, not by the longest one's at all", false)
  .option("--by-depth", "a table of depth × length for each scheme; with one scheme it is always shown", false)
  .option("--svg <file>", "also draw the heat maps into this file")
  .addOption(dtype())
  .addOption(weightDtype())
  .addOption(device())
  .addOption(threads())
  .addOption(json())
  .addHelpText(
    "after",
    `
Examples:
  longspan needle
  longspan needle --schemes none,yarn --lengths 256..8k --by-depth --svg needle.svg
  longspan needle path/to/model --task passkey --lengths 1k,4k --probes 10 --json`,
  )
  .action((model, options) =>
    runCommand(async (signal) => (await import("./needle.js")).needle(model, options, signal)),
  );

program
  .command("inspect")
  .summary("what is in a checkpoint")
  .description("Prints configuration, parameters, tensors and the memory a checkpoint needs, without loading it.")
  .argument("[checkpoint]", modelHelp)
  .option("--tensors", "list every tensor", false)
  .addOption(json())
  .addHelpText(
    "after",
    `
Examples:
  longspan inspect path/to/checkpoint
  longspan inspect model.safetensors --tensors
  longspan inspect path/to/checkpoint --json`,
  )
  .action((checkpoint, options) => runCommand(async () => (await import("./inspect.js")).inspect(checkpoint, options)));

program
  .command("doctor")
  .summary("what longspan found on this machine")
  .description(
    "Prints which binary and which kernels are used and why, threads, memory budget, GPU, and the switches in effect.\n" +
      "Exits with 1 when the native addon cannot be loaded.",
  )
  .addOption(json())
  .action((options) => runCommand(async () => (await import("./doctor.js")).doctor(options)));

program
  .command("bench")
  .summary("how fast the kernels are here")
  .description(
    "Measures what this machine can do at most (arithmetic in registers, reading of memory), then attention and matrix\n" +
      "products, each as a share of the ceiling that bounds it. About 20 seconds. A checkout has more: npm run bench.\n" +
      "`bench longnet` attends over as many tokens as memory holds, or more, streamed from a file with flat memory.",
  )
  .addArgument(new Argument("[what]", "what to measure").choices(["kernels", "longnet"]).default("kernels"))
  .addOption(new Option("--tokens <n>", "longnet: how many (default: 1m)").argParser(parseCount))
  .option("--stream", "longnet: from a memory-mapped file, a segment of 32k tokens at a time", false)
  .option("--file <file>", "longnet: where that file is written and removed again, 768 bytes a token")
  .addOption(threads())
  .addOption(json())
  .addHelpText(
    "after",
    `
Examples:
  longspan bench
  longspan bench longnet --tokens 4m
  longspan bench longnet --tokens 16m --stream`,
  )
  .action((what, options) =>
    runCommand(async (signal) => {
      if (what === "longnet") return (await import("./bench-longnet.js")).benchLongNet(options, signal);
      return (await import("./bench.js")).bench(options, signal);
    }),
  );

endWithReader();
try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommanderError)) throw error;
  process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
}
