// The CUDA plugin that tests run on: the one named by LONGSPAN_TEST_PLUGIN, else the emulated one of the build
// (test/emulator/README.md).
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = process.env.LONGSPAN_SANITIZED ?? "cmake";

export const testedPlugin =
  process.env.LONGSPAN_TEST_PLUGIN ?? join(root, "build", folder, "emulated", "longspan_cuda.so");
