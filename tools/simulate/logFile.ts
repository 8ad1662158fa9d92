/** One log: its lines read, understood, put in order of time. */
import { type FieldNames, FieldMap, LogEntry, slotIndex } from "./fields.ts";
import { CsvParser } from "./csvLog.ts";
import { detectFormat, type FormatOptions } from "./formats.ts";
import type { LineParser } from "./lineParser.ts";
import { LogError, readLines } from "./lines.ts";
import { Sorter } from "./order.ts";
import type { LoggedRequest, NotDecided, RequestReader } from "./requests.ts";

export interface LogSource {
  /** as messages name it */
  name: string;
  open: () => AsyncIterable<Buffer>;
}

export interface LogOptions extends FormatOptions {
  fields: FieldNames;
  toleranceMs: number;
  fromMs: number;
  untilMs: number;
  /** how many bad lines are kept to be shown; 5 unless set */
  badShown?: number;
}

/** A line that says nothing that could be replayed. */
export interface BadLine {
  line: number;
  reason: string;
  /** its beginning, without what could be a key */
  text: string;
}

const standardBadShown = 5;
const sampleLines = 200;
const shownCharacters = 120;

export interface LogCounts {
  lines: number;
  /** empty, or a header that names columns */
  skipped: number;
  bad: number;
  /** of no HTTP request */
  noRequest: number;
  /** before `from` or after `until` */
  outside: number;
  late: number;
  latestMs: number;
  /** of each slot that the user named a field for: how many lines have it */
  named: Map<string, number>;
}

export class LogFile {
  readonly name: string;
  readonly counts: LogCounts = {
    lines: 0,
    skipped: 0,
    bad: 0,
    noRequest: 0,
    outside: 0,
    late: 0,
    latestMs: 0,
    named: new Map(),
  };
  readonly badLines: BadLine[] = [];
  /** why it wasn't read to its end */
  cut: string | undefined;
  format: string | undefined;
  readonly #source: LogSource;
  readonly #options: LogOptions;
  readonly #reader: RequestReader;
  readonly #notDecided: (why: NotDecided) => void;

  constructor(source: LogSource, options: LogOptions, reader: RequestReader, notDecided: (why: NotDecided) => void) {
    this.name = source.name;
    this.#source = source;
    this.#options = options;
    this.#reader = reader;
    this.#notDecided = notDecided;
  }

