// The errors of longspan: one class per code; every one extends LongspanError and carries the fields that say what was
// expected. Their stack begins at the caller of longspan.
import { fileURLToPath } from "node:url";

// Frames of the thin layer above the addon (files directly in this folder, in attention/, patterns/ and positions/).
const folder = new URL(".", import.meta.url).href;
const paths = [folder, fileURLToPath(folder)].map((path) => path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
const ownFrame = new RegExp(
  `^\\s+at (?:.*\\()?(?:${paths.join("|")})(?:(?:attention|patterns|positions)/)?[\\w-]+\\.[jt]s[:?]`,
);

/** The stack without our own frames at its top: the first line is the call that was wrong. */
function callersStack(stack: string | undefined): string | undefined {
  const lines = stack?.split("\n") ?? [];
  const first = lines.findIndex((line) => /^\s+at /.test(line));
  const caller = lines.findIndex((line, i) => i >= first && first >= 0 && !ownFrame.test(line));
  return caller > first ? [...lines.slice(0, first), ...lines.slice(caller)].join("\n") : stack;
}

/** What every error of longspan extends. */
export class LongspanError extends Error {
  declare readonly name: string; // of the prototype, so that the stack begins with it
  readonly code: string;
  constructor(message: string, code: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    const stack = callersStack(this.stack);
    Object.defineProperty(this, "stack", { value: stack, writable: true, configurable: true });
  }
}

function setName(errors: { prototype: Error }, name: string): void {
  Object.defineProperty(errors, "name", { value: name });
  Object.defineProperty(errors.prototype, "name", { value: name, writable: true, configurable: true });
}
setName(LongspanError, "LongspanError");

type Fields = Record<string, unknown> & { cause?: unknown };

/** A class of errors with one code, whose fields become properties. */
function errorClass<F extends object>(name: string, code: string) {
  const made = class extends LongspanError {
    constructor(message: string, fields?: F & { cause?: unknown }) {
      const { cause, ...rest } = (fields ?? {}) as Fields;
      super(message, code, cause === undefined ? undefined : { cause });
      Object.assign(this, rest);
    }
  };
  setName(made, name);
  return made as unknown as {
    new (message: string, fields?: F & { cause?: unknown }): LongspanError & Readonly<F>;
    prototype: LongspanError & Readonly<F>;
  };
}

type Mismatch = { op: string; argument: string; expected: string; actual: string };

/** A tensor has the wrong rank or extents. */
export class ShapeError extends errorClass<Mismatch>("ShapeError", "ERR_LONGSPAN_SHAPE") {}
/** A tensor has the wrong dtype. */
export class DTypeError extends errorClass<Mismatch>("DTypeError", "ERR_LONGSPAN_DTYPE") {}
/** An argument or option is unknown or has a value that means nothing. */
export class ArgumentError extends errorClass<{ op: string; argument: string }>(
  "ArgumentError",
  "ERR_LONGSPAN_ARGUMENT",
) {}
/** A device, or an instruction set, that cannot be used here. */
export class DeviceError extends errorClass<{ device: string; reason: string }>("DeviceError", "ERR_LONGSPAN_DEVICE") {}
/** Something longspan does not do; `known` lists what it does. */
export class UnsupportedError extends errorClass<{ feature: string; known?: string[] | string }>(
  "UnsupportedError",
  "ERR_LONGSPAN_UNSUPPORTED",
) {}
/** The memory budget does not hold what was asked for. */
export class OutOfMemoryError extends errorClass<{
  requiredBytes: number;
  availableBytes: number;
  device: string;
  suggestions: string[];
}>("OutOfMemoryError", "ERR_LONGSPAN_OUT_OF_MEMORY") {}
/** Too many bytes of outputs are pending: await ready() or a tensor's data() first. */
export class QueueFullError extends errorClass<{ pendingBytes: number; limitBytes: number }>(
  "QueueFullError",
  "ERR_LONGSPAN_QUEUE_FULL",
) {}
/** More tokens than the context may hold. */
export class ContextOverflowError extends errorClass<{ promptTokens: number; contextSize: number }>(
  "ContextOverflowError",
  "ERR_LONGSPAN_CONTEXT_OVERFLOW",
) {}
/** A model file that is damaged or does not hold what its format promises. */
export class ModelFormatError extends errorClass<{ file: string; offset?: number; reason: string }>(
  "ModelFormatError",
  "ERR_LONGSPAN_MODEL_FORMAT",
) {}
/** A cache that was made for another model or other options. */
export class CacheMismatchError extends errorClass<{ field: string; expected: unknown; actual: unknown }>(
  "CacheMismatchError",
  "ERR_LONGSPAN_CACHE_MISMATCH",
) {}
/** The native addon could not be loaded; `tried` lists where it was looked for. */
export class NativeBindingError extends errorClass<{ tried: string[] }>(
  "NativeBindingError",
  "ERR_LONGSPAN_NATIVE_BINDING",
) {}
/** A tensor, cache, context or model was used after dispose(). */
export class DisposedError extends errorClass<{ object: string }>("DisposedError", "ERR_LONGSPAN_DISPOSED") {}
/** A fault while an op ran on the stream. */
export class ExecutionError extends errorClass<{ op: string }>("ExecutionError", "ERR_LONGSPAN_EXECUTION") {}

const suggestions = [
  "dispose tensors that are no longer needed, or compute inside scope()",
  "raise LONGSPAN_MEMORY, or give the process more memory",
  "take a smaller batch, sequence or dtype",
];

const byCode: Record<string, (message: string, fields: never) => LongspanError> = {
  SHAPE: (message, fields) => new ShapeError(message, fields),
  DTYPE: (message, fields) => new DTypeError(message, fields),
  ARGUMENT: (message, fields) => new ArgumentError(message, fields),
  DEVICE: (message, fields) => new DeviceError(message, fields),
  UNSUPPORTED: (message, fields) => new UnsupportedError(message, fields),
  OUT_OF_MEMORY: (message, fields) =>
    new OutOfMemoryError(message, Object.assign({ suggestions }, fields as object) as never),
  QUEUE_FULL: (message, fields) => new QueueFullError(message, fields),
  MODEL_FORMAT: (message, fields) => new ModelFormatError(message, fields),
  CACHE_MISMATCH: (message, fields) => new CacheMismatchError(message, fields),
  DISPOSED: (message, fields) => new DisposedError(message, fields),
  EXECUTION: (message, fields) => new ExecutionError(message, fields),
};

/** An op that an AbortSignal stopped; its readers reject with the signal's reason instead (lib/abort.ts). */
export class NativeAbort extends Error {
  constructor(readonly abortId: number) {
    super("the operation was aborted");
  }
}

/** What the addon calls to make an error. */
export function errorFromNative(code: string, message: string, fields: Record<string, unknown>): Error {
  const error =
    code === "ABORTED"
      ? new NativeAbort(Number(fields.abortId))
      : (byCode[code] ?? byCode.EXECUTION)?.(message, fields as never);
  if (!error) return new Error(message);
  return error;
}
