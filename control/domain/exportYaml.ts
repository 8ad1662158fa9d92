/** Writes an environment as `tollgate.yaml`: stable order, defaults left out, digests only. */
import { stringify } from "yaml";
import { standardConsumerClaims } from "./defaults.ts";
import type { Api, Auth, Consumer, EnvironmentSpec, InternalToken, Key, Limit, Route, Tier } from "./model.ts";
import { parsePeriod } from "./period.ts";

/** The file that, applied to an empty environment, makes this one; applied to this one, changes nothing. */
export function exportYaml(spec: EnvironmentSpec): string {
  return [...headChunks(spec), ...sectionChunks("keys", byId(spec.keys), keyOut)].join("");
}

/** The same in pieces, for an environment with more keys than fit into one text. The pages have to come in order of their ids. */
export async function* exportChunks(
  spec: Omit<EnvironmentSpec, "keys">,
  keyPages: AsyncIterable<readonly Key[]>,
): AsyncGenerator<string> {
  yield* headChunks(spec);
  let some = false;
  for await (const keys of keyPages) {
    if (keys.length === 0) continue;
    if (!some) yield "keys:\n";
    some = true;
    yield listText(keys.map(keyOut));
  }
  if (!some) yield "keys: []\n";
}

function* headChunks(spec: Omit<EnvironmentSpec, "keys">): Generator<string> {
  yield text({
    version: spec.version,
    environment: spec.environment,
    ...(spec.internalToken === undefined ? {} : { internalToken: internalTokenOut(spec.internalToken) }),
  });
  yield* sectionChunks("apis", byId(spec.apis), apiOut);
  yield* sectionChunks("tiers", byId(spec.tiers), tierOut);
  yield* sectionChunks("consumers", byId(spec.consumers), consumerOut);
}

function* sectionChunks<T>(name: string, records: readonly T[], out: (record: T) => object): Generator<string> {
  if (records.length === 0) yield `${name}: []\n`;
  else yield `${name}:\n`;
  for (let start = 0; start < records.length; start += chunkRecords)
    yield listText(records.slice(start, start + chunkRecords).map(out));
}

/** A list's items, below the name of their section. Only line feeds begin a line: a name may hold U+2028, at which `^` would match too. */
function listText(items: readonly object[]): string {
  return text(items).replaceAll(/(^|\n)(?=[^\n])/g, "$1  ");
}

function text(value: unknown): string {
  return stringify(value, { lineWidth: 0, version: "1.2", schema: "core", aliasDuplicateObjects: false });
}

/** Ids are ASCII, so this is the order of their bytes. */
function byId<T extends { id: string }>(records: readonly T[]): T[] {
  return [...records].sort((a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0));
}

const chunkRecords = 500;
const empty = (value: unknown) => value === undefined || (Array.isArray(value) && value.length === 0);
const filled = (entries: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(entries).filter(([, value]) => !empty(value)));
const unless = <T>(standard: T, value: T): T | undefined => (value === standard ? undefined : value);

function internalTokenOut({ enabled, issuer, audiences, lifetimeSeconds }: InternalToken): object {
  const standard = audiences.length === 1 && audiences[0] === "tollgate";
  return filled({
    enabled: unless(true, enabled),
    issuer,
    audiences: standard ? undefined : audiences,
    lifetimeSeconds: unless(300, lifetimeSeconds),
  });
}

function apiOut(api: Api): object {
  return filled({
    ...api,
    auth: authOut(api.auth),
    failureMode: unless("closed", api.failureMode),
    rateLimitHeaders: unless(true, api.rateLimitHeaders),
    legacyHeaders: unless("off", api.legacyHeaders),
    routes: api.routes.map(routeOut),
    limits: api.limits.map(limitOut),
    cors:
      api.cors === undefined
        ? undefined
        : filled({
            ...api.cors,
            maxAgeSeconds: unless(600, api.cors.maxAgeSeconds),
            allowCredentials: unless(false, api.cors.allowCredentials),
          }),
  });
}

function authOut({ mode, jwt }: Auth): object {
  if (jwt === undefined) return { mode };
  const { issuers, consumerClaims, unknownConsumers, forwardToken } = jwt;
  const standard = consumerClaims.join(" ") === standardConsumerClaims.join(" ");
  return {
    mode,
    jwt: filled({
      ...jwt,
      issuers: issuers.map((issuer) => filled({ ...issuer })),
      consumerClaims: standard ? undefined : consumerClaims,
      unknownConsumers: unless("deny", unknownConsumers),
      forwardToken: unless(true, forwardToken),
    }),
  };
}

function routeOut(route: Route): object {
  return filled({ ...route, cost: unless(1, route.cost), limits: route.limits.map(limitOut) });
}

function tierOut(tier: Tier): object {
  // An empty list of APIs means none, an absent one all: it must stay.
  return {
    ...filled({ ...tier, limits: tier.limits.map(limitOut) }),
    ...(tier.apis === undefined ? {} : { apis: tier.apis }),
  };
}

function consumerOut(consumer: Consumer): object {
  return filled({
    ...consumer,
    claims: Object.keys(consumer.claims).length === 0 ? undefined : consumer.claims,
    suspended: unless(false, consumer.suspended),
  });
}

function keyOut(key: Key): object {
  // Of a key, an empty list of APIs or scopes means none.
  const lists = {
    ...(key.apis === undefined ? {} : { apis: key.apis }),
    ...(key.scopes === undefined ? {} : { scopes: key.scopes }),
  };
  return { ...filled({ ...key, state: unless("active", key.state), limits: key.limits.map(limitOut) }), ...lists };
}

function limitOut(limit: Limit): object {
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  return filled({
    ...limit,
    anchor: unless(period !== undefined && "seconds" in period ? "firstUse" : "calendar", limit.anchor),
    subject: unless("key", limit.subject),
    enforcement: unless("global", limit.enforcement),
    mode: unless("enforce", limit.mode),
  });
}
