/** `npm run image`: makes ready what is missing, then builds the OCI image of the filter. */
import { join } from "node:path";
import { checkNode, ensureBuilt, ensureInstalled, root } from "./prepare.mjs";

checkNode();
ensureInstalled();
ensureBuilt();

await import(join(root, "dist", "tools", "image", "main.js"));
