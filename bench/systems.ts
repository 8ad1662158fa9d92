/** The systems under comparison. A system is one Envoy; a scenario is what is sent to it. */
import { apiKeyAuthFilter, luaFilter, wasmFilter, type Filter } from "./envoyConfig.ts";
import type { EnvoyProcess } from "./envoyProcess.ts";
import { fullJobScenarios, fullJobSystems } from "./fullJob.ts";
import { allKeys, benchKey, hot, malformedKey, rotating } from "./keys.ts";
import { luaSource } from "./luaSource.ts";
import { plain } from "./plain.ts";
import { startTollgate } from "./tollgate.ts";
import { compileFilter } from "./wasm.ts";
import { apiSegments, consumerOf, environment, host } from "./workload.ts";

export interface RunningSystem {
  envoy: EnvoyProcess;
  /** the processes that Envoy asks; what they spend is shown beside what Envoy spends */
  helpers?: { name: string; pids: readonly number[] };
  stop(): Promise<void>;
}

export interface SystemContext {
  envoyPath: string;
  upstreamPort: number;
}

export interface Scenario {
  /** the name in the results */
  name: string;
  system: string;
  keys: readonly string[];
  expect: "admitted" | "refused";
  /** chosen together by `--only` */
  group?: string;
  /** the scenario that it is compared with; default: bare Envoy */
  against?: string;
  /** load before each sample, for what is given back when it isn't used for a while */
  primeSeconds?: number;
  /** measured after the rounds, in a block: load until all is warm, then samples and bare in turn, so that nothing cools down */
  block?: { warmSeconds: number; sampleSeconds: number };
}

export const baseline = "bare Envoy";
/** Well-formed keys that no system has. */
const unknown = Array.from({ length: 1000 }, (_, index) => benchKey(environment, 2_000_000 + index));
const malformed = Array.from({ length: 1000 }, (_, index) => malformedKey(environment, index));

const starters: Record<string, (context: SystemContext) => Promise<RunningSystem>> = {
  ...fullJobSystems,
  bare: (context) => plain(context, []),
  empty: (context) => plain(context, [wasmFilter("empty", compileFilter("empty"), "")]),
  // It traps on an empty configuration.
  hello: (context) => plain(context, [wasmFilter("add_header", compileFilter("hello"), "world")]),
  "api_key_auth 10k": (context) => plain(context, [apiKeyAuthFilter(allKeys(10_000), consumerOf)]),
  "api_key_auth 1M": (context) => plain(context, [apiKeyAuthFilter(allKeys(1_000_000), consumerOf)]),
  "lua 10k": (context) => plain(context, [lua(true)]),
  "lua 10k, one spelling": (context) => plain(context, [lua(false)]),
  "tollgate 1k": (context) => startTollgate(context, { keyCount: 1000 }),
  "tollgate 10k": (context) => startTollgate(context, { keyCount: 10_000 }),
  "tollgate 1M": (context) => startTollgate(context, { keyCount: 1_000_000 }),
};

const keyScenarios: readonly Scenario[] = [
  { name: baseline, system: "bare", keys: hot, expect: "admitted" },
  { name: "Wasm, an empty filter", system: "empty", keys: hot, expect: "admitted" },
  { name: "proxy-runtime hello world", system: "hello", keys: hot, expect: "admitted" },
  { name: "api_key_auth, 10k keys", system: "api_key_auth 10k", keys: hot, expect: "admitted" },
  {
    name: "api_key_auth, 10k keys, rotating over 10k",
    system: "api_key_auth 10k",
    keys: rotating(10_000, 10_000),
    expect: "admitted",
  },
  {
    name: "api_key_auth, 1M keys, rotating over 10k",
    system: "api_key_auth 1M",
    keys: rotating(1_000_000, 10_000),
    expect: "admitted",
  },
  { name: "Lua, 10k plain keys", system: "lua 10k", keys: hot, expect: "admitted" },
  {
    name: "Lua, 10k plain keys, rotating over 10k",
    system: "lua 10k",
    keys: rotating(10_000, 10_000),
    expect: "admitted",
  },
  {
    name: "Lua, 10k plain keys, claims in one spelling",
    system: "lua 10k, one spelling",
    keys: hot,
    expect: "admitted",
  },
  { name: "Tollgate, 1k keys", system: "tollgate 1k", keys: hot, expect: "admitted" },
  {
    name: "Tollgate, 1k keys, rotating over 1k",
    system: "tollgate 1k",
    keys: rotating(1000, 1000),
    expect: "admitted",
  },
  {
    name: "Tollgate, 10k keys, rotating over 10k",
    system: "tollgate 10k",
    keys: rotating(10_000, 10_000),
    expect: "admitted",
  },
  { name: "Tollgate, 1M keys", system: "tollgate 1M", keys: hot, expect: "admitted" },
  {
    name: "Tollgate, 1M keys, rotating over 10k",
    system: "tollgate 1M",
    keys: rotating(1_000_000, 10_000),
    expect: "admitted",
  },
  { name: "Tollgate refuses an unknown key", system: "tollgate 1M", keys: unknown, expect: "refused" },
  { name: "Tollgate refuses a malformed key", system: "tollgate 1M", keys: malformed, expect: "refused" },
];

export const scenarios: readonly Scenario[] = [...keyScenarios, ...fullJobScenarios];

/** Throws Unavailable when it can't be had on this machine. */
export function startSystem(name: string, context: SystemContext): Promise<RunningSystem> {
  const start = starters[name];
  if (!start) throw new Error(`no system is called ${name}`);
  return start(context);
}

function lua(everySpelling: boolean): Filter {
  return luaFilter(luaSource({ host, segments: apiSegments, keys: allKeys(10_000), consumerOf, everySpelling }));
}
