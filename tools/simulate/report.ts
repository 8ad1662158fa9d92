/** What came of a simulation, for machines as it is. Times are RFC 3339. */
import type { LimitOwner } from "../../control/domain/applicableLimits.ts";
import type { Limit } from "../../control/domain/model.ts";
import { countsCaller, countsKey, subjectParts } from "../../control/domain/subjects.ts";
import { timeText } from "../../control/domain/time.ts";
import type { Counter } from "./counters.ts";
import type { Callers } from "./callers.ts";
import type { Engine } from "./engine.ts";
import type { BadLine, LogFile } from "./logFile.ts";
import type { NotDecided, RequestReader } from "./requests.ts";
import type { Rule } from "./rules.ts";
import type { TimelineSlot } from "./timeline.ts";

interface LogReport {
  name: string;
  format?: string;
  lines: number;
  /** of these, that told of a request, also when it was left out or refused; 0 of a log that has other lines than empty ones: it can't be judged */
  understood: number;
  badLines: number;
  /** the first of them */
  bad: BadLine[];
  /** lines of no HTTP request, such as broken connections */
  noRequest: number;
  /** outside --from and --until */
  outside: number;
  /** logged later than the tolerance allows */
  late: number;
  latestSeconds: number;
  /** why it wasn't read to its end */
  cut?: string;
}

/** A window of a counter, and what was asked for in it. */
export interface WindowReport {
  startAt: string;
  endAt: string;
  demand: number;
}

export interface LimitReport {
  owner: LimitOwner;
  name: string;
  kind: Limit["kind"];
  limit: number;
  /** such as `60 s`, `day`, `30d from first use` */
  per: string;
  subject: Limit["subject"];
  enforcement: Limit["enforcement"];
  mode: Limit["mode"];
  smoothing?: { perSecond: number; burst: number };
  /** that it applied to */
  requests: number;
  /** counters, one for each subject */
  callers: number;
  /** would have been refused; with mode shadow, reported */
  refused: number;
  /** of these because of smoothing alone */
  paced: number;
  callersRefused: number;
  firstAt?: string;
  lastAt?: string;
  /** the window with the greatest demand of all callers' */
  worst?: WindowReport & { caller: string };
  /** the smallest limits, and with smoothing bursts, that refuse nothing to 99 % of the callers, or to all */
  enough: { most: number; all: number; mostBurst?: number; allBurst?: number; exact: boolean };
}

export interface CallerReport {
  owner: LimitOwner;
  name: string;
  mode: Limit["mode"];
  limit: number;
  per: string;
  subject: Limit["subject"];
  /** who it is, in one text */
  caller: string;
  key?: string;
  consumer?: string;
  tier?: string;
  api?: string;
  /** where each route is counted apart; "": requests of no route of the API */
  route?: string;
  address?: string;
  gateway?: string;
  refused: number;
  paced: number;
  /** windows with refusals */
  windows: number;
  firstAt: string;
  lastAt: string;
  worst: WindowReport;
}

export interface Report {
  environment: string;
  from?: string;
  to?: string;
  logs: LogReport[];
  requests: {
    /** decided by limits, or found to have none */
    decided: number;
    admitted: number;
    limited: number;
    /** admitted, though a limit in mode shadow would have refused */
    shadowed: number;
    unlimited: number;
    preflights: number;
    /** by reason: what this file refuses before limits are asked */
    refused: Record<string, number>;
    /** by reason: what the gateway refused then, so that there is nothing to replay */
    refusedThen: Record<string, number>;
    /** refused by a limit then, of callers whom the log doesn't name */
    limitedThen: number;
  };
  callers: { count: number; limited: number; exact: boolean };
  limits: LimitReport[];
  /** the most refused first */
  limitedCallers: CallerReport[];
  /** how many there are in all */
  limitedCallersTotal: number;
  timeline: { seconds: number; slots: { at: string; requests: number; limited: number; shadowed: number }[] };
  /** what the result rests on */
  warnings: string[];
}

export interface NotDecidedCounts {
  refused: Map<string, number>;
  refusedThen: Map<string, number>;
  limitedThen: number;
  preflights: number;
}

export function countNotDecided(counts: NotDecidedCounts, why: NotDecided): void {
  const more = (map: Map<string, number>, reason: string) => map.set(reason, (map.get(reason) ?? 0) + 1);
  if (why.what === "refused") more(counts.refused, why.reason);
  else if (why.what === "refused-then") more(counts.refusedThen, why.reason);
  else if (why.what === "limited-then") counts.limitedThen++;
  else if (why.what === "preflight") counts.preflights++;
}

