// Imported before dist/: the addon of this checkout by its path, so that nothing is looked for in node_modules.
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const built = fileURLToPath(new URL("../../build/Release/longspan.node", import.meta.url));
if (existsSync(built)) process.env.LONGSPAN_BINARY ??= built;
