/** Replays logs against an environment: logs → lines → requests in order of time → limits → report. */
import { ApiRouter } from "../matching.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { Callers } from "./callers.ts";
import { Engine } from "./engine.ts";
import { LogFile, type LogOptions, type LogSource } from "./logFile.ts";
import { merged } from "./order.ts";
import { countNotDecided, makeReport, type NotDecidedCounts, type Report } from "./report.ts";
import { RequestReader, type RequestOptions } from "./requests.ts";

export interface SimulationOptions extends LogOptions, RequestOptions {
  spec: EnvironmentSpec;
  /** of callers whose tier neither file nor log tells */
  tier?: string;
  countersMax: number;
  activeMax: number;
  intervalMs?: number;
  limit?: string;
  top?: number;
  slots: number;
  onProgress?: (progress: Progress) => void;
}

export interface Progress {
  requests: number;
  limited: number;
  /** where in the log */
  timeMs: number;
}

/** Throws a LogError for a log that can't be read, a FormatError for a format string that can't be read back, a CapacityError for too many callers at a time. */
export async function simulate(sources: readonly LogSource[], options: SimulationOptions): Promise<Report> {
  const { spec } = options;
  const callers = new Callers(spec, options.tier, options.fields.tier !== undefined);
  const reader = new RequestReader(spec, new ApiRouter(spec.apis), callers, options);
  const engine = new Engine({
    countersMax: options.countersMax,
    activeMax: options.activeMax,
    ...(options.intervalMs === undefined ? {} : { intervalMs: options.intervalMs }),
  });
  const notDecided: NotDecidedCounts = { refused: new Map(), refusedThen: new Map(), limitedThen: 0, preflights: 0 };
  const files = sources.map(
    (source) => new LogFile(source, options, reader, (why) => countNotDecided(notDecided, why)),
  );
  for await (const batch of merged(files.map((file) => file.requests()))) {
    for (const request of batch) engine.decide(request);
    options.onProgress?.({ requests: engine.requests, limited: engine.limited, timeMs: engine.lastMs });
  }
  return makeReport({
    environment: spec.environment,
    files,
    engine,
    callers,
    reader,
    notDecided,
    slots: options.slots,
    ...(options.limit === undefined ? {} : { limit: options.limit }),
    ...(options.top === undefined ? {} : { top: options.top }),
  });
}
