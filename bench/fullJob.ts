/** The full job: key, claims, a minute and a day limit of each key, and response headers that tell how much of them is left. */
import { apiKeyAuthFilter, localRateLimitFilter, luaFilter, type Filter } from "./envoyConfig.ts";
import { allKeys, hot, rotating } from "./keys.ts";
import { luaSource } from "./luaSource.ts";
import { startExtAuthz, startRateLimitService } from "./peers.ts";
import { plain } from "./plain.ts";
import type { RunningSystem, Scenario, SystemContext } from "./systems.ts";
import { startTollgate } from "./tollgate.ts";
import { apiSegments, consumerOf, dayLimit, host, minuteLimit } from "./workload.ts";

const keyCount = 100_000;
const bareTwoWorkers = "bare Envoy, two workers";

/** Names that figures with a target are made of. */
export const fullJobNames = {
  one: "Tollgate, full job, 1 active key",
  many: "Tollgate, full job, 100k active keys",
  twoWorkers: "Tollgate, full job, 1 active key, two workers",
  lua: "Lua, full job, 1 key",
  luaMany: "Lua, full job, rotating over 100k",
} as const;

export const fullJobSystems: Record<string, (context: SystemContext) => Promise<RunningSystem>> = {
  "bare, two workers": (context) => plain(context, [], 2),
  "local limits": (context) =>
    plain(context, [apiKeyAuthFilter(allKeys(keyCount), consumerOf), localRateLimitFilter(minuteLimit)]),
  "lua, full job": (context) => plain(context, [lua()]),
  ext_authz: (context) => startExtAuthz(context, keyCount),
  "ratelimit service": (context) => startRateLimitService(context, keyCount),
  "tollgate, full job": (context) => startTollgate(context, { keyCount, enforcement: "global" }),
  "tollgate, full job, two workers": (context) =>
    startTollgate(context, { keyCount, enforcement: "global", workers: 2, apart: "two-workers" }),
  "tollgate, gateway's limits": (context) => startTollgate(context, { keyCount, enforcement: "gateway" }),
};

const some = rotating(keyCount, 1000);
const all = rotating(keyCount, keyCount);
/** Long enough for a counter that was given back to be fetched again and to find its pace. */
const primed = { primeSeconds: 2 };

const ofAll: readonly Scenario[] = [
  { name: "api_key_auth + local_ratelimit, 1 key", system: "local limits", keys: hot, expect: "admitted" },
  { name: "api_key_auth + local_ratelimit, rotating over 100k", system: "local limits", keys: all, expect: "admitted" },
  { name: fullJobNames.lua, system: "lua, full job", keys: hot, expect: "admitted" },
  { name: fullJobNames.luaMany, system: "lua, full job", keys: all, expect: "admitted" },
  { name: "ext_authz, full job, 1 key", system: "ext_authz", keys: hot, expect: "admitted" },
  { name: "ext_authz, full job, rotating over 100k", system: "ext_authz", keys: all, expect: "admitted" },
  { name: "api_key_auth + ratelimit service, 1 key", system: "ratelimit service", keys: hot, expect: "admitted" },
  {
    name: "api_key_auth + ratelimit service, rotating over 100k",
    system: "ratelimit service",
    keys: all,
    expect: "admitted",
  },
  {
    name: "Tollgate, full job, gateway's own limits, 1 active key",
    system: "tollgate, gateway's limits",
    keys: hot,
    expect: "admitted",
    ...primed,
  },
  {
    name: "Tollgate, full job, gateway's own limits, 1k active keys",
    system: "tollgate, gateway's limits",
    keys: some,
    expect: "admitted",
    ...primed,
  },
  { name: fullJobNames.one, system: "tollgate, full job", keys: hot, expect: "admitted", ...primed },
  { name: bareTwoWorkers, system: "bare, two workers", keys: hot, expect: "admitted", against: bareTwoWorkers },
  {
    name: fullJobNames.twoWorkers,
    system: "tollgate, full job, two workers",
    keys: hot,
    expect: "admitted",
    against: bareTwoWorkers,
    ...primed,
  },
  {
    name: "Tollgate, full job, 1k active keys",
    system: "tollgate, full job",
    keys: some,
    expect: "admitted",
    block: { warmSeconds: 10, sampleSeconds: 3 },
  },
  // Every key has had a whole window by then, and all samples together last longer than another one.
  {
    name: fullJobNames.many,
    system: "tollgate, full job",
    keys: all,
    expect: "admitted",
    block: { warmSeconds: 75, sampleSeconds: 8 },
  },
];

export const fullJobScenarios: readonly Scenario[] = ofAll.map((scenario) => ({ ...scenario, group: "full-job" }));

function lua(): Filter {
  return luaFilter(
    luaSource({
      host,
      segments: apiSegments,
      keys: allKeys(keyCount),
      consumerOf,
      everySpelling: true,
      limits: { minute: minuteLimit, day: dayLimit },
    }),
  );
}
