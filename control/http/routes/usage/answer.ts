/** What usage looks like from outside: JSON rows, and the same as CSV. */
import { Type } from "@sinclair/typebox";
import { reasons } from "../../../../protocol/reasons.ts";
import { timeText } from "../../../domain/time.ts";
import type { UsageCell } from "../../../usage/cells.ts";
import { countColumns, latencyColumns, responsesOf, statusClasses } from "../../../usage/columns.ts";
import { percentileMs } from "../../../usage/histogram.ts";
import type { Dimension, UsageResult } from "../../../usage/query.ts";
import type { Interval } from "../../../usage/slices.ts";

/** What rows may be split by besides `dimensions`: one of them. */
export const splits = ["reason", "status"] as const;
export type Split = (typeof splits)[number];

const count = (description: string) => Type.Integer({ minimum: 0, description });
const byReason = (description: string) => Type.Record(Type.String(), Type.Integer(), { description });
const milliseconds = Type.Union([Type.Number(), Type.Null()]);

const counts = {
  admitted: count("Allowed requests."),
  cost: count("The total cost of the allowed requests: the sum of the costs of their routes."),
  overshoot: count("Requests that were allowed without allowance (`failureMode: open`)."),
  shadowed: count("How often a limit in `mode: shadow` would have denied a request."),
  local: count(
    "Requests that were allowed from an offline reserve while the control plane was unreachable (`failureMode: local`).",
  ),
  refused: count("Denied requests."),
  observed: count("Requests that would have been denied without observe mode or `mode: shadow`."),
  responses: Type.Object(Object.fromEntries(statusClasses.map((name) => [name, Type.Integer()])), {
    description: "Upstream responses by status class. An estimate above `responseSamplesPerSecond` per gateway.",
  }),
  refusals: byReason("`refused` by reason."),
  observations: byReason("`observed` by reason."),
  latency: Type.Object(
    { p50: milliseconds, p90: milliseconds, p99: milliseconds },
    {
      description:
        "Milliseconds until the response headers arrive, estimated from a histogram, at most 10000. null: no response.",
    },
  ),
};
const name = (description: string) =>
  Type.Optional(
    Type.Union([Type.String(), Type.Null()], {
      description: `${description} null: none, or unknown when the request was counted.`,
    }),
  );

const UsageRowSchema = Type.Object({
  time: Type.String({ description: "The start of the interval." }),
  api: name("With `group=api`."),
  route: name("With `group=route`: the methods and path of the route."),
  consumer: name("With `group=consumer`."),
  key: name("With `group=key`: the ID of the key."),
  tier: name("With `group=tier`: the tier of the caller at the time of the request."),
  reason: Type.Optional(
    Type.String({ description: "With `group=reason`. The row has only `refused` and `observed`." }),
  ),
  status: Type.Optional(Type.String({ description: "With `group=status`: 1xx to 5xx. The row has only `answers`." })),
  answers: Type.Optional(count("With `group=status`: the number of upstream responses.")),
  ...Object.fromEntries(Object.entries(counts).map(([field, schema]) => [field, Type.Optional(schema)])),
});
export const UsageAnswerSchema = Type.Object({
  from: Type.String({ description: "The start of the first interval." }),
  to: Type.String({ description: "The end of the last interval." }),
  interval: Type.String(),
  group: Type.Array(Type.String()),
  rows: Type.Array(UsageRowSchema, {
    description: "Sorted by time, then by number of requests, highest first. Intervals without requests have no row.",
  }),
  totals: Type.Object(counts, { description: "The totals of all groups, including those that `top` excludes." }),
});

export type UsageNumbers = ReturnType<typeof numbersOf>;
type SplitFields = { reason?: string; status?: string; answers?: number };
export type UsageAnswerRow = { time: string } & Partial<Record<Dimension, string | null>> &
  Partial<UsageNumbers> &
  SplitFields;

export interface UsageAnswer {
  from: string;
  to: string;
  interval: Interval;
  group: (Dimension | Split)[];
  rows: UsageAnswerRow[];
  totals: UsageNumbers;
}

