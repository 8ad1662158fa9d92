/**
 * From host, path and method to the API and its route: the filter's own code (`assembly/snapshot/matching.ts`), compiled for Node as
 * `build/matching.wasm` and fed with the records that gateways get.
 */
import { readFileSync } from "node:fs";
import { matchingWasmPath } from "../control/projectPaths.ts";
import { RecordWriter } from "../control/sync/codec.ts";
import { apiRecords } from "../control/sync/fromFeed.ts";
import { HEADER_BYTES } from "../control/sync/wire.ts";
import type { Api, Route } from "../control/domain/model.ts";

/** Where a request belongs. One object for each API and route, so that two places can be compared. */
export interface Place {
  readonly api: Api;
  readonly route: Route | undefined;
  /** the route's index in the API */
  readonly routeIndex: number | undefined;
}

/** Why a request belongs nowhere, by the codes of reasons.ts. */
export type Misplaced =
  | "path_invalid"
  | "path_ambiguous"
  | "unknown_api"
  | "method_not_allowed"
  | "host_invalid"
  | "method_invalid";

export interface MatchingOptions {
  /** the plugin's `pathCase`; default: insensitive */
  pathCase?: "insensitive" | "sensitive";
}

interface Exports {
  memory: { readonly buffer: ArrayBuffer };
  room(bytes: number): number;
  reserve(count: number): number;
  add(at: number, end: number): number;
  build(): number;
  result(): number;
  match(at: number, hostBytes: number, targetBytes: number, methodBytes: number, anyCase: number): number;
}

/** By what `findPlace` returns; that of API_FOUND is undefined. */
const misplaced: readonly (Misplaced | undefined)[] = [
  "unknown_api",
  undefined,
  "method_not_allowed",
  "path_ambiguous",
  "host_invalid",
  "path_invalid",
  "method_invalid",
];
const FOUND = misplaced.indexOf(undefined);

/** Node's, of which its types have nothing without those of browsers. */
const { Module, Instance } = (
  globalThis as unknown as {
    WebAssembly: {
      Module: new (bytes: Buffer) => object;
      Instance: new (module: object, imports: object) => { exports: unknown };
    };
  }
).WebAssembly;

let compiled: object | undefined;

/** Text whose characters are bytes: UTF-8 of what isn't so already. */
export function byteText(text: string): string {
  return /^[\0-\x7f]*$/.test(text) ? text : Buffer.from(text, "utf8").toString("latin1");
}

export class ApiRouter {
  readonly #wasm: Exports;
  readonly #anyCase: number;
  /** by API, then by route index + 1 */
  readonly #places: (readonly Place[])[];
  #input: number;
  #inputBytes: number;
  #bytes: Buffer;
  readonly #resultAt: number;

  /** Throws an Error when the module isn't built, or can't hold the APIs. */
  constructor(apis: readonly Api[], { pathCase = "insensitive" }: MatchingOptions = {}) {
    compiled ??= new Module(readModule());
    this.#wasm = new Instance(compiled, {}).exports as Exports;
    this.#anyCase = pathCase === "insensitive" ? 1 : 0;
    this.#places = apis.map((api) => [
      { api, route: undefined, routeIndex: undefined },
      ...api.routes.map((route, routeIndex): Place => ({ api, route, routeIndex })),
    ]);
    this.#load(apis);
    this.#inputBytes = 1 << 16;
    this.#input = this.#wasm.room(this.#inputBytes);
    this.#bytes = Buffer.from(this.#wasm.memory.buffer);
    this.#resultAt = this.#wasm.result();
  }

  /** The place of a request. The host may have a port and capitals, the target a query; each character is a byte (`byteText`). */
  match(host: string, target: string, method: string): Place | Misplaced {
    const size = host.length + target.length + method.length;
    if (size > this.#inputBytes) this.#grow(size);
    const bytes = this.#bytes;
    let at = this.#input;
    at = writeBytes(bytes, host, at);
    at = writeBytes(bytes, target, at);
    writeBytes(bytes, method, at);
    const found = this.#wasm.match(this.#input, host.length, target.length, method.length, this.#anyCase);
    if (found !== FOUND) return misplaced[found]!;
    return this.#places[bytes.readUInt32LE(this.#resultAt) - 1]![bytes.readInt32LE(this.#resultAt + 4) + 1]!;
  }

  #load(apis: readonly Api[]): void {
    const writer = new RecordWriter(1 << 16);
    // limits have no part in matching
    apis.forEach((api, index) =>
      apiRecords({ wireId: index + 1, api, limits: [] }).forEach((record) => writer.write(record)),
    );
    const { room, reserve, add, build, memory } = this.#wasm;
    if (reserve(apis.length * 2 + 16) === 0) throw new Error(`${apis.length} APIs are more than can be matched.`);
    for (const page of writer.finish()) {
      const records = page.subarray(HEADER_BYTES);
      const at = room(records.length);
      records.copy(Buffer.from(memory.buffer), at);
      if (add(at, at + records.length) === 0) throw new Error("An API's record is not valid.");
    }
    if (build() === 0) throw new Error(`${apis.length} APIs are more than can be matched.`);
  }

  #grow(size: number): void {
    this.#inputBytes = size * 2;
    this.#input = this.#wasm.room(this.#inputBytes);
    this.#bytes = Buffer.from(this.#wasm.memory.buffer);
  }
}

/** Writes a text of bytes; where the next one goes. Short ones are faster without a call out of JavaScript. */
function writeBytes(bytes: Buffer, text: string, at: number): number {
  const { length } = text;
  if (length > 64) bytes.write(text, at, "latin1");
  else for (let i = 0; i < length; i++) bytes[at + i] = text.charCodeAt(i);
  return at + length;
}

function readModule(): Buffer {
  try {
    return readFileSync(matchingWasmPath());
  } catch (error) {
    throw new Error(`The matching module can't be read: ${(error as Error).message}. Run \`npm run build\`.`, {
      cause: error,
    });
  }
}
