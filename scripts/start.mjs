/** `npm start`: makes ready what is missing, then `tollgate run` with the same arguments. */
import { join } from "node:path";
import { checkNode, ensureBuilt, ensureInstalled, root } from "./prepare.mjs";

checkNode();
ensureInstalled();
ensureBuilt();

const program = join(root, "bin", "tollgate.mjs");
process.argv.splice(1, 1, program, "run");
await import(program);
