/** Numbers and encodings of the proxy-wasm ABI 0.2.0, as proxy-wasm-cpp-host and Envoy 1.40 use them. */

export const WasmResult = {
  Ok: 0,
  NotFound: 1,
  BadArgument: 2,
  SerializationFailure: 3,
  ParseFailure: 4,
  InvalidMemoryAccess: 6,
  Empty: 7,
  CasMismatch: 8,
  InternalFailure: 10,
  BrokenConnection: 11,
  Unimplemented: 12,
} as const;

export const HeaderMapType = {
  RequestHeaders: 0,
  RequestTrailers: 1,
  ResponseHeaders: 2,
  ResponseTrailers: 3,
  HttpCallResponseHeaders: 6,
  HttpCallResponseTrailers: 7,
  Max: 7,
} as const;

export const headerMapNames: Record<number, string> = {
  0: "request_headers",
  1: "request_trailers",
  2: "response_headers",
  3: "response_trailers",
  6: "call_response_headers",
  7: "call_response_trailers",
};

export const BufferType = {
  HttpCallResponseBody: 4,
  VmConfiguration: 6,
  PluginConfiguration: 7,
  Max: 8,
} as const;

export const bufferNames: Record<number, string> = {
  4: "call_response_body",
  6: "vm_configuration",
  7: "plugin_configuration",
};

export const StreamType = { Request: 0, Response: 1, Downstream: 2, Upstream: 3 } as const;

export const logLevels = ["trace", "debug", "info", "warn", "error", "critical"] as const;
export type LogLevel = (typeof logLevels)[number];

/** Envoy's limits on what a module may pass as pairs. */
const MAX_PAIRS_BYTES = 1024 * 1024;
const MAX_PAIRS = 1024;

/** A name and a value. Each character stands for one byte (latin1), so that any bytes can be told apart. */
export type Pair = [name: string, value: string];

/** Gives the ABI's form: u32 count, u32 sizes of each name and value, then each name and value with a NUL behind it. */
export function encodePairs(pairs: readonly Pair[]): Buffer {
  const head = Buffer.alloc(4 + pairs.length * 8);
  head.writeUInt32LE(pairs.length, 0);
  const parts: Buffer[] = [head];
  pairs.forEach(([name, value], i) => {
    head.writeUInt32LE(name.length, 4 + i * 8);
    head.writeUInt32LE(value.length, 8 + i * 8);
    parts.push(Buffer.from(`${name}\0${value}\0`, "latin1"));
  });
  return Buffer.concat(parts);
}

/** Reads the ABI's form as Envoy does: anything wrong with it, or more than 1024 pairs or 1 MiB, gives no pair at all. */
export function decodePairs(bytes: Buffer): Pair[] {
  if (bytes.length < 4 || bytes.length > MAX_PAIRS_BYTES) return [];
  const count = bytes.readUInt32LE(0);
  if (count > MAX_PAIRS || 4 + count * 8 > bytes.length) return [];
  const pairs: Pair[] = [];
  let at = 4 + count * 8;
  const take = (size: number): string | undefined => {
    if (at + size + 1 > bytes.length || bytes[at + size] !== 0) return undefined;
    const text = bytes.toString("latin1", at, at + size);
    at += size + 1;
    return text;
  };
  for (let i = 0; i < count; i++) {
    const name = take(bytes.readUInt32LE(4 + i * 8));
    const value = name === undefined ? undefined : take(bytes.readUInt32LE(8 + i * 8));
    if (name === undefined || value === undefined) return [];
    pairs.push([name, value]);
  }
  return at === bytes.length ? pairs : [];
}
