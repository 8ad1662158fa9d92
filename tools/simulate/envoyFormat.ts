/**
 * A parser made of the format string by which Envoy wrote a text log. Envoy doesn't escape what clients send, so a header can hold what
 * looks like the text around it: what stands before the first free header is read from the front, what stands after the last one from the
 * back. One pass, no backtracking: no line takes longer than its length.
 */
import { type FieldMap, type FieldUse, type LogEntry, slotIndex } from "./fields.ts";
import { FormatError } from "./formatError.ts";
import type { LineParser } from "./lineParser.ts";
import { type ReadTime, strftimeReader, timeReader } from "./times.ts";

/** Envoy's format when none is configured. */
export const envoyDefaultFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %DURATION% ' +
  '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%"';

/** Istio's format when `accessLogEncoding` is TEXT and none is configured. */
export const istioDefaultFormat =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% ' +
  '%CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% ' +
  '"%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  "%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%";

/** A value in the line, and the text that ends it. */
interface Part {
  use: FieldUse | null;
  /** a header that may hold anything */
  free: boolean;
  /** a number, or `-` */
  numeric: boolean;
  /** the text up to the next value, or to the end of the line */
  after: string;
  /** of a time: the format that Envoy was given for it */
  timeFormat: string | undefined;
}

const operator = /%([A-Z][A-Z0-9_]*)(?:\(((?:[^)]|\)(?!%|:\d+%))*)\))?(?::\d+)?%/y;
const tameHeaders = new Set([
  ":method",
  ":path",
  ":authority",
  ":scheme",
  "x-envoy-original-path",
  "x-request-id",
  "x-forwarded-for",
  "x-envoy-upstream-service-time",
]);
const timeOperators = new Set(["START_TIME", "START_TIME_LOCAL", "EMIT_TIME"]);
const numericOperators = new Set([
  "RESPONSE_CODE",
  "BYTES_RECEIVED",
  "BYTES_SENT",
  "DURATION",
  "REQUEST_DURATION",
  "RESPONSE_DURATION",
  "RESPONSE_TX_DURATION",
]);

export class EnvoyTextParser implements LineParser {
  readonly name: string;
  readonly #start: string;
  readonly #parts: readonly Part[];
  /** parts after it are read from the back, the others from the front */
  readonly #lastFree: number;
  readonly #values: string[] = [];
  /** reads what the time operator printed */
  readonly readTime: ReadTime;

  /** Throws a FormatError with what can't be read back. */
  constructor(name: string, format: string, fields: FieldMap) {
    this.name = name;
    const { start, parts } = compile(format.replace(/(?:\\n|\n)+$/, ""), fields);
    this.#start = start;
    this.#parts = parts;
    this.readTime = timeReaderOf(parts);
    const free = parts.findLastIndex((part) => part.free);
    this.#lastFree = free < 0 ? parts.length : free;
  }

  /** Reads a line into the entry. False: it's not of this format. */
  parse(line: string, entry: LogEntry): boolean {
    if (!line.startsWith(this.#start)) return false;
    const parts = this.#parts;
    let from = this.#start.length;
    let end = line.length;
    let back = parts.length;
    const last = parts[back - 1]!.after;
    if (!line.endsWith(last)) return false;
    end -= last.length;
    for (; back - 1 > this.#lastFree; back--) {
      const before = parts[back - 2]!.after;
      const at = line.lastIndexOf(before, end - before.length);
      if (at < from) return false;
      if (!this.#note(back - 1, line.slice(at + before.length, end))) return false;
      end = at;
    }
    for (let index = 0; index < back; index++) {
      const after = parts[index]!.after;
      const at = index === back - 1 ? end : line.indexOf(after, from);
      if (at < 0 || at > end) return false;
      if (!this.#note(index, line.slice(from, at))) return false;
      from = at + after.length;
    }
    entry.clear();
    for (let i = 0; i < parts.length; i++) {
      const use = parts[i]!.use;
      if (use !== null) entry.set(use, this.#values[i]!);
    }
    return true;
  }

  #note(index: number, value: string): boolean {
    this.#values[index] = value;
    return !this.#parts[index]!.numeric || value === "-" || /^\d+$/.test(value);
  }
}

function compile(format: string, fields: FieldMap): { start: string; parts: Part[] } {
  const parts: Part[] = [];
  let start = "";
  let at = 0;
  const literal = (text: string) => {
    const last = parts.at(-1);
    if (last === undefined) start += text;
    else last.after += text;
  };
  while (at < format.length) {
    const percent = format.indexOf("%", at);
    if (percent !== at) {
      const end = percent < 0 ? format.length : percent;
      literal(format.slice(at, end));
      at = end;
    } else if (format[at + 1] === "%") {
      literal("%");
      at += 2;
    } else {
      operator.lastIndex = at;
      const match = operator.exec(format);
      if (match === null)
        throw new FormatError(
          `\`${format.slice(at, at + 20)}\` is no command operator of Envoy's; write %% for a percent sign`,
        );
      const [whole, name, argument] = match as unknown as [string, string, string | undefined];
      if (parts.at(-1)?.after === "")
        throw new FormatError(`nothing stands between ${whole} and the value before it: the two can't be told apart`);
      const timeFormat = timeOperators.has(name) ? argument : undefined;
      parts.push({
        use: useOf(name, argument, fields),
        free: isFree(name, argument),
        numeric: numericOperators.has(name),
        after: "",
        timeFormat,
      });
      at += whole.length;
    }
  }
  return { start, parts };
}

/** The reader of what the operator printed whose time counts. */
function timeReaderOf(parts: readonly Part[]): ReadTime {
  const times = parts.filter(({ use }) => use?.slot === slotIndex.time).sort((a, b) => a.use!.rank - b.use!.rank);
  if (times[0] === undefined)
    throw new FormatError("the format holds no time: it needs %START_TIME%, or --columns time=<another of its fields>");
  return times[0].timeFormat ? strftimeReader(times[0].timeFormat) : timeReader();
}

function useOf(name: string, argument: string | undefined, fields: FieldMap): FieldUse | null {
  if (timeOperators.has(name)) return fields.use(name.replace("_LOCAL", ""));
  if (name === "PATH") return fields.use("path");
  if (name !== "REQ" && name !== "REQ_WITHOUT_QUERY")
    return fields.use(argument === undefined ? name : `${name}(${argument})`);
  // %REQ(A?B)%: B where there is no A
  for (const header of (argument ?? "").split("?")) {
    const use = fields.use(header);
    if (use !== null) return use;
  }
  return null;
}

function isFree(name: string, argument = ""): boolean {
  if (name === "REQ" || name === "RESP" || name === "TRAILER" || name === "REQ_WITHOUT_QUERY") {
    return !argument
      .toLowerCase()
      .split("?")
      .every((header) => tameHeaders.has(header) || header.startsWith("x-tollgate-"));
  }
  return (
    name.includes("METADATA") ||
    name === "FILTER_STATE" ||
    name === "UPSTREAM_TRANSPORT_FAILURE_REASON" ||
    name === "CEL"
  );
}