export interface ReportInput {
  environment: string;
  files: readonly LogFile[];
  engine: Engine;
  callers: Callers;
  reader: RequestReader;
  notDecided: NotDecidedCounts;
  /** show this limit only */
  limit?: string;
  /** show so many callers */
  top?: number;
  /** slots of the timeline */
  slots: number;
}

export function makeReport(input: ReportInput): Report {
  const { engine, callers, notDecided, files } = input;
  const rules = engine.rules.all.filter(({ limit }) => input.limit === undefined || limit.name === input.limit);
  const limited = rules.flatMap((rule) =>
    [...rule.counters.values()].filter(({ hits }) => hits !== undefined).map((counter) => callerReport(rule, counter)),
  );
  limited.sort((a, b) => b.refused - a.refused || (a.firstAt < b.firstAt ? -1 : 1));
  const timeline = engine.timeline.slots(input.slots);
  return {
    environment: input.environment,
    ...(engine.requests === 0 ? {} : { from: timeText(engine.firstMs), to: timeText(engine.lastMs) }),
    logs: files.map(logReport),
    requests: {
      decided: engine.requests,
      admitted: engine.requests - engine.limited,
      limited: engine.limited,
      shadowed: engine.shadowed,
      unlimited: engine.unlimited,
      preflights: notDecided.preflights,
      refused: sorted(notDecided.refused),
      refusedThen: sorted(notDecided.refusedThen),
      limitedThen: notDecided.limitedThen,
    },
    callers: {
      count: callers.distinct.count,
      limited: engine.limitedCallers.count,
      exact: callers.distinct.exact && engine.limitedCallers.exact,
    },
    limits: rules.map((rule) => limitReport(rule, !engine.forgot)),
    limitedCallers: limited.slice(0, input.top),
    limitedCallersTotal: limited.length + rules.reduce((sum, { forgotten }) => sum + forgotten.callersHit, 0),
    timeline: { seconds: timeline.lengthMs / 1000, slots: timeline.slots.map(slotReport) },
    warnings: warningsOf(input),
  };
}

function perText({ windowSeconds, period, anchor }: Limit): string {
  if (windowSeconds !== undefined) return `${windowSeconds} s`;
  return anchor === "firstUse" && /\d/.test(period ?? "") ? `${period} from first use` : (period ?? "");
}

function limitReport(rule: Rule, exact: boolean): LimitReport {
  const { limit, owner, hits, forgotten, pace } = rule;
  const counters = [...rule.counters.values()];
  const peaks = forgotten.peaks.with(counters.map(({ peak }) => peak));
  const bursts = pace === undefined ? undefined : forgotten.bursts.with(counters.map((counter) => counter.burst(pace)));
  let worst: Counter | undefined;
  for (const counter of counters) if (worst === undefined || counter.peak > worst.peak) worst = counter;
  return {
    owner,
    name: limit.name,
    kind: limit.kind,
    limit: limit.limit,
    per: perText(limit),
    subject: limit.subject,
    enforcement: limit.enforcement,
    mode: limit.mode,
    ...(limit.smoothing === undefined ? {} : { smoothing: limit.smoothing }),
    requests: rule.requests,
    callers: peaks.count,
    refused: hits?.count ?? 0,
    paced: hits?.paced ?? 0,
    callersRefused: counters.filter((counter) => counter.hits !== undefined).length + forgotten.callersHit,
    ...(hits === undefined ? {} : { firstAt: timeText(hits.firstMs), lastAt: timeText(hits.lastMs) }),
    ...(worst === undefined ? {} : { worst: { ...windowReport(worst), caller: who(rule, worst).caller } }),
    enough: {
      most: peaks.at(0.99),
      all: peaks.at(1),
      ...(bursts === undefined ? {} : { mostBurst: bursts.at(0.99), allBurst: bursts.at(1) }),
      exact,
    },
  };
}

function callerReport(rule: Rule, counter: Counter): CallerReport {
  const { limit, owner } = rule;
  const hits = counter.hits!;
  return {
    owner,
    name: limit.name,
    mode: limit.mode,
    limit: limit.limit,
    per: perText(limit),
    subject: limit.subject,
    ...who(rule, counter),
    refused: hits.count,
    paced: hits.paced,
    windows: hits.windows,
    firstAt: timeText(hits.firstMs),
    lastAt: timeText(hits.lastMs),
    worst: windowReport(counter),
  };
}

type Who = Pick<CallerReport, "caller" | "key" | "consumer" | "tier" | "api" | "route" | "address" | "gateway">;

