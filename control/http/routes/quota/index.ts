import { Type } from "@sinclair/typebox";
import { lowerIdPattern } from "../../../domain/schema.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { adjustQuota, readQuota } from "../../operations/adjustQuota.ts";
import type { Choice } from "../../../quota/choose.ts";
import { answers, EnvironmentQuery, IdParams } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { target } from "../records.ts";

const closed = { additionalProperties: false } as const;
const whole = (description: string) => Type.Integer({ description });
const numberOrNull = (description: string) => Type.Union([Type.Integer(), Type.Null()], { description });

const Window = Type.Object({
  start: Type.String(),
  resets: Type.String({ description: "When it ends, and the next one begins with nothing used." }),
  limit: whole("Of the window, without `extra`."),
  used: whole("Charged: spent, held by gateways, or in their shares."),
  extra: whole("Granted on top of the limit."),
  remaining: whole("limit + extra − used, 0 at least: what gateways can still be given."),
  held: whole("What gateways were given and hold unspent."),
  heldBySilent: whole("Of it, held by gateways that haven't been heard of for 75 s: lost until the window ends, if they are gone."),
  shares: whole("What gateways may spend while control is away (`failureMode: local`), charged beforehand."),
  counted: numberOrNull("What was admitted cost so much, by usage, which comes seconds late. null: the window isn't of whole minutes, or there is too much."),
  difference: numberOrNull(
    "used − held − shares − counted: what gateways held that are gone, and usage under way. " +
      "Below 0: admitted without charge (`failureMode: open`, `mode: shadow`), or before a reset.",
  ),
  holders: Type.Array(Type.Object({ group: Type.String({ description: "The gateway group: what is held under each group's tokens." }), gateway: Type.String(), lane: Type.String(), held: Type.Integer(), lastContact: Type.String(), silent: Type.Boolean() })),
});
const LimitReport = Type.Object({
  name: Type.String(),
  kind: Type.String(),
  limit: Type.Integer(),
  windowSeconds: Type.Optional(Type.Integer()),
  period: Type.Optional(Type.String()),
  subject: Type.String(),
  enforcement: Type.String(),
  mode: Type.String(),
  owner: Type.Object(
    { kind: Type.String() },
    {
      additionalProperties: Type.String(),
      description: "Whose limit it is: {kind: tier, tier}, {kind: api, api}, {kind: route, api, route} or {kind: key, key}.",
    },
  ),
  api: Type.Optional(Type.String({ description: "Where each API or route is counted apart: the API." })),
  route: Type.Optional(Type.String({ description: "Where each route is counted apart: its methods and path; empty: requests of no route of the API." })),
  apis: Type.Array(Type.String(), { description: "The APIs at which it applies." }),
  generation: Type.Optional(whole("Raised by each reset and grant.")),
  pendingExtra: Type.Optional(whole("Granted before the window is open that first use opens.")),
  windows: Type.Array(Window, {
    description:
      "The current one, and the next one if gateways hold some of it already. " +
      "None with `enforcement: gateway`, nor before the first use with `anchor: firstUse`.",
  }),
});
const Quota = {
  time: Type.String(),
  key: Type.Optional(Type.String()),
  consumer: Type.String(),
  partial: Type.Boolean({ description: "The consumer has more than 200 keys with limits of their own; the others weren't looked at." }),
  limits: Type.Array(LimitReport),
};
const Adjusted = Type.Object({
  version: whole("Reached by the news to the gateways."),
  adjusted: Type.Array(Type.Object({ name: Type.String(), api: Type.Optional(Type.String()), route: Type.Optional(Type.String()) })),
  ...Quota,
});

const choice = {
  limit: Type.Optional(Type.String({ pattern: lowerIdPattern, description: "The limit's name." })),
  api: Type.Optional(Type.String({ pattern: lowerIdPattern, description: "Only the limit that applies at this API." })),
  route: Type.Optional(Type.String({ maxLength: 700, description: "Where each route is counted apart: only the counter of this route, by methods and path as the report has it." })),
};
const ResetBody = Type.Object(choice, { ...closed, description: "Which counters; empty: all of this key or consumer." });
const GrantBody = Type.Object(
  { amount: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: "How much on top, in the current window alone." }), ...choice },
  { ...closed, description: "How much, and to which counter; without `limit`, to the only quota." },
);

/** /v1/keys/{id}/quota, /v1/consumers/{id}/quota, with reset and grant */
export function quotaRoutes(app: App, services: Services): void {
  for (const [kind, section] of [["key", "keys"], ["consumer", "consumers"]] as const) {
    const counts = kind === "key" ? "the key, its consumer, or its consumer at an API" : "the consumer, or the consumer at an API";
    const own = kind === "key" ? "the key" : "the consumer, or the consumer at an API";
    const common = { tags: [section], params: IdParams, querystring: EnvironmentQuery };

    app.get(`/${section}/:id/quota`, {
      schema: { ...common, summary: `How the limits stand that count ${counts}`, response: answers({ 200: Type.Object(Quota) }, 404) },
      handler: async (request) => {
        const { environment, id } = target(request);
        return readQuota(services, environment, { kind, id });
      },
    });

    app.post(`/${section}/:id/quota/reset`, {
      schema: {
        ...common,
        summary: `Forgets what was spent of the limits that count ${own}; gateways act on it at once`,
        body: ResetBody,
        response: answers({ 200: Adjusted }, 404, 409, 413, 415),
      },
      preValidation: async (request) => {
        request.body ??= {};
      },
      handler: async (request) => {
        const { environment, id } = target(request);
        return adjustQuota(services, environment, { kind, id }, choiceOf(request.body), changeContext(request, services));
      },
    });

    app.post(`/${section}/:id/quota/grant`, {
      schema: {
        ...common,
        summary: `Gives the current window of a limit that counts ${own} so much more; gateways act on it at once`,
        body: GrantBody,
        response: answers({ 200: Adjusted }, 404, 409, 413, 415),
      },
      handler: async (request) => {
        const { environment, id } = target(request);
        return adjustQuota(services, environment, { kind, id }, { ...choiceOf(request.body), amount: request.body.amount }, changeContext(request, services));
      },
    });
  }
}

function choiceOf({ limit, api, route }: Choice): Choice {
  return { ...(limit === undefined ? {} : { limit }), ...(api === undefined ? {} : { api }), ...(route === undefined ? {} : { route }) };
}
