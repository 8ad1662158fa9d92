/** simulate: what a file's limits would have done to logged requests. */
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { Readable } from "node:stream";
import { getHeapStatistics } from "node:v8";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { CapacityError } from "../../tools/simulate/engine.ts";
import { type FieldNames, mappable, type Slot } from "../../tools/simulate/fields.ts";
import { type InputFormat, inputFormats } from "../../tools/simulate/formats.ts";
import { FormatError } from "../../tools/simulate/formatError.ts";
import { LogError } from "../../tools/simulate/lines.ts";
import type { LogSource } from "../../tools/simulate/logFile.ts";
import type { Report } from "../../tools/simulate/report.ts";
import { type Progress, simulate } from "../../tools/simulate/simulate.ts";
import { environmentOf, optionsOf, type Context } from "../context.ts";
import { RefusedError, UsageError } from "../failure.ts";
import { readSpec, withFile } from "../input.ts";
import { json } from "../output.ts";
import { durationSeconds, timeOrDate, wholeNumber } from "../values.ts";
import { badLineTexts, reportCsv, reportText } from "./simulateText.ts";

interface Options {
  file: string;
  input: InputFormat;
  format?: string;
  columns?: FieldNames;
  keyField?: string;
  consumerField?: string;
  tierField?: string;
  addressField?: string;
  gatewayField?: string;
  tier?: string;
  withoutKey: "address" | "refuse";
  trustedHops: number;
  host?: string;
  tolerance: number;
  from?: number;
  until?: number;
  limit?: string;
  top?: number;
  interval?: number;
  csv?: boolean;
  showBad: number;
  failIfLimited?: boolean;
  maxCounters: number;
}

/** Rows for people, when they don't say how many. */
const standardTop = 20;
const textSlots = 40;
const machineSlots = 400;
const progressMs = 500;
const chunkBytes = 1 << 20;
/** What a counter and its caller take of memory, measured with room to spare. */
const counterBytes = 700;

