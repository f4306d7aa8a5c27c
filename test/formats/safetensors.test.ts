// Checkpoints that lie: each a typed error that says what was expected; afterwards the process works and holds nothing.
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, describe, expect, it } from "vitest";
import { idle, loadModel, memory, ModelFormatError, UnsupportedError } from "../../lib/index.js";
import { fixture, floats, readJson, reference, relativeError } from "../models/fixtures.js";

const temporary = mkdtempSync(join(tmpdir(), "longspan-formats-"));
afterAll(() => rmSync(temporary, { recursive: true }));

const good = fixture("models", "llama");
const whole = readFileSync(join(good, "model.safetensors"));
const headerBytes = Number(whole.readBigUInt64LE(0));
type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };
type Header = Record<string, Entry>;
const header = (): Header => JSON.parse(whole.subarray(8, 8 + headerBytes).toString()) as Header;
const data = whole.subarray(8 + headerBytes);
const name = "model.norm.weight";

let folder = "";
let count = 0;
beforeEach(() => {
  folder = join(temporary, String(count++));
  mkdirSync(folder);
  copyFileSync(join(good, "config.json"), join(folder, "config.json"));
});

function encoded(head: object | string, bytes: Uint8Array = data): Buffer {
  const text = Buffer.from(typeof head === "string" ? head : JSON.stringify(head), "latin1");
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, bytes]);
}
function writeModel(bytes: Uint8Array, file = "model.safetensors"): void {
  writeFileSync(join(folder, file), bytes);
}
function changed(change: (tensors: Header) => void): Buffer {
  const tensors = header();
  change(tensors);
  return encoded(tensors);
}
const withEntry = (change: object) => () => changed((tensors) => Object.assign(tensors[name]!, change));

async function expectReference(): Promise<void> {
  await using model = await loadModel(folder);
  const ref = reference(good);
  expect(relativeError(await floats(model.forward(ref.ids("input_ids"))), ref.array("output"))).toBeLessThan(1e-5);
}

describe("a damaged file", () => {
  const cases: [string, () => Uint8Array, RegExp][] = [
    ["empty", () => Buffer.alloc(0), /is empty/],
    ["shorter than its length", () => Buffer.alloc(5), /has 5 bytes, expected at least 8/],
    ["huge header", () => Buffer.alloc(64, 255), /claims 18446744073709551615 bytes, expected at most 100000000/],
    ["header beyond the end", () => whole.subarray(0, 100), /is truncated: its header claims/],
    ["truncated data", () => whole.subarray(0, -4), /the file has \d+ bytes of data: it is truncated/],
    ["bytes behind the end", () => Buffer.concat([whole, Buffer.alloc(4)]), /4 bytes follow the last tensor/],
    ["header that is no JSON", () => encoded("{nonsense"), /expected '"' \(at byte 9\)/],
    ["header that is no object", () => encoded("[1]"), /begin with '\{'/],
    ["header that is not UTF-8", () => encoded('{"\xff":1}'), /is not UTF-8 \(at byte 10\)/],
    ["deep nesting", () => encoded(`{"a":{"b":${"[".repeat(1000)}`), /nested deeper than 32 levels/],
    ["unknown dtype", withEntry({ dtype: "F128" }), /unknown dtype "F128"/],
    ["overlap", withEntry({ data_offsets: [0, 256] }), /overlaps|belong to no tensor/],
    ["backward offsets", withEntry({ data_offsets: [256, 0] }), /run backwards/],
    ["offsets beyond the end", withEntry({ data_offsets: [0, 2 ** 40] }), /it is truncated/],
    ["wrong byte count", withEntry({ shape: [65] }), /is 260 bytes, but data_offsets give 256/],
    ["overflowing shape", withEntry({ shape: [2 ** 52, 2 ** 52] }), /no possible number of bytes/],
    ["negative shape", withEntry({ shape: [-64] }), /not negative/],
    ["missing offsets", withEntry({ data_offsets: undefined }), /expected two data_offsets/],
    ["a name twice", () => encoded(`${JSON.stringify(header()).slice(0, -1)},"${name}":{}}`), /there twice/],
  ];
  it.each(cases)("%s", async (_, bytes, message) => {
    writeModel(bytes());
    const failure = await loadModel(folder).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(ModelFormatError);
    expect(failure).toMatchObject({
      code: "ERR_LONGSPAN_MODEL_FORMAT",
      file: join(folder, "model.safetensors"),
      offset: expect.any(Number),
      reason: expect.any(String),
      message: expect.stringMatching(message),
    });
  });

  it("leaves the process working and the memory free", async () => {
    await idle();
    const before = memory().usedBytes;
    writeModel(changed((tensors) => Object.assign(tensors[name]!, { dtype: "U32" })));
    for (let i = 0; i < 20; i++) await expect(loadModel(folder)).rejects.toThrow(UnsupportedError);
    await idle();
    expect(memory().usedBytes - before).toBeLessThan(2 ** 16);
    writeModel(whole);
    await expectReference();
  });
});

