/**
 * Random API definitions whose hosts and paths cover each other. Each API says who decided for it: it has a limit of its own, enforced at the
 * gateway, that bears its id, so `RateLimit-Policy` names the API of every request that the filter admitted; a CORS origin of its own, so that a
 * preflight passes by one API alone; and, where it asks for a key, a key that no other API takes.
 */
import { stringify } from "yaml";
import { digestHex } from "../../control/domain/keys.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import type { Random } from "./random.ts";

/** Where an API's requests go. */
export interface UpstreamAddress {
  service: string;
  port: number;
}

export interface RandomApi {
  id: string;
  hosts: string[];
  paths: string[];
  methods: string[];
  keyed: boolean;
  /** takes preflights */
  cors: boolean;
}

const baseNames = ["example.com", "open.test", "b.test", "test", "a.b", "xn--bcher-kva.example", "com", "10.1.2.3"];
const labels = ["a", "b", "api", "x-y", "a_b", "1", "xn--p1ai", "shop", "aa", "l".repeat(63)];
const segments = [
  "a",
  "b",
  "A",
  "Admin",
  "admin",
  "v1",
  ":id",
  "$id",
  "a.b",
  "x~y",
  "_",
  "a+b",
  "(x)",
  "admin!",
  "...",
  "items",
  "1",
  "a,b",
  "@me",
  "a=b",
  "s".repeat(60),
];
/** refused by the definitions' rules today; should they ever be taken, they are tried */
const refusedHosts = [
  ".example.com",
  "example.com.",
  "*.*.test",
  "api.example.com:8080",
  "bücher.example",
  "*.",
  "a..b",
  "*example.com",
];
const refusedPaths = [
  "/a%20b",
  "/{id}",
  "/a/*",
  "//a",
  "/a/",
  "/a;b",
  "/%61dmin",
  "/a/../b",
  "/a b",
  "/ü",
  "/a?b",
  "/a#b",
];
const methodSets: readonly string[][] = [
  ["GET"],
  ["POST"],
  ["GET", "POST"],
  ["PUT", "DELETE"],
  ["HEAD"],
  ["OPTIONS"],
  ["PURGE"],
  ["POST", "PURGE"],
  ["PATCH"],
];

/** The origin that API `id` alone takes. */
export const originOf = (id: string): string => `https://${id}.origin.test`;
export const keyOf = (id: string): string => `differential-key-of-${id}-0123456789abcdef`;

/** Up to 14 APIs, at least one, over few hosts and paths, as the definitions' rules take them. `prefix` begins their ids. */
export function randomApis(random: Random, prefix: string): RandomApi[] {
  const hosts = hostPool(random);
  const paths = pathPool(random);
  const wanted = 2 + random.below(13);
  const apis: RandomApi[] = [];
  for (let i = 0; i < wanted; i++) {
    apis.push({
      id: `${prefix}${i}`,
      hosts: random.some(hosts, 1, random.chance(0.3) ? 3 : 1),
      paths: random.some(paths, 1, random.chance(0.4) ? 3 : 1),
      methods: random.chance(0.65) ? [] : random.pick(methodSets),
      keyed: random.chance(0.5),
      cors: random.chance(0.3),
    });
    // A place that two APIs share by their methods.
    if (random.chance(0.3)) {
      const [first, second] = random.some(
        methodSets.filter(([method]) => method !== "PURGE"),
        2,
        2,
      ) as [string[], string[]];
      const shared = apis.at(-1)!;
      shared.methods = first;
      apis.push({
        ...shared,
        id: `${prefix}${i}b`,
        methods: second.filter((method) => !first.includes(method)),
        keyed: random.chance(0.5),
        cors: random.chance(0.3),
      });
      if (apis.at(-1)!.methods.length === 0) apis.pop();
    }
  }
  const sound = soundApis(apis);
  // Now and then the rules refuse all of them.
  return sound.length > 0 ? sound : randomApis(random, prefix);
}

