/** Tables with a header line, one record a line (RFC 4180 without line breaks in fields); the separator is a comma, a semicolon or a tab. */
import { type FieldMap, type FieldUse, type LogEntry, slotIndex } from "./fields.ts";
import type { LineParser } from "./lineParser.ts";
import { timeReader } from "./times.ts";

export class CsvParser implements LineParser {
  readonly name = "CSV";
  readonly readTime = timeReader();
  readonly columns: readonly string[];
  readonly #separator: string;
  readonly #uses: readonly (FieldUse | null)[];
  readonly #cells: string[] = [];

  constructor(header: string, fields: FieldMap) {
    this.#separator = separatorOf(header);
    splitCells(header, this.#separator, this.#cells);
    this.columns = this.#cells.map((cell) => cell.trim());
    this.#uses = this.columns.map((name) => fields.use(name));
  }

  /** Does the header name a time? */
  get usable(): boolean {
    return this.columns.length > 1 && this.#uses.some((use) => use?.slot === slotIndex.time);
  }

  /** Does the header name a path? */
  get hasPath(): boolean {
    return this.#uses.some((use) => use?.slot === slotIndex.path || use?.slot === slotIndex.request);
  }

  parse(line: string, entry: LogEntry): boolean {
    if (!splitCells(line, this.#separator, this.#cells) || this.#cells.length !== this.#uses.length) return false;
    entry.clear();
    for (let index = 0; index < this.#uses.length; index++) {
      const use = this.#uses[index]!;
      if (use !== null) entry.set(use, this.#cells[index]!);
    }
    return true;
  }
}

function separatorOf(header: string): string {
  const count = (separator: string) => header.split(separator).length;
  return [",", ";", "\t"].reduce((best, one) => (count(one) > count(best) ? one : best));
}

/** Splits a line into `cells`. False: a quoted field doesn't end, or something follows it. */
function splitCells(line: string, separator: string, cells: string[]): boolean {
  cells.length = 0;
  let at = 0;
  for (;;) {
    if (line.charCodeAt(at) === 0x22) {
      let value = "";
      let from = at + 1;
      let quote = line.indexOf('"', from);
      while (quote >= 0 && line.charCodeAt(quote + 1) === 0x22) {
        value += line.slice(from, quote + 1);
        from = quote + 2;
        quote = line.indexOf('"', from);
      }
      if (quote < 0) return false;
      cells.push(value + line.slice(from, quote));
      at = quote + 1;
      if (at === line.length) return true;
      if (line[at] !== separator) return false;
    } else {
      const end = line.indexOf(separator, at);
      if (end < 0) {
        cells.push(line.slice(at));
        return true;
      }
      cells.push(line.slice(at, end));
      at = end;
    }
    at += 1;
  }
}
