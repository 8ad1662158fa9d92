import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import asc from "assemblyscript/asc";
import { makeFolder, removeFolder } from "../kit/folders.ts";

/** Compiles an AssemblyScript file of the project and gives the module. `abort` names a function: `file/name`, from the project's folder. */
export async function compileFixture(source: string, abort: string): Promise<WebAssembly.Module> {
  const { wasm } = await compile(source, ["--config", "none", "--runtime", "stub", "--use", `abort=${abort}`]);
  return new WebAssembly.Module(wasm);
}

const texts = new Map<string, Promise<string>>();

/** Compiles to text, names of functions kept; once per source and options. */
export function compileText(source: string, options: readonly string[]): Promise<string> {
  const key = [source, ...options].join("\0");
  let text = texts.get(key);
  if (text === undefined) texts.set(key, (text = compile(source, options).then(({ wat }) => wat)));
  return text;
}

async function compile(source: string, options: readonly string[]): Promise<{ wasm: Buffer; wat: string }> {
  const folder = makeFolder("compiled");
  // asc takes paths from the project's folder only
  const base = relative(process.cwd(), join(folder, "module"));
  try {
    const { error, stderr } = await asc.main([
      source,
      ...options,
      "--outFile",
      `${base}.wasm`,
      "--textFile",
      `${base}.wat`,
    ]);
    if (error !== null) throw new Error(`${source} doesn't compile: ${error.message}\n${stderr.toString()}`);
    return { wasm: readFileSync(`${base}.wasm`), wat: readFileSync(`${base}.wat`, "utf8") };
  } finally {
    removeFolder(folder);
  }
}
