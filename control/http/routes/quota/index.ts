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
  resets: Type.String({ description: "When the window ends and the next one begins with nothing used." }),
  limit: whole("The limit of the window, without `extra`."),
  used: whole("The amount charged: spent, leased to gateways, or in their offline reserves."),
  extra: whole("The extra amount granted for this window."),
  remaining: whole("What gateways can still lease: limit + extra − used, at least 0."),
  held: whole("Allowance that is leased to gateways and unspent."),
  heldBySilent: whole(
    "The part of `held` that belongs to gateways without contact for 75 seconds. If they are gone, it is lost until the window ends.",
  ),
  shares: whole(
    "The offline reserves: what gateways may spend while the control plane is unreachable (`failureMode: local`), charged in advance.",
  ),
  counted: numberOrNull(
    "The cost of allowed requests according to usage reports, which arrive seconds later. null: the window isn't in whole minutes, or there is too much usage to sum.",
  ),
  difference: numberOrNull(
    "used − held − shares − counted: allowance lost with gateways that are gone, and usage not yet reported. " +
      "Negative: requests were allowed without charge (`failureMode: open`, `mode: shadow`), or before a reset.",
  ),
  holders: Type.Array(
    Type.Object({
      group: Type.String({ description: "The gateway group whose token the gateway uses." }),
      gateway: Type.String(),
      lane: Type.String(),
      held: Type.Integer(),
      lastContact: Type.String(),
      silent: Type.Boolean(),
    }),
  ),
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
      description:
        "The owner of the limit: {kind: tier, tier}, {kind: api, api}, {kind: route, api, route} or {kind: key, key}.",
    },
  ),
  api: Type.Optional(
    Type.String({ description: "The API, if the limit has a separate counter for each API or route." }),
  ),
  route: Type.Optional(
    Type.String({
      description:
        "The methods and path of the route, if the limit has a separate counter for each route. Empty: requests that match no route of the API.",
    }),
  ),
  apis: Type.Array(Type.String(), { description: "The APIs that the limit applies to." }),
  generation: Type.Optional(whole("Incremented by each reset and grant.")),
  pendingExtra: Type.Optional(
    whole("Extra quota that was granted before the first request opens the window (`anchor: firstUse`)."),
  ),
  windows: Type.Array(Window, {
    description:
      "The current window, and the next one if gateways already hold allowance of it. " +
      "Empty with `enforcement: gateway`, and before the first request with `anchor: firstUse`.",
  }),
});
const Quota = {
  time: Type.String(),
  key: Type.Optional(Type.String()),
  consumer: Type.String(),
  partial: Type.Boolean({
    description:
      "true: the consumer has more than 200 keys with their own limits, and only the first 200 are included.",
  }),
  limits: Type.Array(LimitReport),
};
const Adjusted = Type.Object({
  version: whole("The environment version that carries the change to the gateways."),
  adjusted: Type.Array(
    Type.Object({ name: Type.String(), api: Type.Optional(Type.String()), route: Type.Optional(Type.String()) }),
  ),
  ...Quota,
});

const choice = {
  limit: Type.Optional(Type.String({ pattern: lowerIdPattern, description: "The name of the limit." })),
  api: Type.Optional(Type.String({ pattern: lowerIdPattern, description: "Only the limit that applies to this API." })),
  route: Type.Optional(
    Type.String({
      maxLength: 700,
      description:
        "Only the counter of this route, named by methods and path as in the report. For limits with a separate counter for each route.",
    }),
  ),
};
const ResetBody = Type.Object(choice, {
  ...closed,
  description: "Selects the counters. Empty: all counters of this key or consumer.",
});
const GrantBody = Type.Object(
  {
    amount: Type.Integer({
      minimum: 1,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "The extra amount, for the current window only.",
    }),
    ...choice,
  },
  { ...closed, description: "The amount, and the counter that receives it. Without `limit`: the only quota." },
);

/** /v1/keys/{id}/quota, /v1/consumers/{id}/quota, with reset and grant */
export function quotaRoutes(app: App, services: Services): void {
  for (const [kind, section] of [
    ["key", "keys"],
    ["consumer", "consumers"],
  ] as const) {
    const name = kind === "key" ? "Key" : "Consumer";
    const one = kind === "key" ? "an API key" : "a consumer";
    const counts =
      kind === "key"
        ? "the key, its consumer, or its consumer for each API"
        : "the consumer, or the consumer for each API";
    const own = kind === "key" ? "the key" : "the consumer, or the consumer for each API";
    const common = { tags: [section], params: IdParams, querystring: EnvironmentQuery };

    app.get(`/${section}/:id/quota`, {
      schema: {
        ...common,
        operationId: `get${name}Quota`,
        summary: `Get the quotas of ${one}`,
        description: `Returns the state of all limits that count ${counts}.`,
        response: answers({ 200: Type.Object(Quota) }, 404),
      },
      handler: async (request) => {
        const { environment, id } = target(request);
        return readQuota(services, environment, { kind, id });
      },
    });

    app.post(`/${section}/:id/quota/reset`, {
      schema: {
        ...common,
        operationId: `reset${name}Quota`,
        summary: `Reset the quotas of ${one}`,
        description: `Sets the counters of the limits that count ${own} to zero. Gateways apply the change immediately.`,
        body: ResetBody,
        response: answers({ 200: Adjusted }, 404, 409, 413, 415),
      },
      preValidation: async (request) => {
        request.body ??= {};
      },
      handler: async (request) => {
        const { environment, id } = target(request);
        return adjustQuota(
          services,
          environment,
          { kind, id },
          choiceOf(request.body),
          changeContext(request, services),
        );
      },
    });

    app.post(`/${section}/:id/quota/grant`, {
      schema: {
        ...common,
        operationId: `grant${name}Quota`,
        summary: `Grant extra quota to ${one}`,
        description: `Adds extra quota to the current window of a limit that counts ${own}. Gateways apply the change immediately.`,
        body: GrantBody,
        response: answers({ 200: Adjusted }, 404, 409, 413, 415),
      },
      handler: async (request) => {
        const { environment, id } = target(request);
        return adjustQuota(
          services,
          environment,
          { kind, id },
          { ...choiceOf(request.body), amount: request.body.amount },
          changeContext(request, services),
        );
      },
    });
  }
}

function choiceOf({ limit, api, route }: Choice): Choice {
  return {
    ...(limit === undefined ? {} : { limit }),
    ...(api === undefined ? {} : { api }),
    ...(route === undefined ? {} : { route }),
  };
}