/** The APIs as far as Istio and the Gateway API can route them: by names of several labels, without `_`, and by the methods that HTTPRoute knows. */
export function meshApis(apis: readonly RandomApi[]): RandomApi[] {
  const routable = (host: string): boolean =>
    /^(\*|(\*\.)?[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+)$/.test(host) &&
    !/^[\d.]+$/.test(host) &&
    host.length < 100;
  return soundApis(
    apis
      .map((api) => ({
        ...api,
        hosts: api.hosts.filter(routable),
        methods: api.methods.filter((method) => method !== "PURGE"),
      }))
      .filter(({ hosts }) => hosts.length > 0),
  );
}

/** The APIs without those that the definitions' rules refuse, such as two that claim one place. */
export function soundApis(apis: readonly RandomApi[]): RandomApi[] {
  let sound = [...apis];
  for (;;) {
    const { problems } = loadFile(stringify(fileOf(sound, "e", () => ({ service: "127.0.0.1", port: 80 }))));
    const faulty = new Set(
      problems
        .filter(({ severity, path }) => severity === "error" && path[0] === "apis")
        .map(({ path }) => path[1] as number),
    );
    if (faulty.size === 0) {
      const other = problems.find(({ severity }) => severity === "error");
      if (other !== undefined) throw new Error(`random definitions are refused: ${JSON.stringify(other)}`);
      return sound;
    }
    // Of two that claim one place the first may stay: it is the one that is named together with others.
    const last = Math.max(...faulty);
    sound = sound.filter((_, index) => index !== last);
  }
}

/** What stands in tollgate.yaml. */
export function fileOf(
  apis: readonly RandomApi[],
  environment: string,
  upstreamOf: (id: string) => UpstreamAddress,
): FileInput {
  const keyed = apis.filter((api) => api.keyed);
  return {
    version: 1,
    environment,
    apis: apis.map(
      (api): ApiInput => ({
        id: api.id,
        hosts: api.hosts,
        paths: api.paths,
        ...(api.methods.length === 0 ? {} : { methods: api.methods }),
        upstream: upstreamOf(api.id),
        auth: { mode: api.keyed ? "key" : "none" },
        limits: [
          {
            name: api.id,
            kind: "rate",
            limit: 1_000_000_000,
            windowSeconds: 3600,
            enforcement: "gateway",
            subject: "api",
          },
        ],
        ...(api.cors ? { cors: { allowOrigins: [originOf(api.id)] } } : {}),
      }),
    ),
    tiers: [{ id: "all" }],
    consumers: [{ id: "caller", tier: "all" }],
    keys: keyed.map(({ id }) => ({ id: `k-${id}`, consumer: "caller", sha256: digestHex(keyOf(id)), apis: [id] })),
  };
}

/** The same with defaults filled in; throws when the definitions' rules refuse it. */
export function specOf(file: FileInput): EnvironmentSpec {
  const { spec, problems } = loadFile(stringify(file), file.environment);
  if (spec === undefined) throw new Error(`random definitions are refused: ${JSON.stringify(problems)}`);
  return spec;
}

function hostPool(random: Random): string[] {
  const pool = new Set<string>(random.chance(0.7) ? ["*"] : []);
  for (const base of random.some(baseNames, 1, 2)) {
    for (const make of [
      () => base,
      () => `*.${base}`,
      () => `${random.pick(labels)}.${base}`,
      () => `*.${random.pick(labels)}.${base}`,
      () => `${random.pick(labels)}.${random.pick(labels)}.${base}`,
    ]) {
      if (random.chance(0.6)) pool.add(make());
    }
    // One character as first label: as long as the wildcard that covers it.
    if (random.chance(0.3)) pool.add(`${random.pick(["a", "b", "1"])}.${base}`).add(`*.${base}`);
  }
  if (random.chance(0.1)) pool.add("[::1]");
  if (random.chance(0.1)) pool.add("localhost");
  if (random.chance(0.1)) pool.add(`${`${"l".repeat(62)}.`.repeat(3)}${"m".repeat(60)}.h`);
  if (random.chance(0.15)) pool.add("API.Example.COM");
  if (random.chance(0.2)) pool.add(random.pick(refusedHosts));
  return [...pool, ...(pool.size === 0 ? ["*"] : [])];
}

function pathPool(random: Random): string[] {
  const pool = new Set<string>(["/"]);
  const few = random.some(segments, 2, 5);
  for (let i = 2 + random.below(6); i > 0; i--) {
    let path = "";
    for (let depth = 1 + random.below(random.chance(0.1) ? 20 : 3); depth > 0; depth--) path += `/${random.pick(few)}`;
    pool.add(path);
    // A neighbor that differs in case alone.
    if (random.chance(0.2)) pool.add(path.toUpperCase());
    // One that begins like it, and isn't below it.
    if (random.chance(0.3)) pool.add(`${path}${random.pick(["x", "-", ".b", "1"])}`);
  }
  if (random.chance(0.2)) pool.add(random.pick(refusedPaths));
  return [...pool];
}
