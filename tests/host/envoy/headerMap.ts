import type { Pair } from "./abi.ts";

/**
 * Request headers that Envoy keeps in one slot each: a repetition is joined to the first value with a comma before any filter
 * runs. The pseudo-headers and common ones are in Envoy's core, the rest is registered by extensions that the official binary
 * links in, `authorization` among them (tried with 1.40). Cookies stay apart over HTTP/1 and are joined by the HTTP/2 codec.
 */
const oneSlot = new Set([
  ":authority",
  ":method",
  ":path",
  ":protocol",
  ":scheme",
  "accept",
  "accept-encoding",
  "access-control-request-headers",
  "access-control-request-method",
  "authorization",
  "cache-control",
  "cdn-loop",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "expect",
  "grpc-accept-encoding",
  "grpc-timeout",
  "if-match",
  "if-modified-since",
  "if-none-match",
  "if-range",
  "origin",
  "pragma",
  "referer",
  "te",
  "transfer-encoding",
  "upgrade",
  "user-agent",
  "via",
  "x-client-trace-id",
  "x-envoy-original-path",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-port",
  "x-forwarded-proto",
  "x-request-id",
]);

/** Headers to build a map of: pairs in order (names may repeat) or a plain object. */
export type HeaderInput = readonly Pair[] | Record<string, string | readonly string[]>;

/** Envoy's header map: ordered, several values a name, names in lower case. A character is a byte. */
export class HeaderMap {
  #pairs: Pair[] = [];

  static from(input: HeaderInput): HeaderMap {
    const map = new HeaderMap();
    if (isPairs(input)) for (const [name, value] of input) map.add(name, value);
    else
      for (const [name, values] of Object.entries(input))
        for (const value of typeof values === "string" ? [values] : values) map.add(name, value);
    return map;
  }

  /** Number of header lines. */
  get size(): number {
    return this.#pairs.length;
  }

  /** Bytes of all names and values. */
  get byteSize(): number {
    return this.#pairs.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  }

  /** All lines, in order. */
  get pairs(): readonly Pair[] {
    return this.#pairs;
  }

  /** The first value of a name: what `proxy_get_header_map_value` gives. */
  first(name: string): string | undefined {
    const lower = name.toLowerCase();
    return this.#pairs.find(([other]) => other === lower)?.[1];
  }

  /** Every value of a name, in order. */
  all(name: string): string[] {
    const lower = name.toLowerCase();
    return this.#pairs.filter(([other]) => other === lower).map(([, value]) => value);
  }

  has(name: string): boolean {
    return this.first(name) !== undefined;
  }

  /** Appends a line, or joins it to the one there is for a header of one slot (Envoy's `addCopy`). */
  add(name: string, value: string): void {
    assertBytes(name);
    assertBytes(value);
    const lower = name.toLowerCase();
    const present = oneSlot.has(lower) ? this.#pairs.find(([other]) => other === lower) : undefined;
    if (present === undefined) this.#insert([lower, value]);
    else if (present[1] === "") present[1] = value;
    else if (value !== "") present[1] += `,${value}`;
  }

  /** Makes it the only line of that name, where the first one was (Envoy's `setCopy`). */
  set(name: string, value: string): void {
    assertBytes(value);
    const lower = name.toLowerCase();
    const at = this.#pairs.findIndex(([other]) => other === lower);
    if (at < 0) return this.#insert([lower, value]);
    this.#pairs = this.#pairs.filter(([other], i) => i === at || other !== lower);
    this.#pairs[this.#pairs.findIndex(([other]) => other === lower)] = [lower, value];
  }

  /** Removes every line of that name. */
  remove(name: string): void {
    const lower = name.toLowerCase();
    this.#pairs = this.#pairs.filter(([other]) => other !== lower);
  }

  /** Puts these lines in place of all. */
  replaceAll(pairs: readonly Pair[]): void {
    this.#pairs = [];
    for (const [name, value] of pairs) this.add(name, value);
  }

  /** One value a name, repeated ones as an array: for assertions. */
  toObject(): Record<string, string | string[]> {
    const object: Record<string, string | string[]> = {};
    for (const [name] of this.#pairs) {
      const values = this.all(name);
      object[name] = values.length === 1 ? values[0]! : values;
    }
    return object;
  }

  /** Envoy keeps pseudo-headers in front of all others. */
  #insert(pair: Pair): void {
    if (!pair[0].startsWith(":")) return void this.#pairs.push(pair);
    const end = this.#pairs.findIndex(([name]) => !name.startsWith(":"));
    this.#pairs.splice(end < 0 ? this.#pairs.length : end, 0, pair);
  }
}

function isPairs(input: HeaderInput): input is readonly Pair[] {
  return Array.isArray(input);
}

function assertBytes(text: string): void {
  for (let i = 0; i < text.length; i++)
    if (text.charCodeAt(i) > 255)
      throw new RangeError("a header holds bytes, one a character: write non-ASCII text with utf8()");
}

/** Text as header bytes: UTF-8, one character a byte. */
export function utf8(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}
