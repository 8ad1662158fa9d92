import { Type } from "@sinclair/typebox";
import type { FastifyReply } from "fastify";
import { timeText } from "../../../domain/time.ts";
import { ControlError } from "../../../errors.ts";
import { UsageTooLarge } from "../../../usage/cells.ts";
import { type Dimension, dimensions, MinutesGone, type UsageQuery } from "../../../usage/query.ts";
import { type Interval, intervals } from "../../../usage/slices.ts";
import type { Services } from "../../context.ts";
import { requireEnvironment } from "../../operations/environment.ts";
import { answers, environmentQuery, query } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { momentMs } from "./moment.ts";
import { type Split, splits, UsageAnswerSchema, usageAnswer, usageCsv } from "./answer.ts";

const rowsMax = 20_000;
const standardFrom = "24h";

const only = (what: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 600, description: `Return only this ${what}.` }));
const Answers = {
  description: "Usage",
  content: { "application/json": { schema: UsageAnswerSchema }, "text/csv": { schema: Type.String() } },
};
const UsageQuerySchema = query({
  ...environmentQuery,
  from: Type.Optional(
    Type.String({
      maxLength: 40,
      default: standardFrom,
      description:
        "The start: an RFC 3339 time, a date, or a duration ago in s, m, h, d, w, mo or y, such as 24h. Rounded down to a whole interval.",
    }),
  ),
  to: Type.Optional(
    Type.String({
      maxLength: 40,
      description: "The end, in the same formats. Default: now. Rounded up to a whole interval.",
    }),
  ),
  interval: Type.Optional(
    Type.Unsafe<Interval>({
      type: "string",
      enum: [...intervals],
      default: "total",
      description:
        "Return a row for each minute, hour or day (UTC), or one row in total. By default, minutes are kept for 48 hours; hours and days are kept for 400 days.",
    }),
  ),
  group: Type.Optional(
    Type.String({
      maxLength: 100,
      description:
        "Return a row for each combination of these, separated by commas: api, route, consumer, key, tier, and either reason or status.",
    }),
  ),
  api: only("API"),
  route: only("route, as `group=route` names it"),
  consumer: only("consumer"),
  key: only("key, by its ID"),
  tier: only("tier"),
  top: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: rowsMax,
      description: "Return only this number of groups, those with the most requests. The totals include all groups.",
    }),
  ),
  format: Type.Optional(
    Type.Unsafe<"json" | "csv">({
      type: "string",
      enum: ["json", "csv"],
      description: "The response format. Overrides the Accept header.",
    }),
  ),
});

/** /v1/usage */
export function usageRoutes(app: App, services: Services): void {
  app.get("/usage", {
    schema: {
      operationId: "getUsage",
      tags: ["usage"],
      summary: "Get a usage report",
      description: "Returns the numbers of allowed and denied requests by time and group, as JSON or CSV.",
      querystring: UsageQuerySchema,
      response: answers({ 200: Answers }, 404, 422),
    },
    handler: async (request, reply) => {
      const {
        environment = "default",
        from = standardFrom,
        to,
        interval = "total",
        group = "",
        top,
        format,
        ...filter
      } = request.query;
      await requireEnvironment(services.store, environment);
      const { grouped, split } = groupsOf(group);
      const nowMs = services.nowMs();
      const fromMs = momentMs("from", from, nowMs);
      const toMs = to === undefined ? nowMs : momentMs("to", to, nowMs);
      if (fromMs >= toMs) throw new ControlError("invalid_request", "`from` must be before `to`.");
      await services.usage.settle();
      const asked: UsageQuery = {
        environment,
        fromMs,
        toMs,
        interval,
        group: grouped,
        filter,
        rowsMax,
        ...(top === undefined ? {} : { top }),
      };
      const result = await services.usage.read(asked).catch(refuse);
      const answer = usageAnswer(result, interval, grouped, split);
      return wantsCsv(format, request.headers.accept) ? sendCsv(reply, usageCsv(answer)) : answer;
    },
  });
}

function groupsOf(text: string): { grouped: Dimension[]; split: Split | undefined } {
  const grouped: Dimension[] = [];
  let split: Split | undefined;
  for (const name of new Set(text === "" ? [] : text.split(","))) {
    const dimension = dimensions.find((one) => one === name);
    const other = splits.find((one) => one === name);
    if (dimension !== undefined) grouped.push(dimension);
    else if (other === undefined)
      throw new ControlError(
        "invalid_request",
        `\`group\` can't be \`${name}\`: use ${[...dimensions, ...splits].join(", ")}.`,
      );
    else if (split === undefined) split = other;
    else
      throw new ControlError(
        "invalid_request",
        "`group` can have either reason or status, not both: denied requests have no upstream response.",
      );
  }
  return { grouped, split };
}

function refuse(error: unknown): never {
  if (error instanceof UsageTooLarge) throw new ControlError("usage_too_large", error.message);
  if (error instanceof MinutesGone)
    throw new ControlError("usage_minutes_gone", `Minutes are kept from ${timeText(error.oldestMs)} on.`);
  throw error;
}

function wantsCsv(format: "json" | "csv" | undefined, accept: string | undefined): boolean {
  return format === undefined ? /\btext\/csv\b/.test(accept ?? "") : format === "csv";
}

function sendCsv(reply: FastifyReply, text: string): FastifyReply {
  return reply
    .header("content-type", "text/csv; charset=utf-8; header=present")
    .header("content-disposition", 'attachment; filename="usage.csv"')
    .send(text);
}