export function addSimulateCommand(program: Command, context: Context): void {
  withFile(program.command("simulate"), "tollgate.yaml")
    .description(
      "Replay access logs against the limits of a file. Shows which callers would have been limited, when, and by which limit.",
    )
    .argument("<logs...>", "Access logs, optionally gzipped; - for standard input; several logs are merged by time")
    .addOption(new Option("--input <format>", "Format of the logs").choices(inputFormats).default("auto"))
    .option("--format <string>", "Envoy format string of the logs")
    .option("--columns <slot=field,...>", `Fields that hold these values: ${mappable.join(", ")}`, columns)
    .option("--key-field <name>", "Field with the key ID (default: x-tollgate-key-id and its variants)")
    .option("--consumer-field <name>", "Field with the consumer ID (default: x-tollgate-consumer and its variants)")
    .option("--tier-field <name>", "Field with the tier of the caller; overrides the tier of the consumer in the file")
    .option("--address-field <name>", "Field with the IP address of the client")
    .option("--gateway-field <name>", "Field that identifies the gateway, for limits with enforcement: gateway")
    .option("--tier <id>", "Tier of callers that have none in the file or the log")
    .addOption(
      new Option("--without-key <what>", "How to treat requests without a key or consumer to APIs that require keys")
        .choices(["address", "refuse"])
        .default("address"),
    )
    .option(
      "--trusted-hops <number>",
      "Number of trusted proxies in front of Envoy that set X-Forwarded-For",
      wholeNumber(0),
      0,
    )
    .option("--host <name>", "Host of lines that have none")
    .option("--tolerance <length>", "How far lines may be out of order, such as 30s", durationSeconds, 30)
    .option("--from <time>", "Skip requests before this time or date", timeOrDate)
    .option("--until <time>", "Skip requests at or after this time or date", timeOrDate)
    .option("--limit <name>", "Report only limits with this name")
    .option(
      "--top <number>",
      "Maximum number of callers in the report (default: 20; all with --json and --csv)",
      wholeNumber(0),
    )
    .option("--interval <length>", "Interval of the timeline, such as 5m", durationSeconds)
    .option("--csv", "Output callers that would be limited as CSV")
    .option(
      "--show-bad <number>",
      "Maximum number of unreadable lines to show for each log, with the cause",
      wholeNumber(0),
      5,
    )
    .option("--fail-if-limited", "Exit with 1 if a request would be limited")
    .option(
      "--max-counters <number>",
      "Maximum number of counters in memory; idle ones are dropped first",
      wholeNumber(1),
      1_000_000,
    )
    .action(async (logs: string[], _options, command: Command) => {
      const options = optionsOf<Options>(command);
      check(logs, options);
      const { spec } = await readSpec(context, options.file, environmentOf(context, options));
      checkNames(spec, options);
      const sources = await Promise.all(logs.map((path) => sourceOf(path, context)));
      const meter = progressMeter(context, sources);
      const report = await simulate(sources, {
        spec,
        input: options.input,
        ...(options.format === undefined ? {} : { format: options.format }),
        fields: fieldNames(options),
        toleranceMs: options.tolerance * 1000,
        fromMs: options.from ?? -Infinity,
        untilMs: options.until ?? Infinity,
        host: options.host ?? "",
        badShown: options.showBad,
        trustedHops: options.trustedHops,
        withoutKey: options.withoutKey,
        countersMax: options.maxCounters,
        activeMax: Math.floor((getHeapStatistics().heap_size_limit * 0.75) / counterBytes),
        slots: options.json ? machineSlots : textSlots,
        ...(options.tier === undefined ? {} : { tier: options.tier }),
        ...(options.interval === undefined ? {} : { intervalMs: options.interval * 1000 }),
        ...(options.limit === undefined ? {} : { limit: options.limit }),
        ...topOf(options),
        ...(meter === undefined ? {} : { onProgress: meter.show }),
      })
        .catch((error: unknown) => {
          if (error instanceof CapacityError) throw new RefusedError(error.message);
          throw error instanceof LogError || error instanceof FormatError
            ? new RefusedError(`The log can't be read: ${error.message}.`)
            : error;
        })
        .finally(() => meter?.clear());
      refuseUnread(report);
      context.streams.out(options.json ? json(report) : options.csv ? reportCsv(report) : reportText(report));
      if (options.csv) {
        for (const warning of report.warnings) context.streams.err(`${warning}\n`);
        for (const { name, bad } of report.logs)
          for (const text of badLineTexts(name, bad)) context.streams.err(`${text}\n`);
      }
      const limited =
        options.limit === undefined
          ? report.requests.limited
          : report.limits.reduce((sum, { mode, refused }) => sum + (mode === "enforce" ? refused : 0), 0);
      if (options.failIfLimited && limited > 0) throw new RefusedError("");
    });
}

/** A log of which nothing was understood makes every result wrong, whatever its format. One without lines is only empty. Throws a RefusedError. */
function refuseUnread({ logs }: Report): void {
  const unread = logs.filter(({ understood, badLines, noRequest }) => understood === 0 && badLines + noRequest > 0);
  if (unread.length === 0) return;
  const said = unread.flatMap(({ name, format, bad, badLines, noRequest }) => {
    const read = format === undefined ? "" : `, read as ${format},`;
    const why =
      badLines === 0
        ? `${number(noRequest)} lines with a time, but without a path or a request.`
        : badLines > bad.length
          ? `${number(badLines)} bad lines, the first:`
          : "";
    return [
      `${name}${read} has no line that tells of a request.${why === "" ? "" : ` ${why}`}`,
      ...badLineTexts(name, bad),
    ];
  });
  throw new RefusedError(
    `${said.join("\n")}\nName the format with --input or --format, and the fields with --columns.`,
  );
}

function check(logs: readonly string[], options: Options & { json?: boolean }): void {
  if ([...logs, options.file].filter((path) => path === "-").length > 1) {
    throw new UsageError("Standard input can be read once: give `-` for one of the logs, or for the file.");
  }
  if (options.format !== undefined && options.input !== "auto")
    throw new UsageError("Give --input or --format, not both.");
  if (options.csv && options.json) throw new UsageError("Give --csv or --json, not both.");
  if (options.interval === 0) throw new UsageError("--interval must be 1s or more.");
}

