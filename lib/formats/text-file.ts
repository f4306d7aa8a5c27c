// A text file in pieces of at most a megabyte, each whole characters. Bytes that are not UTF-8 end in an error that says
// where they are.
import { isUtf8 } from "node:buffer";
import { open } from "node:fs/promises";
import { ArgumentError } from "../errors.js";

const blockBytes = 1 << 20;

/** Bytes at the end of `block` that begin a character which the next block continues: 0 to 3. */
function unfinishedBytes(block: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, block.length); back++) {
    const byte = block[block.length - back]!;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}

/** Where the bytes stop being UTF-8: the longest valid beginning, by bisection. */
function firstInvalid(block: Uint8Array): number {
  let valid = 0;
  let invalid = block.length;
  while (invalid - valid > 1) {
    const middle = (valid + invalid) >> 1;
    const part = block.subarray(0, middle);
    if (isUtf8(part.subarray(0, middle - unfinishedBytes(part)))) valid = middle;
    else invalid = middle;
  }
  return valid - unfinishedBytes(block.subarray(0, valid));
}

function notUtf8(file: string, offset: number): never {
  throw new ArgumentError(`${file}: is not UTF-8 text, the byte at ${offset} does not fit`, {
    op: "prefill",
    argument: "file",
  });
}

/** The file's text; a byte order mark is left out. */
export async function* readTextFile(file: string): AsyncGenerator<string> {
  const handle = await open(file).catch((cause) => {
    const message = `${file}: cannot be read: ${(cause as Error).message}`;
    throw new ArgumentError(message, { op: "prefill", argument: "file", cause });
  });
  try {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let carried = new Uint8Array(0);
    let offset = 0;
    for (;;) {
      const buffer = new Uint8Array(carried.length + blockBytes);
      buffer.set(carried);
      const { bytesRead } = await handle.read(buffer, carried.length, blockBytes);
      const block = buffer.subarray(0, carried.length + bytesRead);
      const whole = block.subarray(0, block.length - (bytesRead ? unfinishedBytes(block) : 0));
      if (!isUtf8(whole)) notUtf8(file, offset + firstInvalid(whole));
      const text = decoder.decode(whole);
      yield offset === 0 && text.startsWith("\uFEFF") ? text.slice(1) : text;
      if (bytesRead === 0) return;
      offset += whole.length;
      carried = block.slice(whole.length);
    }
  } catch (cause) {
    if (cause instanceof ArgumentError || !(cause instanceof Error && "syscall" in cause)) throw cause;
    throw new ArgumentError(`${file}: cannot be read: ${cause.message}`, { op: "prefill", argument: "file", cause });
  } finally {
    await handle.close();
  }
}
