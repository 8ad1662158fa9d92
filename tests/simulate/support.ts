import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { type FieldNames, LogEntry, type Slot, slotIndex, slots } from "../../tools/simulate/fields.ts";
import type { LineParser } from "../../tools/simulate/lineParser.ts";
import type { Report } from "../../tools/simulate/report.ts";
import { simulate, type SimulationOptions } from "../../tools/simulate/simulate.ts";

export const upstream = { service: "echo", port: 8080 };

/** What a parser makes of a line, by slot; undefined: the line isn't of its format. */
export function slotsOf(parser: LineParser, line: string): Partial<Record<Slot, string>> | undefined {
  const entry = new LogEntry();
  if (!parser.parse(line, entry)) return undefined;
  const found = slots
    .map((slot) => [slot, entry.get(slotIndex[slot])] as const)
    .filter(([, value]) => value !== undefined);
  return Object.fromEntries(found) as Partial<Record<Slot, string>>;
}

/** A source of these bytes, in chunks of a size. */
export function source(
  bytes: Buffer | string,
  chunkBytes = 1 << 16,
  name = "test.log",
): { name: string; open: () => AsyncIterable<Buffer> } {
  const all = Buffer.from(bytes);
  return {
    name,
    open: async function* () {
      for (let at = 0; at < all.length; at += chunkBytes) yield all.subarray(at, at + chunkBytes);
    },
  };
}

export function environment(file: Partial<FileInput>): EnvironmentSpec {
  return fillEnvironment({ version: 1, ...file }, "default");
}

/** Options as the command line gives them. */
function options(spec: EnvironmentSpec, more: Partial<SimulationOptions> = {}): SimulationOptions {
  return {
    spec,
    input: "auto",
    fields: {} as FieldNames,
    toleranceMs: 30_000,
    fromMs: -Infinity,
    untilMs: Infinity,
    host: "",
    trustedHops: 0,
    withoutKey: "address",
    countersMax: 1000,
    activeMax: 1e6,
    slots: 400,
    ...more,
  };
}

export interface LoggedCall {
  ms: number;
  key?: string | undefined;
  consumer?: string;
  path?: string;
  method?: string;
  address?: string;
  [field: string]: unknown;
}

export const startMs = Date.UTC(2026, 10, 2);

/** Lines as this project's own Envoy configuration writes them; `ms` counts from `startMs`, a Monday. */
export function lines(calls: readonly LoggedCall[]): string {
  return calls
    .map(({ ms, key, consumer, path = "/", method = "GET", address = "192.0.2.1", ...more }) =>
      JSON.stringify({
        time: new Date(startMs + ms).toISOString(),
        method,
        path,
        host: "api.example.com",
        status: 200,
        details: "via_upstream",
        client: address,
        keyId: key,
        consumer,
        ...more,
      }),
    )
    .map((line) => `${line}\n`)
    .join("");
}

export async function replay(
  spec: EnvironmentSpec,
  calls: readonly LoggedCall[] | string,
  more: Partial<SimulationOptions> = {},
): Promise<Report> {
  return simulate([source(typeof calls === "string" ? calls : lines(calls))], options(spec, more));
}

export function writeIn(folder: string, name: string, content: string | Buffer): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}
