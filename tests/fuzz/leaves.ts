import { readFileSync } from "node:fs";
import asc from "assemblyscript/asc";

interface LeavesExports {
  memory: WebAssembly.Memory;
  scratch(): number;
  sha256(ptr: number, len: number, out: number): void;
  crc32(ptr: number, len: number, seed: number): number;
  checkKeyForm(ptr: number, len: number): number;
  keyEnvironmentBytes(ptr: number, len: number): number;
  base64Decode(ptr: number, len: number, out: number): number;
  parseAddress(ptr: number, len: number, out: number): number;
  matchList(list: number, listEnd: number, family: number, address: number): number;
  scanPath(ptr: number, len: number): number;
  pathBytes(): number;
  decodePath(ptr: number, len: number, out: number): number;
  findQuery(path: number, pathLen: number, name: number, nameLen: number, out: number, outMax: number): number;
  removeQuery(path: number, pathLen: number, name: number, nameLen: number, out: number): number;
  findCookie(header: number, len: number, name: number, nameLen: number, out: number, outMax: number): number;
  removeCookie(header: number, len: number, name: number, nameLen: number, out: number): number;
  bearerToken(ptr: number, len: number): bigint;
  foldEquals(name: number, nameLen: number, canon: number, canonLen: number): number;
  foldStartsWith(name: number, nameLen: number, prefix: number, prefixLen: number): number;
  isJson(ptr: number, len: number): number;
  isConfig(ptr: number, len: number): number;
}

/** Bytes behind every output that a function must leave alone. */
const GUARD_BYTES = 64;
const GUARD = 0xa5;
const NAME_OFFSET = 512 * 1024;

/** The parsers in an instance of their own. An input ends where the memory ends, so that a byte read too far is a trap. */
export class Leaves {
  readonly wasm: LeavesExports;

  private constructor(instance: WebAssembly.Instance) {
    this.wasm = instance.exports as unknown as LeavesExports;
  }

  static instantiate(module: WebAssembly.Module): Leaves {
    return new Leaves(new WebAssembly.Instance(module, {}));
  }

  private get memory(): Buffer {
    return Buffer.from(this.wasm.memory.buffer);
  }

  get out(): number {
    return this.wasm.scratch();
  }

  /** Puts the input at the memory's end; gives its address. */
  put(input: Uint8Array): number {
    const ptr = this.wasm.memory.buffer.byteLength - input.length;
    this.memory.set(input, ptr);
    return ptr;
  }

  /** Puts a second input elsewhere; gives its address. */
  putName(input: Uint8Array): number {
    this.memory.set(input, this.out + NAME_OFFSET);
    return this.out + NAME_OFFSET;
  }

  read(ptr: number, length: number): Buffer {
    return Buffer.from(this.memory.subarray(ptr, ptr + length));
  }

  /** Calls with `out` free for `room` bytes, gives what was written, and fails when more was. */
  writing(room: number, call: (out: number) => number): { result: number; written: Buffer } {
    this.memory.fill(GUARD, this.out, this.out + room + GUARD_BYTES);
    const result = call(this.out);
    if (result > room) throw new Error(`${result} bytes written where ${room} are allowed`);
    const behind = this.memory.subarray(this.out + room, this.out + room + GUARD_BYTES);
    if (!behind.every((byte) => byte === GUARD)) throw new Error(`written beyond ${room} bytes`);
    return { result, written: this.read(this.out, Math.max(result, 0)) };
  }
}

/** Compiles tests/wasm/leaves.ts to build/leaves.wasm. */
export async function compileLeaves(): Promise<WebAssembly.Module> {
  const { error, stderr } = await asc.main([
    "tests/wasm/leaves.ts",
    "--config",
    "none",
    "--runtime",
    "minimal",
    "--use",
    "abort=assembly/abi/abort/abort",
    "--optimize",
    "--noAssert",
    "--outFile",
    "build/leaves.wasm",
  ]);
  if (error !== null) throw new Error(`tests/wasm/leaves.ts doesn't compile: ${error.message}\n${stderr.toString()}`);
  const module = new WebAssembly.Module(readFileSync("build/leaves.wasm"));
  const imports = WebAssembly.Module.imports(module);
  if (imports.length > 0) throw new Error(`unexpected imports: ${JSON.stringify(imports)}`);
  return module;
}