function checkNames(spec: EnvironmentSpec, { tier, limit }: Options): void {
  if (tier !== undefined && !spec.tiers.some(({ id }) => id === tier))
    throw new UsageError(`The file has no tier \`${tier}\`; it has ${list(spec.tiers.map(({ id }) => id))}.`);
  const owners = [...spec.apis, ...spec.apis.flatMap(({ routes }) => routes), ...spec.tiers, ...spec.keys];
  const names = new Set(owners.flatMap(({ limits }) => limits.map(({ name }) => name)));
  if (limit !== undefined && !names.has(limit))
    throw new UsageError(`The file has no limit \`${limit}\`; it has ${list([...names])}.`);
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function list(names: readonly string[]): string {
  return names.length === 0 ? "none" : names.join(", ");
}

function topOf({ top, csv, json: machine }: Options & { json?: boolean }): { top?: number } {
  if (top !== undefined) return { top };
  return csv || machine ? {} : { top: standardTop };
}

function fieldNames(options: Options): FieldNames {
  const {
    keyField: key,
    consumerField: consumer,
    tierField: tier,
    addressField: address,
    gatewayField: gateway,
  } = options;
  const named = { key, consumer, tier, address, gateway };
  return {
    ...options.columns,
    ...Object.fromEntries(Object.entries(named).filter(([, field]) => field !== undefined)),
  };
}

function columns(text: string): FieldNames {
  return Object.fromEntries(
    text.split(",").map((pair) => {
      const [slot, ...rest] = pair.split("=");
      const field = rest.join("=").trim();
      if (!mappable.includes(slot!.trim() as Slot) || field === "")
        throw new InvalidArgumentError(
          `Give pairs such as time=ts,path=url; what can be named is ${mappable.join(", ")}.`,
        );
      return [slot!.trim(), field];
    }),
  );
}

interface MeteredSource extends LogSource {
  /** undefined: not known */
  bytes: number | undefined;
  readBytes: number;
}

async function sourceOf(path: string, context: Context): Promise<MeteredSource> {
  if (path === "-") {
    const input =
      context.input ??
      (() =>
        Readable.from(
          (async function* () {
            yield Buffer.from(await context.readInput());
          })(),
        ));
    return metered("standard input", undefined, () => input());
  }
  const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new RefusedError(
      `${path} can't be read: ${error.code === "ENOENT" ? "there is no such file" : error.message}.`,
    );
  });
  if (found.isDirectory()) throw new RefusedError(`${path} can't be read: it is a folder.`);
  return metered(path, found.isFile() ? found.size : undefined, () =>
    createReadStream(path, { highWaterMark: chunkBytes }),
  );
}

function metered(name: string, bytes: number | undefined, input: () => AsyncIterable<Buffer>): MeteredSource {
  const source: MeteredSource = {
    name,
    bytes,
    readBytes: 0,
    open: async function* () {
      try {
        for await (const chunk of input()) {
          source.readBytes += chunk.length;
          yield chunk;
        }
      } catch (error) {
        throw (error as NodeJS.ErrnoException).syscall === undefined ? error : new LogError((error as Error).message);
      }
    },
  };
  return source;
}

/** A line on a terminal's standard error that is written over again and again. */
function progressMeter(
  context: Context,
  sources: readonly MeteredSource[],
): { show: (progress: Progress) => void; clear: () => void } | undefined {
  if (context.terminal !== true) return undefined;
  const started = performance.now();
  const total = sources.every(({ bytes }) => bytes !== undefined)
    ? sources.reduce((sum, { bytes }) => sum + bytes!, 0)
    : 0;
  let shown = 0;
  return {
    show({ requests, limited, timeMs }) {
      const now = performance.now();
      if (now - shown < progressMs) return;
      shown = now;
      const read = sources.reduce((sum, { readBytes }) => sum + readBytes, 0);
      const part = total > 0 ? `${Math.min(100, Math.floor((read / total) * 100))} %, ` : "";
      const pace = Math.round(requests / ((now - started) / 1000));
      const at = `${new Date(timeMs).toISOString().slice(0, 19)}Z`;
      context.streams.err(
        `\r\u001b[K${part}${number(requests)} requests, ${number(pace)}/s, at ${at}, ${number(limited)} limited`,
      );
    },
    clear() {
      if (shown > 0) context.streams.err("\r\u001b[K");
    },
  };
}