describe("tensors", () => {
  it("a missing one is named", async () => {
    const tensors = header();
    tensors["some.other"] = tensors[name]!;
    delete tensors[name];
    writeModel(encoded(tensors));
    await expect(loadModel(folder)).rejects.toThrow('has no tensor "model.norm.weight"');
  });
  it("a wrong shape is named with the expected one", async () => {
    const config = readJson<Record<string, unknown>>(join(good, "config.json"));
    writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, intermediate_size: 130 }));
    writeModel(whole);
    await expect(loadModel(folder)).rejects.toThrow(
      'tensor "model.layers.0.mlp.gate_proj.weight" has shape [128,64], expected [130,64] by config.json',
    );
  });
  it("a dtype that tensors do not have is unsupported, by name", async () => {
    writeModel(withEntry({ dtype: "U32" })());
    await expect(loadModel(folder)).rejects.toThrow(UnsupportedError);
    await expect(loadModel(folder)).rejects.toThrow(
      /tensor "model.norm.weight" is U32, expected one of F32, F16, BF16/,
    );
  });
  it("may lie unaligned", async () => {
    writeModel(encoded(`${JSON.stringify(header())} `));
    await expectReference();
  });
  it("may lose their file once the model is loaded", async () => {
    writeModel(whole);
    await using model = await loadModel(folder);
    truncateSync(join(folder, "model.safetensors"), 10);
    const ref = reference(good);
    expect(relativeError(await floats(model.forward(ref.ids("input_ids"))), ref.array("output"))).toBeLessThan(1e-5);
  });
});

describe("shards", () => {
  const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

  /** Writes the tensors dealt out over two files, and the index with `added` entries. */
  function writeShards(added: Record<string, string> = {}): void {
    const map: Record<string, string> = {};
    const weights = Object.entries(header()).filter(([key]) => key !== "__metadata__");
    shards.forEach((shard, i) => {
      const head: Header = {};
      const parts: Buffer[] = [];
      let at = 0;
      for (const [key, { dtype, shape, data_offsets }] of weights.filter((_, j) => j % 2 === i)) {
        const bytes = data.subarray(...data_offsets);
        head[key] = { dtype, shape, data_offsets: [at, at + bytes.length] };
        at += bytes.length;
        parts.push(bytes);
        map[key] = shard;
      }
      writeModel(encoded(head, Buffer.concat(parts)), shard);
    });
    const index = { metadata: {}, weight_map: { ...map, ...added } };
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
  }

  it("load as one file does", async () => {
    writeShards();
    await expectReference();
  });
  it("a missing file is named", async () => {
    writeShards();
    rmSync(join(folder, shards[1]!));
    await expect(loadModel(folder)).rejects.toThrow(/the shard model-00002-of-00002.safetensors, .* is missing/);
  });
  it("a tensor that the index promises is named", async () => {
    writeShards({ "model.extra": shards[0]! });
    const message = 'has no tensor "model.extra", which model.safetensors.index.json promises';
    await expect(loadModel(folder)).rejects.toThrow(message);
  });
  it("file names stay within the folder", async () => {
    writeShards({ [name]: "../secret.safetensors" });
    await expect(loadModel(folder)).rejects.toThrow('must be a plain file name, got "../secret.safetensors"');
  });
  it("an index without a map is refused", async () => {
    writeFileSync(join(folder, "model.safetensors.index.json"), "{}");
    await expect(loadModel(folder)).rejects.toThrow('the field "weight_map" is missing');
  });
  it("neither file nor index is said so", async () => {
    await expect(loadModel(folder)).rejects.toThrow("has neither model.safetensors nor model.safetensors.index.json");
  });
});
