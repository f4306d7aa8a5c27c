// Finds and loads the addon: LONGSPAN_BINARY, else a local build, else the prebuilt binary of this platform.
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { errorFromNative, NativeBindingError } from "./errors.js";
import type * as Native from "./native.d.ts";

export type { KVCache, PackedMatrix, SafetensorsFile } from "./native.d.ts";

const require = createRequire(import.meta.url);

/** The package's folder: dist/ and lib/ both lie directly below it. */
export const packageRoot = join(dirname(fileURLToPath(import.meta.url)), "..");

function load(): { binary: string; addon: typeof Native } {
  const given = process.env.LONGSPAN_BINARY;
  const tried: string[] = [];
  try {
    if (given) {
      tried.push(given);
      return { binary: given, addon: require(given) as typeof Native };
    }
    tried.push(
      join(packageRoot, "build", "Release"),
      join(packageRoot, "prebuilds", `${process.platform}-${process.arch}`),
    );
    const find = require("node-gyp-build") as { (root: string): unknown; resolve(root: string): string };
    const binary = find.resolve(packageRoot);
    return { binary, addon: require(binary) as typeof Native };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
    throw new NativeBindingError(
      `longspan's native addon could not be loaded (${reason}). Tried: ${tried.join(", ")}. ` +
        "Build it with: npm rebuild longspan (needs g++ and cmake), or in a checkout: npm run build:native",
      { tried, cause },
    );
  }
}

const loaded = load();

/** The ops as C++ defines them (csrc/node/addon.cc). */
export const native = loaded.addon;
/** The file the addon was loaded from. */
export const nativeBinary = loaded.binary;

/** lib/tensor.ts tells the addon its class; until then no op can give a result. */
export function setTensorClass(tensorClass: unknown, notice: (op: string, device: string) => void): void {
  native.setClasses(tensorClass, errorFromNative, notice);
}
