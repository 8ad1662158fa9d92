/** Finds out in which format a log is written. */
import { CsvParser } from "./csvLog.ts";
import { envoyDefaultFormat, EnvoyTextParser, istioDefaultFormat } from "./envoyFormat.ts";
import { type FieldMap, LogEntry, slotIndex } from "./fields.ts";
import { JsonParser } from "./jsonLog.ts";
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
 * RangeError when `format` can't be read back.
 */
export function detectFormat(sample: readonly string[], options: FormatOptions, fields: FieldMap): Detected | undefined {
  if (options.format !== undefined) return { parser: new EnvoyTextParser("text by --format", options.format, fields), headerLines: 0 };
  const texts = () => [new EnvoyTextParser("Istio's text", istioDefaultFormat, fields), new EnvoyTextParser("Envoy's text", envoyDefaultFormat, fields)];
  const csv = (): Detected[] => (sample[0] === undefined ? [] : [{ parser: new CsvParser(sample[0], fields), headerLines: 1 }]);
  const plain = (parser: LineParser): Detected => ({ parser, headerLines: 0 });
  const [istio, envoy] = texts() as [EnvoyTextParser, EnvoyTextParser];
  switch (options.input) {
    case "json":
      return plain(new JsonParser(fields, [istio, envoy]));
    case "istio":
      return plain(istio);
    case "envoy":
      return plain(envoy);
    case "csv":
      return csv()[0];
    default: {
      const candidates = [plain(new JsonParser(fields, texts())), plain(istio), plain(envoy), ...csv()];
      const scored = candidates.map((candidate) => ({ candidate, understood: understood(candidate, sample) }));
      const best = scored.reduce((a, b) => (b.understood > a.understood ? b : a));
      return best.understood === 0 ? undefined : best.candidate;
    }
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