  /** The requests in order of time. Throws a LogError when the log can't be read at all, a FormatError for a format string that can't be. */
  async *requests(): AsyncGenerator<LoggedRequest[]> {
    const sorter = new Sorter<LoggedRequest>(this.#options.toleranceMs);
    const understand = new LineReader(this.#options, this.#reader, this.#notDecided, this.counts, this.badLines);
    try {
      for await (const { lines, overlong } of readLines(this.#source.open())) {
        for (let index = 0; index < overlong; index++) understand.bad("longer than 1 MiB", "");
        understand.read(lines, sorter);
        this.format = understand.format;
        const ready = sorter.take();
        if (ready.length > 0) yield ready;
      }
    } catch (error) {
      // What a half-written gzip file held so far is good.
      if (!(error instanceof LogError) || this.counts.lines === 0) throw error;
      this.cut = error.message;
    }
    yield sorter.end();
    this.counts.late = sorter.late;
    this.counts.latestMs = sorter.latestMs;
  }
}

class LineReader {
  readonly #options: LogOptions;
  readonly #reader: RequestReader;
  readonly #notDecided: (why: NotDecided) => void;
  readonly #counts: LogCounts;
  readonly #badLines: BadLine[];
  readonly #entry = new LogEntry();
  readonly #namedSlots: { field: string; slots: number[] }[];
  #parser: LineParser | undefined;
  #standardPath: string | undefined;

  constructor(
    options: LogOptions,
    reader: RequestReader,
    notDecided: (why: NotDecided) => void,
    counts: LogCounts,
    badLines: BadLine[],
  ) {
    this.#options = options;
    this.#reader = reader;
    this.#notDecided = notDecided;
    this.#counts = counts;
    this.#badLines = badLines;
    this.#namedSlots = Object.entries(options.fields).map(([slot, field]) => {
      counts.named.set(field, 0);
      return {
        field,
        slots: slot === "key" ? [slotIndex.key, slotIndex.secret] : [slotIndex[slot as keyof typeof slotIndex]],
      };
    });
  }

  get format(): string | undefined {
    return this.#parser?.name;
  }

  read(lines: readonly string[], sorter: Sorter<LoggedRequest>): void {
    let from = 0;
    if (this.#parser === undefined) {
      from = this.#detect(lines);
      if (this.#parser === undefined) return;
    }
    for (let index = from; index < lines.length; index++) this.#readLine(lines[index]!, sorter);
  }

  /** Finds the format by the first lines that aren't empty; gives the index of the first line to be read by it. */
  #detect(lines: readonly string[]): number {
    const first = lines.findIndex((line) => line !== "");
    if (first < 0) {
      this.#counts.lines += lines.length;
      this.#counts.skipped += lines.length;
      return lines.length;
    }
    const sample = lines.slice(first, first + sampleLines).filter((line) => line !== "");
    const detect = (some: readonly string[]) => detectFormat(some, this.#options, new FieldMap(this.#options.fields));
    const detected = detect(sample) ?? detect(lines.slice(first));
    if (detected === undefined) {
      for (const line of lines) {
        if (line === "") this.#skip();
        else this.bad("of no format that is known; name it by --input, --format or --columns", line);
      }
      return lines.length;
    }
    this.#parser = detected.parser;
    this.#counts.lines += first;
    this.#counts.skipped += first;
    const header = detected.headerLines === 0 ? undefined : lines[first]!;
    if (header !== undefined && detected.parser instanceof CsvParser && !detected.parser.usable) {
      this.bad("a header that names no column with the time; name it, such as --columns time=when", header);
    } else {
      this.#counts.lines += detected.headerLines;
      this.#counts.skipped += detected.headerLines;
    }
    if (detected.parser instanceof CsvParser && !detected.parser.hasPath) this.#standardPath = "/";
    return first + detected.headerLines;
  }

  #readLine(line: string, sorter: Sorter<LoggedRequest>): void {
    if (line === "") return this.#skip();
    this.#counts.lines++;
    const entry = this.#entry;
    if (!this.#parser!.parse(line, entry)) return this.#note(`not ${this.#parser!.name}`, line);
    const timeText = entry.get(slotIndex.time);
    if (timeText === undefined) return this.#note("no time", line);
    const timeMs = this.#parser!.readTime(timeText);
    if (Number.isNaN(timeMs)) return this.#note(`\`${timeText.slice(0, 40)}\` is no time`, line);
    for (const { field, slots } of this.#namedSlots) {
      if (slots.some((slot) => entry.get(slot) !== undefined))
        this.#counts.named.set(field, this.#counts.named.get(field)! + 1);
    }
    if (timeMs < this.#options.fromMs || timeMs >= this.#options.untilMs) {
      this.#counts.outside++;
      return;
    }
    const request = this.#reader.read(entry, timeMs, this.#standardPath);
    if ("what" in request) {
      if (request.what === "no-request") this.#counts.noRequest++;
      else this.#notDecided(request);
    } else sorter.add(request);
  }

  #skip(): void {
    this.#counts.lines++;
    this.#counts.skipped++;
  }

  /** Counts a line that can't be read. */
  bad(reason: string, line: string): void {
    this.#counts.lines++;
    this.#note(reason, line);
  }

  #note(reason: string, line: string): void {
    this.#counts.bad++;
    if (this.#badLines.length >= (this.#options.badShown ?? standardBadShown)) return;
    const text = line.length > shownCharacters ? `${line.slice(0, shownCharacters)}…` : line;
    this.#badLines.push({ line: this.#counts.lines, reason, text: withoutKeys(text) });
  }
}

/** What is recognisably a key never gets into a build's log. */
function withoutKeys(text: string): string {
  return text.replace(/\btg[ag]?_[A-Za-z0-9_-]+/g, "tg_…");
}
