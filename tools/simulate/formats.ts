/** Finds out in which format a log is written. */
import { CsvParser } from "./csvLog.ts";
import { envoyDefaultFormat, EnvoyTextParser, istioDefaultFormat } from "./envoyFormat.ts";
import { type FieldMap, LogEntry, slotIndex } from "./fields.ts";
import { JsonParser } from "./jsonLog.ts";
import { FormatError } from "./formatError.ts";
import type { LineParser } from "./lineParser.ts";

export const inputFormats = ["auto", "json", "envoy", "istio", "csv"] as const;
export type InputFormat = (typeof inputFormats)[number];

export interface FormatOptions {
  input: InputFormat;
  /** an Envoy format string, in place of `input` */
  format?: string;
}

export interface Detected {
  parser: LineParser;
  /** how many of the sample's lines only said how the others are to be read */
  headerLines: number;
}

/**
 * Chooses the parser by the log's first lines: the one that understands most of them. `undefined`: none understands any. Throws a
 * FormatError when `format` can't be read back.
 */
export function detectFormat(
  sample: readonly string[],
  options: FormatOptions,
  fields: FieldMap,
): Detected | undefined {
  if (options.format !== undefined)
    return { parser: new EnvoyTextParser("text by --format", options.format, fields), headerLines: 0 };
  const csv = (): Detected[] =>
    sample[0] === undefined ? [] : [{ parser: new CsvParser(sample[0], fields), headerLines: 1 }];
  const plain = (parser: LineParser): Detected => ({ parser, headerLines: 0 });
  switch (options.input) {
    case "json":
      return plain(new JsonParser(fields, textParsers(fields)));
    case "istio":
      return plain(new EnvoyTextParser(istioName, istioDefaultFormat, fields));
    case "envoy":
      return plain(new EnvoyTextParser(envoyName, envoyDefaultFormat, fields));
    case "csv":
      return csv()[0];
    default: {
      const candidates = [
        plain(new JsonParser(fields, textParsers(fields))),
        ...textParsers(fields).map(plain),
        ...csv(),
      ];
      const scored = candidates.map((candidate) => ({ candidate, understood: understood(candidate, sample) }));
      const best = scored.reduce((a, b) => (b.understood > a.understood ? b : a));
      return best.understood === 0 ? undefined : best.candidate;
    }
  }
}

const istioName = "Istio's text";
const envoyName = "Envoy's text";

/** Parsers of the formats that Envoy and Istio have by themselves; none when the user's field for the time is none of theirs. */
function textParsers(fields: FieldMap): LineParser[] {
  try {
    return [
      new EnvoyTextParser(istioName, istioDefaultFormat, fields),
      new EnvoyTextParser(envoyName, envoyDefaultFormat, fields),
    ];
  } catch (error) {
    if (error instanceof FormatError) return [];
    throw error;
  }
}

/** How many lines have a time and, if a CSV's header is all there is, whether that names one. */
function understood({ parser, headerLines }: Detected, sample: readonly string[]): number {
  const entry = new LogEntry();
  const lines = sample.slice(headerLines);
  if (lines.length === 0 && parser instanceof CsvParser) return parser.usable ? 1 : 0;
  return lines.filter((line) => {
    if (!parser.parse(line, entry)) return false;
    const time = entry.get(slotIndex.time);
    return time !== undefined && !Number.isNaN(parser.readTime(time));
  }).length;
}