export function usageAnswer(
  result: UsageResult,
  interval: Interval,
  group: readonly Dimension[],
  split: Split | undefined,
): UsageAnswer {
  const rows = result.rows.flatMap((row): UsageAnswerRow[] => {
    const place = {
      time: timeText(row.atMs),
      ...Object.fromEntries(group.map((dimension, index) => [dimension, row.names[index] || null])),
    };
    if (split === undefined) return [{ ...place, ...numbersOf(row) }];
    return (split === "reason" ? reasonRows(row) : statusRows(row)).map((part) => ({ ...place, ...part }));
  });
  const groups = split === undefined ? [...group] : [...group, split];
  return {
    from: timeText(result.fromMs),
    to: timeText(result.toMs),
    interval,
    group: groups,
    rows,
    totals: numbersOf(result.totals),
  };
}

/** RFC 4180, with a header line. */
export function usageCsv({ group, rows }: UsageAnswer): string {
  const fields = group.includes("reason")
    ? ["refused", "observed"]
    : group.includes("status")
      ? ["answers"]
      : undefined;
  const header = ["time", ...group, ...(fields ?? plainFields)];
  const lines = rows.map((row) => {
    const numbers =
      fields === undefined ? plainValues(row as UsageNumbers) : fields.map((field) => row[field as "refused"]);
    return [row.time, ...group.map((part) => row[part]), ...numbers];
  });
  return [header, ...lines].map((line) => `${line.map(csvField).join(",")}\r\n`).join("");
}

const simple = ["admitted", "cost", "overshoot", "shadowed", "local", "refused", "observed"] as const;
const plainFields = [...simple, ...statusClasses.map((one) => `responses_${one}`), "p50_ms", "p90_ms", "p99_ms"];

function plainValues(row: UsageNumbers): (number | null)[] {
  return [
    ...simple.map((field) => row[field]),
    ...statusClasses.map((one) => row.responses[one]!),
    row.latency.p50,
    row.latency.p90,
    row.latency.p99,
  ];
}

function numbersOf(cell: UsageCell) {
  const of = (column: (typeof countColumns)[number]) => cell.counts[countColumns.indexOf(column)]!;
  const buckets = latencyColumns.map(of);
  const [admitted, cost, overshoot, shadowed, local, refused, observed] = cell.counts as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return {
    admitted,
    cost,
    overshoot,
    shadowed,
    local,
    refused,
    observed,
    responses: Object.fromEntries(
      responsesOf(cell.counts).map((count, index) => [statusClasses[index]!, count]),
    ) as Record<string, number>,
    refusals: reasonCounts(cell.refused),
    observations: reasonCounts(cell.observed),
    latency: {
      p50: percentileMs(buckets, 0.5) ?? null,
      p90: percentileMs(buckets, 0.9) ?? null,
      p99: percentileMs(buckets, 0.99) ?? null,
    },
  };
}

function reasonRows({ refused, observed }: UsageCell): { reason: string; refused: number; observed: number }[] {
  const indexes = [...new Set([...refused.keys(), ...observed.keys()])];
  const rows = indexes.map((index) => ({
    reason: reasonName(index),
    refused: refused.get(index) ?? 0,
    observed: observed.get(index) ?? 0,
  }));
  return rows.sort((a, b) => b.refused + b.observed - a.refused - a.observed || (a.reason < b.reason ? -1 : 1));
}

function statusRows({ counts: all }: UsageCell): { status: string; answers: number }[] {
  const rows = responsesOf(all).map((answers, index) => ({ status: statusClasses[index]! as string, answers }));
  return rows.filter(({ answers }) => answers > 0);
}

function reasonCounts(byIndex: ReadonlyMap<number, number>): Record<string, number> {
  return Object.fromEntries(
    [...byIndex].sort((a, b) => b[1] - a[1] || a[0] - b[0]).map(([index, requests]) => [reasonName(index), requests]),
  );
}

/** Reasons of gateways newer than control have a number alone. */
function reasonName(index: number): string {
  return reasons[index]?.code ?? `reason_${index}`;
}

function csvField(value: string | number | null | undefined): string {
  const text = String(value ?? "");
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
