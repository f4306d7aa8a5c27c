// tokenizer.json through @huggingface/tokenizers, in a worker thread: a book is a second of JavaScript, and the event
// loop stays free meanwhile. The worker starts at the first call and does not keep the process alive.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { ArgumentError, DisposedError, ModelFormatError } from "../errors.js";

interface Reply {
  id: number;
  value?: unknown;
  error?: string;
}
interface Facts {
  cutsAtSpaces: boolean;
  specialIds: number[];
}
interface Waiting {
  resolve(value: unknown): void;
  reject(error: unknown): void;
}

/** Characters of text per message: progress and aborts are seen between them. */
const pieceLength = 1 << 16;

export class Tokenizer {
  readonly #file: string;
  readonly #configFile: string;
  #worker: Worker | undefined;
  #opened: Promise<Facts> | undefined;
  #disposed = false;
  #lastId = 0;
  readonly #waiting = new Map<number, Waiting>();

  /** Of a model's folder; calls reject with ModelFormatError where it has no tokenizer.json. */
  constructor(folder: string) {
    this.#file = join(folder, "tokenizer.json");
    this.#configFile = join(folder, "tokenizer_config.json");
  }

  /** Whether there is a tokenizer.json. */
  get available(): boolean {
    return existsSync(this.#file);
  }

  /** Token ids; special tokens such as BOS are added as tokenizer.json's post-processor says. */
  async encode(text: string, options: { addSpecialTokens?: boolean } = {}): Promise<number[]> {
    if (typeof text !== "string")
      throw new ArgumentError(`encode: expected a string for text, got ${typeof text}`, {
        op: "encode",
        argument: "text",
      });
    await this.#open();
    const addSpecialTokens = options.addSpecialTokens ?? true;
    return Array.from(await this.#call<Int32Array>({ op: "encode", text, addSpecialTokens }));
  }

  /** The text of token ids. */
  async decode(ids: Iterable<number>, options: { skipSpecialTokens?: boolean } = {}): Promise<string> {
    const [text] = await this.decodeEach([Array.from(ids)], options);
    return text!;
  }

  /** The texts of several lists of ids, in one turn of the worker. */
  async decodeEach(lists: number[][], options: { skipSpecialTokens?: boolean } = {}): Promise<string[]> {
    for (const id of lists.flat())
      if (!Number.isSafeInteger(id) || id < 0)
        throw new ArgumentError(`decode: expected token ids, got ${id}`, { op: "decode", argument: "ids" });
    await this.#open();
    return this.#call({ op: "decode", lists, skipSpecialTokens: options.skipSpecialTokens ?? false });
  }

  /**
   * Ids of a text that arrives in pieces, special tokens only where the whole text would have them. Long texts are cut
   * between words where that cannot change the ids, so that progress can be shown.
   */
  async *encodeStream(
    pieces: AsyncIterable<string> | Iterable<string>,
    options: { addSpecialTokens?: boolean } = {},
  ): AsyncGenerator<number[]> {
    const { cutsAtSpaces } = await this.#open();
    let addSpecialTokens = options.addSpecialTokens ?? true;
    let text = "";
    for await (const piece of pieces) {
      text += piece;
      while (cutsAtSpaces && text.length > pieceLength) {
        const cut = lastCut(text, pieceLength);
        if (cut === 0) break;
        yield this.encode(text.slice(0, cut), { addSpecialTokens });
        addSpecialTokens = false;
        text = text.slice(cut);
      }
    }
    yield this.encode(text, { addSpecialTokens });
  }

  async specialIds(): Promise<readonly number[]> {
    return (await this.#open()).specialIds;
  }

  async dispose(): Promise<void> {
    this.#disposed = true;
    this.#fail(new DisposedError("the tokenizer was disposed", { object: "Tokenizer" }));
    await this.#worker?.terminate();
  }

  #open(): Promise<Facts> {
    if (this.#disposed) throw new DisposedError("the tokenizer was disposed", { object: "Tokenizer" });
    this.#opened ??= this.#start();
    return this.#opened;
  }

  async #start(): Promise<Facts> {
    const file = this.#file;
    if (!this.available) {
      const reason = "there is no tokenizer.json; give token ids instead of text, or put it beside the weights";
      throw new ModelFormatError(`${file}: ${reason}`, { file, reason });
    }
    const worker = new Worker(new URL("./tokenizer-worker.mjs", import.meta.url), {
      workerData: { tokenizerFile: file, configFile: this.#configFile },
    });
    worker.unref();
    worker.on("message", (reply: Reply) => this.#settle(reply));
    worker.on("error", (error) => this.#fail(error));
    this.#worker = worker;
    try {
      return await this.#call<Facts>({ op: "open" });
    } catch (cause) {
      const reason = `is no usable tokenizer: ${(cause as Error).message}`;
      throw new ModelFormatError(`${file}: ${reason}`, { file, reason, cause });
    }
  }

  #call<T>(message: object): Promise<T> {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker!.ref();
      this.#worker!.postMessage({ id, ...message });
    });
  }

  #settle({ id, value, error }: Reply): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker?.unref();
    if (error === undefined) waiting?.resolve(value);
    else waiting?.reject(new ArgumentError(`tokenizer: ${error}`, { op: "tokenizer", argument: "text" }));
  }

  #fail(error: unknown): void {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
    this.#worker?.unref();
  }
}

/** The last place up to `limit` where a space stands between two letters, or 0. */
function lastCut(text: string, limit: number): number {
  const isLetter = (code: number) => (code | 32) >= 97 && (code | 32) <= 122;
  for (let at = limit; at > limit / 2; at--)
    if (text[at] === " " && isLetter(text.charCodeAt(at - 1)) && isLetter(text.charCodeAt(at + 1))) return at;
  return 0;
}
