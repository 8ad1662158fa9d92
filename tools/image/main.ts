/** `npm run image`: build/tollgate.wasm as an OCI image in build/image and build/image.tar. The last line that it prints is the digest. */
import { readFile } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { projectRoot, wasmPath } from "../../control/projectPaths.ts";
import { wasmImage } from "./wasmImage.ts";
import { writeImage } from "./writeImage.ts";

const { values } = parseArgs({
  options: {
    wasm: { type: "string", default: wasmPath() },
    output: { type: "string", default: join(projectRoot(), "build", "image") },
  },
});
const { version } = JSON.parse(await readFile(join(projectRoot(), "package.json"), "utf8")) as { version: string };
const image = wasmImage(await readFile(values.wasm), version);
const { layout, archive } = await writeImage(image, values.output);
console.log(`layout   ${relative("", layout)}`);
console.log(`archive  ${relative("", archive)}`);
console.log(`module   sha256:${image.moduleSha256}`);
console.log(image.digest);
