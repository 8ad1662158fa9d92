/** Access logs of one JSON object a line: Envoy's, Istio's, and what log shippers make of them. */
import { type FieldMap, LogEntry, slotIndex } from "./fields.ts";
import type { LineParser } from "./lineParser.ts";
import { timeReader } from "./times.ts";

type JsonObject = Record<string, unknown>;

const depthMax = 4;
/** Where shippers and container runtimes put the line that Envoy wrote. */
const wrappers = ["log", "message", "msg", "textPayload", "line"];

export class JsonParser implements LineParser {
  readonly name = "JSON";
  readonly readTime = timeReader();
  readonly #fields: FieldMap;
  readonly #inner: readonly LineParser[];
  readonly #innerEntry = new LogEntry();

  /** `inner`: the text formats that a wrapped line may have. */
  constructor(fields: FieldMap, inner: readonly LineParser[]) {
    this.#fields = fields;
    this.#inner = inner;
  }

  parse(line: string, entry: LogEntry): boolean {
    const object = parseObject(line);
    if (object === undefined) return false;
    entry.clear();
    this.#read(object, "", entry, 0);
    if (entry.get(slotIndex.path) === undefined && entry.get(slotIndex.request) === undefined)
      this.#unwrap(object, entry);
    return true;
  }

  #read(object: JsonObject, around: string, entry: LogEntry, depth: number): void {
    for (const name in object) {
      const value = object[name];
      if (typeof value === "string") {
        const use = this.#fields.use(name, around);
        if (use !== null) entry.set(use, value);
      } else if (typeof value === "number") {
        const use = this.#fields.use(name, around);
        if (use !== null) entry.set(use, String(value));
      } else if (typeof value === "object" && value !== null && !Array.isArray(value) && depth < depthMax) {
        this.#read(value as JsonObject, around === "" ? name : `${around}.${name}`, entry, depth + 1);
      }
    }
  }

  /** The line in a member of the object, where the object itself is no request. */
  #unwrap(object: JsonObject, entry: LogEntry): void {
    for (const name of wrappers) {
      const text = object[name];
      if (typeof text !== "string") continue;
      const line = text.trimEnd();
      const inside = line.includes("{") ? parseObject(line) : undefined;
      if (inside !== undefined) {
        // Time and all: the line's own fields are nearer to the request than the shipper's.
        entry.clear();
        this.#read(inside, "", entry, 0);
        return;
      }
      const parser = this.#inner.find((one) => one.parse(line, this.#innerEntry));
      if (parser === undefined) continue;
      entry.take(this.#innerEntry);
      return;
    }
  }
}

/** An object, also behind what `kubectl logs --prefix` or a container runtime puts before it. */
function parseObject(line: string): JsonObject | undefined {
  const brace = line.charCodeAt(0) === 0x7b ? 0 : line.indexOf("{");
  if (brace < 0) return undefined;
  try {
    const value: unknown = JSON.parse(brace === 0 ? line : line.slice(brace));
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as JsonObject) : undefined;
  } catch {
    return undefined;
  }
}
