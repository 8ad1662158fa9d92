import type { LogEntry } from "./fields.ts";
import type { ReadTime } from "./times.ts";

/** A format that the user gave can't be read back, and why. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** Reads the lines of one format. */
export interface LineParser {
  /** the format, for people */
  readonly name: string;
  /** how this format writes times */
  readonly readTime: ReadTime;
  /** Reads a line into the entry, which is cleared first. False: the line isn't of this format. */
  parse(line: string, entry: LogEntry): boolean;
}