/** Whom a counter counts. */
function who({ limit }: Rule, { caller, api, route, name, gateway }: Counter): Who {
  const at = gateway === "" ? {} : { gateway };
  const suffix = gateway === "" ? "" : ` at ${gateway}`;
  const parts = subjectParts(limit.subject);
  if (parts.includes("address")) return { caller: name, address: name.slice(0, name.length - suffix.length), ...at };
  if (!countsCaller(limit.subject)) return { caller: `api ${name}`, api, ...at };
  const { keyLabel: key, consumerLabel: consumer, address, tier } = caller!;
  const person = {
    ...(consumer === undefined ? {} : { consumer }),
    ...(tier === undefined ? {} : { tier: tier.id }),
    ...(address === undefined ? {} : { address }),
  };
  const text = consumer ?? key ?? `address ${address}`;
  const byKey = countsKey(limit.subject) && key !== undefined;
  const whose = byKey && consumer !== undefined ? `${key} (${consumer})` : text;
  const perRoute = parts.includes("route");
  const perApi = perRoute || parts.includes("api");
  const where = !perApi ? "" : ` on ${route === "" ? api : `${route} of ${api}`}`;
  return {
    caller: `${whose}${where}${suffix}`,
    ...(byKey ? { key } : {}),
    ...person,
    ...(perApi ? { api } : {}),
    ...(perRoute ? { route } : {}),
    ...at,
  };
}

function windowReport({ peakWindow, peak }: Counter): WindowReport {
  return { startAt: timeText(peakWindow.startMs), endAt: timeText(peakWindow.endMs), demand: peak };
}

function slotReport({ startMs, requests, limited, shadowed }: TimelineSlot): Report["timeline"]["slots"][number] {
  return { at: timeText(startMs), requests, limited, shadowed };
}

function logReport({ name, format, counts, badLines, cut }: LogFile): LogReport {
  return {
    name,
    ...(format === undefined ? {} : { format }),
    lines: counts.lines,
    understood: counts.lines - counts.skipped - counts.bad - counts.noRequest,
    badLines: counts.bad,
    bad: badLines,
    noRequest: counts.noRequest,
    outside: counts.outside,
    late: counts.late,
    latestSeconds: counts.latestMs / 1000,
    ...(cut === undefined ? {} : { cut }),
  };
}

function sorted(counts: ReadonlyMap<string, number>): Record<string, number> {
  return Object.fromEntries([...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)));
}

function warningsOf({ engine, reader, files, notDecided, callers }: ReportInput): string[] {
  const { lacks } = reader;
  const warnings: string[] = [];
  const warn = (count: number, text: string) => {
    if (count > 0) warnings.push(text);
  };
  const n = (count: number) => count.toLocaleString("en-US");
  for (const { name, counts, cut } of files) {
    for (const [field, lines] of counts.named)
      warn(counts.lines > counts.bad && lines === 0 ? 1 : 0, `${name}: no line has the field \`${field}\`.`);
    const beyond = `up to ${counts.latestMs / 1000} s further out of order than --tolerance allows`;
    warn(counts.late, `${name}: ${n(counts.late)} lines were ${beyond}; they count at a later time than their own.`);
    if (cut !== undefined) warnings.push(`${name}: not read to its end, ${cut}.`);
  }
  warn(lacks.method, `${n(lacks.method)} requests have no method in the log; GET is assumed.`);
  warn(
    lacks.host,
    `${n(lacks.host)} requests have no host in the log, and some APIs are for certain hosts; name one with --host.`,
  );
  const remedy = "(--key-field, --consumer-field; --without-key refuse)";
  warn(
    lacks.identity,
    `${n(lacks.identity)} requests to APIs that take keys name neither key nor consumer; they are told apart by address ${remedy}.`,
  );
  warn(
    lacks.tier,
    `${n(lacks.tier)} requests are of callers whose tier neither file nor log tells; no tier's limits apply to them (--tier).`,
  );
  warn(
    engine.withoutAddress,
    `${n(engine.withoutAddress)} times a limit per ip was left out, because the log doesn't tell the client's address (--address-field).`,
  );
  warn(
    notDecided.limitedThen,
    `${n(notDecided.limitedThen)} requests were refused by limits at the time, and the log doesn't say whose they were: they are missing here.`,
  );
  const forgot = "limits that would be enough are only nearly right, and callers who came back late may count twice";
  warn(engine.forgot ? 1 : 0, `There were more counters than --max-counters: ${forgot}.`);
  warn(
    callers.distinct.exact ? 0 : 1,
    "There are more than a million callers; they are no longer told apart in the count.",
  );
  return warnings;
}
