import type { Command } from "commander";
import { ownerText } from "../../control/domain/limitWords.ts";
import { countsKey } from "../../control/domain/subjects.ts";
import type { LimitReport, QuotaReport, WindowReport } from "../../control/quota/report.ts";
import { clientOf, environmentOf, optionsOf, print, type Context, type GlobalOptions } from "../context.ts";
import { UsageError } from "../failure.ts";
import { table, type Column } from "../output.ts";
import { wholeNumber } from "../values.ts";

interface HolderOptions extends GlobalOptions {
  key?: string;
  consumer?: string;
}
interface ChoiceOptions extends HolderOptions {
  limit?: string;
  api?: string;
  route?: string;
}

type Adjusted = QuotaReport & { version: number; adjusted: { name: string; api?: string; route?: string }[] };

/** A limit with one of its windows, or with none. */
interface Line {
  limit: LimitReport;
  window?: WindowReport;
}

const columns: Column<Line>[] = [
  { title: "LIMIT", value: ({ limit }) => limit.name },
  { title: "COUNTS BY", value: ({ limit }) => countsBy(limit) },
  {
    title: "OF",
    value: ({ limit: { owner } }) => (owner.kind === "route" ? `route ${owner.route}` : ownerText(owner)),
  },
  {
    title: "PER",
    value: ({ limit }) => (limit.windowSeconds === undefined ? limit.period : `${limit.windowSeconds} s`),
  },
  { title: "AMOUNT", value: ({ limit }) => limit.limit },
  { title: "EXTRA", value: ({ window, limit }) => (window === undefined ? limit.pendingExtra : window.extra) },
  { title: "USED", value: ({ window }) => window?.used },
  { title: "HELD", value: ({ window }) => window?.held },
  { title: "REMAINING", value: ({ window }) => window?.remaining },
  { title: "COUNTED", value: ({ window }) => window?.counted },
  { title: "DIFFERENCE", value: ({ window }) => window?.difference },
  {
    title: "RESETS",
    value: ({ limit, window }) =>
      window?.resets ?? (limit.enforcement === "gateway" ? "in each gateway" : "not yet used"),
  },
];

function countsBy({ subject, api, route }: LimitReport): string {
  if (api === undefined) return subject;
  const who = countsKey(subject) ? "key" : "consumer";
  return route === undefined ? `${who} at ${api}` : `${who} at ${route === "" ? "no route" : route} of ${api}`;
}

export function addQuotaCommands(program: Command, context: Context): void {
  const quota = program.command("quota").description("Show, reset and extend the quotas of a key or a consumer.");

  withHolder(quota.command("show"))
    .description("Show the limits that count a key or a consumer, with usage.")
    .action(async (_options, command: Command) => {
      const options = optionsOf<HolderOptions>(command);
      const query = { environment: environmentOf(context, options) };
      const report = await clientOf(context, options).call<QuotaReport>("GET", pathOf(options, ""), { query });
      print(context, options, report, quotaText);
    });

  withChoice(withHolder(quota.command("reset")))
    .description("Reset the counters of the current windows to zero.")
    .action(async (_options, command: Command) => {
      const options = optionsOf<ChoiceOptions>(command);
      const adjusted = await adjust(context, options, "reset", {});
      print(
        context,
        options,
        adjusted,
        () => `${namesOf(adjusted)} of ${holderOf(options)} reset.\n${quotaText(adjusted)}`,
      );
    });

  withChoice(withHolder(quota.command("grant <amount>")))
    .description("Add extra quota to the current window. Without --limit, the only quota receives it.")
    .action(async (text: string, _options, command: Command) => {
      const amount = wholeNumber(1)(text);
      const options = optionsOf<ChoiceOptions>(command);
      const adjusted = await adjust(context, options, "grant", { amount });
      print(
        context,
        options,
        adjusted,
        () => `${amount} granted to ${holderOf(options)} on ${namesOf(adjusted)}.\n${quotaText(adjusted)}`,
      );
    });
}

function withHolder(command: Command): Command {
  return command
    .option("--key <id>", "Select the limits that count this key")
    .option("--consumer <id>", "Select the limits that count this consumer");
}

function withChoice(command: Command): Command {
  return command
    .option("--limit <name>", "Select only this limit")
    .option("--api <id>", "Select only the limit that applies to this API")
    .option(
      "--route <methods and path>",
      "Select only the counter of this route, for limits with a counter for each route",
    );
}

async function adjust(
  context: Context,
  options: ChoiceOptions,
  act: "reset" | "grant",
  body: object,
): Promise<Adjusted> {
  const query = { environment: environmentOf(context, options) };
  return clientOf(context, options).call<Adjusted>("POST", pathOf(options, `/${act}`), {
    query,
    body: { ...body, limit: options.limit, api: options.api, route: options.route },
  });
}

function pathOf({ key, consumer }: HolderOptions, rest: string): string {
  if ((key === undefined) === (consumer === undefined)) throw new UsageError("Give --key or --consumer, one of them.");
  return `/v1/${key === undefined ? "consumers" : "keys"}/${encodeURIComponent(key ?? consumer!)}/quota${rest}`;
}

function holderOf({ key, consumer }: HolderOptions): string {
  return key ?? consumer!;
}

function namesOf({ adjusted }: Adjusted): string {
  return [
    ...new Set(
      adjusted.map(({ name, api, route }) =>
        api === undefined ? name : `${name} at ${route ? `${route} of ${api}` : api}`,
      ),
    ),
  ].join(", ");
}

function quotaText({ limits, partial }: QuotaReport): string {
  const lines = limits.flatMap((limit): Line[] =>
    limit.windows.length === 0 ? [{ limit }] : limit.windows.map((window) => ({ limit, window })),
  );
  const silent = lines.flatMap(({ limit, window }) =>
    (window?.holders ?? [])
      .filter((holder) => holder.silent)
      .map(({ gateway, held, lastContact }) => {
        return `${gateway} holds ${held} of ${limit.name} and has been silent since ${lastContact}: lost until ${window!.resets}, if it is gone.\n`;
      }),
  );
  const notes = partial ? ["Not all keys with limits of their own were looked at: there are too many.\n"] : [];
  return [lines.length === 0 ? "No limit counts it.\n" : table(lines, columns), ...silent, ...notes].join("");
}
