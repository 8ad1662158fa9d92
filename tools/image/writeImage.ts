import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { tar } from "./tar.ts";
import type { WasmImage } from "./wasmImage.ts";

export interface WrittenImage {
  /** the folder of the layout */
  layout: string;
  /** the same as one archive */
  archive: string;
}

/** Writes the layout to a folder and, beside it, as `<folder>.tar`. What was there before is replaced once the new one is whole. */
export async function writeImage(image: WasmImage, folder: string): Promise<WrittenImage> {
  const layout = resolve(folder);
  const archive = `${layout}.tar`;
  await mkdir(dirname(layout), { recursive: true });
  const scratch = await mkdtemp(`${layout}-`);
  try {
    for (const { name, bytes } of image.files) {
      const path = join(scratch, "layout", name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes);
    }
    await writeFile(join(scratch, "archive"), tar(image.files));
    await rm(layout, { recursive: true, force: true });
    await rename(join(scratch, "layout"), layout);
    await rename(join(scratch, "archive"), archive);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return { layout, archive };
}
