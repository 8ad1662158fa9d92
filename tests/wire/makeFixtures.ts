/** Writes the golden fixtures; what is no longer one is removed. Look at the diff before committing it. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { fixtureFolder, goldenFiles } from "./golden.ts";

const files = goldenFiles();
mkdirSync(fixtureFolder, { recursive: true });
for (const name of readdirSync(fixtureFolder)) if (!files.has(name)) rmSync(new URL(name, fixtureFolder));
for (const [name, bytes] of files) writeFileSync(new URL(name, fixtureFolder), bytes);
