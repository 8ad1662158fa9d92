import { type Command, Option } from "commander";
import type { UsageAnswer, UsageAnswerRow, UsageNumbers } from "../../control/http/routes/usage/answer.ts";
import { intervals } from "../../control/usage/slices.ts";
import { clientOf, environmentOf, optionsOf, print, type Context } from "../context.ts";
import { UsageError } from "../failure.ts";
import { table, type Column } from "../output.ts";
import { wholeNumber } from "../values.ts";

const timeoutMs = 120_000;

interface UsageOptions {
  since: string;
  until?: string;
  by: string;
  group?: string;
  api?: string;
  route?: string;
  consumer?: string;
  key?: string;
  tier?: string;
  top?: number;
  csv?: boolean;
}

export function addUsageCommand(program: Command, context: Context): void {
  program
    .command("usage")
    .description("Show how many requests were allowed and denied.")
    .option(
      "--since <time>",
      "Start: an RFC 3339 time, a date, or a duration ago in s, m, h, d, w, mo or y, such as 24h",
      "24h",
    )
    .option("--until <time>", "End, in the same formats (default: now)")
    .addOption(new Option("--by <interval>", "Show a row for each interval").choices([...intervals]).default("total"))
    .option(
      "--group <names>",
      "Show a row for each api, route, consumer, key, tier, reason or status; separate several with commas",
    )
    .option("--api <id>", "Show only this API")
    .option("--route <name>", "Show only this route, named as in --group route")
    .option("--consumer <id>", "Show only this consumer")
    .option("--key <id>", "Show only this key")
    .option("--tier <id>", "Show only callers of this tier")
    .option("--top <n>", "Show only this number of groups, those with the most requests", wholeNumber(1))
    .option("--csv", "Output CSV")
    .action(async (_options, command: Command) => {
      const options = optionsOf<UsageOptions>(command);
      if (options.csv && options.json) throw new UsageError("Give --json or --csv, not both.");
      const { since, until, by, csv, group, api, route, consumer, key, tier, top } = options;
      const filter = { api, route, consumer, key, tier };
      const query = {
        environment: environmentOf(context, options),
        from: since,
        to: until,
        interval: by,
        group,
        ...filter,
        top,
        format: csv ? "csv" : "json",
      };
      const client = clientOf(context, options, timeoutMs);
      if (csv) context.streams.out(await client.call<string>("GET", "/v1/usage", { query }));
      else print(context, options, await client.call<UsageAnswer>("GET", "/v1/usage", { query }), usageText);
    });
}

/** Columns that are shown only where there is something in them. */
const rare = [
  ["overshoot", "OVERSHOOT"],
  ["local", "LOCAL"],
  ["shadowed", "SHADOWED"],
  ["observed", "OBSERVED"],
] as const;

function usageText(answer: UsageAnswer): string {
  const { from, to, interval, group, rows, totals } = answer;
  const stretch = `${from} to ${to}`;
  if (rows.length === 0) return `Nothing was counted from ${stretch}.\n`;
  const place: Column<UsageAnswerRow>[] = [
    ...(interval === "total" ? [] : [{ title: "TIME", value: (row: UsageAnswerRow) => row.time }]),
    ...group.map((name) => ({ title: name.toUpperCase(), value: (row: UsageAnswerRow) => row[name] })),
  ];
  const shown = table(rows, [...place, ...numberColumns(answer)]);
  return [`${stretch}\n`, shown, totalText(totals)].join("");
}

function numberColumns({ group, totals }: UsageAnswer): Column<UsageAnswerRow>[] {
  if (group.includes("status")) return [{ title: "ANSWERS", value: (row) => row.answers }];
  if (group.includes("reason"))
    return [
      { title: "REFUSED", value: (row) => row.refused },
      { title: "OBSERVED", value: (row) => row.observed },
    ];
  return [
    { title: "ADMITTED", value: (row) => row.admitted },
    { title: "COST", value: (row) => row.cost },
    { title: "REFUSED", value: (row) => row.refused },
    ...rare
      .filter(([field]) => totals[field] > 0)
      .map(([field, title]): Column<UsageAnswerRow> => ({ title, value: (row) => row[field] })),
    ...["2xx", "3xx", "4xx", "5xx"].map(
      (status): Column<UsageAnswerRow> => ({ title: status.toUpperCase(), value: (row) => row.responses?.[status] }),
    ),
    ...(["p50", "p90", "p99"] as const).map(
      (name): Column<UsageAnswerRow> => ({ title: `${name.toUpperCase()} MS`, value: (row) => row.latency?.[name] }),
    ),
  ];
}

function totalText({ admitted, cost, refused, refusals, observations }: UsageNumbers): string {
  const reasons = (counts: Record<string, number>) =>
    Object.entries(counts)
      .map(([reason, requests]) => `${reason} ${requests}`)
      .join(", ");
  const lines = [
    `In all ${admitted} admitted at a cost of ${cost}, ${refused} refused${refused === 0 ? "" : `: ${reasons(refusals)}`}.`,
  ];
  if (Object.keys(observations).length > 0)
    lines.push(`Only noted, in observe mode or by shadow limits: ${reasons(observations)}.`);
  return lines.map((line) => `${line}\n`).join("");
}
