/** The rules that a schema can't say: across fields, across records. Records come with their defaults filled in. */
import { checkAuth, checkIdentities } from "./authRules.ts";
import { parseCidr } from "./cidr.ts";
import { hostFault, originFault, pathFault, pathWithin } from "./hostsAndPaths.ts";
import { checkCosts } from "./limitCosts.ts";
import type { Api, Consumer, Cors, EnvironmentSpec, Key, Limit, Tier } from "./model.ts";
import { nearest } from "./nearest.ts";
import { parsePeriod } from "./period.ts";
import { type Problem, type ProblemPath, type Report, problemList } from "./problem.ts";
import { countsCaller } from "./subjects.ts";
import { parseTime } from "./time.ts";
import { checkTraffic } from "./traffic.ts";

/** What records may refer to: the ids that exist once the change is made. */
export interface KnownIds {
  apis: { has(id: string): boolean; ids(): Iterable<string> };
  tiers: { has(id: string): boolean; ids(): Iterable<string> };
  consumers: { has(id: string): boolean; ids(): Iterable<string> };
}

/** One record has to fit a frame of the wire several times over. */
const recordMaxBytes = 256 * 1024;

/** Checks one API by itself; `checkApiPairs` checks it against the others. */
export function checkApi(api: Api, report: Report, path: ProblemPath = []): void {
  const seenHosts = new Set<string>();
  api.hosts.forEach((host, index) => {
    const fault = hostFault(host);
    if (fault !== undefined) report([...path, "hosts", index], fault.message, fault.remedy);
    repeated(seenHosts, host, "Host", report, [...path, "hosts", index]);
  });
  const seenPaths = new Set<string>();
  api.paths.forEach((prefix, index) => {
    const fault = pathFault(prefix);
    if (fault !== undefined) report([...path, "paths", index], fault.message, fault.remedy);
    repeated(seenPaths, prefix, "Path", report, [...path, "paths", index]);
  });
  const keyless = api.auth.mode === "none";
  if (keyless && api.scopes.length > 0) {
    report(
      [...path, "scopes"],
      "A keyless API has no caller whose scopes could be checked.",
      "Remove `scopes`, or set `auth.mode` to key.",
    );
  }
  checkAuth(api, report, [...path, "auth"]);
  api.routes.forEach((route, index) => {
    const at = [...path, "routes", index];
    const fault = pathFault(route.path);
    if (fault !== undefined) report([...at, "path"], fault.message, fault.remedy);
    else if (!api.paths.some((prefix) => pathWithin(route.path, prefix))) {
      report(
        [...at, "path"],
        `Route path \`${route.path}\` is outside the API's paths (${api.paths.join(", ")}).`,
        "Give the whole path, or add a path to the API.",
      );
    }
    for (const method of route.methods) {
      if (api.methods.length > 0 && !allows(api.methods, method)) {
        report(
          [...at, "methods"],
          `The API doesn't take ${method}.`,
          `Use some of ${api.methods.join(", ")}, or add it to the API's \`methods\`.`,
        );
      }
    }
    const twin = api.routes.findIndex((other) => other.path === route.path && overlap(other.methods, route.methods));
    if (twin < index)
      report(at, `Same path and method as routes[${twin}].`, "Merge the two, or separate their methods.");
    if (keyless && route.scopes.length > 0)
      report([...at, "scopes"], "A keyless API has no caller whose scopes could be checked.", "Remove `scopes`.");
    checkLimits(route.limits, report, [...at, "limits"], keyless);
  });
  checkLimits(api.limits, report, [...path, "limits"], keyless);
  if (api.cors !== undefined) checkCors(api.cors, report, [...path, "cors"]);
  if (api.traffic !== undefined) checkTraffic(api, api.traffic, report, [...path, "traffic"]);
  checkSize(api, report, path);
}

/** Checks one tier. */
export function checkTier(tier: Tier, known: KnownIds, report: Report, path: ProblemPath = []): void {
  tier.apis?.forEach((id, index) => reference(known.apis, "API", id, report, [...path, "apis", index]));
  if (tier.apis !== undefined) repeats(tier.apis, "API", report, [...path, "apis"]);
  checkLimits(tier.limits, report, [...path, "limits"], false);
  checkSize(tier, report, path);
}

/** Checks one consumer. */
export function checkConsumer(consumer: Consumer, known: KnownIds, report: Report, path: ProblemPath = []): void {
  if (consumer.tier !== undefined) reference(known.tiers, "tier", consumer.tier, report, [...path, "tier"]);
}

/** Checks one key; `stored` is the key of this id as it is now. */
export function checkKey(key: Key, known: KnownIds, report: Report, path: ProblemPath = [], stored?: Key): void {
  reference(known.consumers, "consumer", key.consumer, report, [...path, "consumer"]);
  if (key.tier !== undefined) reference(known.tiers, "tier", key.tier, report, [...path, "tier"]);
  key.apis?.forEach((id, index) => reference(known.apis, "API", id, report, [...path, "apis", index]));
  if (key.apis !== undefined) repeats(key.apis, "API", report, [...path, "apis"]);
  const notBeforeMs = checkTime(key.notBefore, report, [...path, "notBefore"]);
  const expiresAtMs = checkTime(key.expiresAt, report, [...path, "expiresAt"]);
  if (notBeforeMs !== undefined && expiresAtMs !== undefined && expiresAtMs <= notBeforeMs) {
    report(
      [...path, "expiresAt"],
      "The key expires before it becomes valid.",
      "Make `expiresAt` later than `notBefore`.",
    );
  }
  key.allowedCidrs.forEach((cidr, index) => {
    if (parseCidr(cidr) === undefined) {
      report(
        [...path, "allowedCidrs", index],
        `\`${cidr}\` is not a network.`,
        "Use a network such as 10.0.0.0/8 or 2001:db8::/32, or one address.",
      );
    }
  });
  if (stored?.state === "revoked" && key.state !== "revoked" && key.sha256 === stored.sha256) {
    report(
      [...path, "state"],
      `Key \`${key.id}\` was revoked, and that is final.`,
      "Leave `state` out, or issue a new key.",
    );
  }
  checkLimits(key.limits, report, [...path, "limits"], false);
  checkSize(key, report, path);
}

/** Finds pairs of APIs between which the filter couldn't choose: same host, same path, a method in common. */
export function checkApiPairs(apis: readonly Api[], report: Report, pathOf: (index: number) => ProblemPath): void {
  const owners = new Map<string, number[]>();
  const reported = new Set<string>();
  apis.forEach((api, index) => {
    for (const host of new Set(api.hosts)) {
      for (const prefix of new Set(api.paths)) {
        const place = `${host} ${prefix}`;
        const others = owners.get(place) ?? [];
        for (const other of others) {
          const rival = apis[other]!;
          if (rival.id === api.id || reported.has(`${other} ${index}`) || !overlap(api.methods, rival.methods))
            continue;
          reported.add(`${other} ${index}`);
          report(
            pathOf(index),
            `APIs \`${rival.id}\` and \`${api.id}\` both claim host \`${host}\`, path \`${prefix}\` and a common method.`,
            "Separate them by host, path or method.",
          );
        }
        owners.set(place, [...others, index]);
      }
    }
  });
}

/** What a file is applied to. */
export interface Surroundings {
  /** ids of records that stay and that the file doesn't name */
  ids?: KnownIds;
  /** the APIs among them */
  apis?: readonly Api[];
  /** the consumers among them */
  consumers?: readonly Consumer[];
  /** the keys that the file names, as they are stored */
  keys?: ReadonlyMap<string, Key>;
}

/** Checks a whole environment: every record, repeated ids and digests, ambiguous APIs, references. Gives errors and warnings in order. */
export function checkEnvironment(spec: EnvironmentSpec, around: Surroundings = {}): Problem[] {
  const { problems, report } = problemList();
  const known: KnownIds = {
    apis: both(spec.apis, around.ids?.apis),
    tiers: both(spec.tiers, around.ids?.tiers),
    consumers: both(spec.consumers, around.ids?.consumers),
  };
  spec.apis.forEach((api, index) => checkApi(api, report, ["apis", index]));
  const others = around.apis ?? [];
  checkApiPairs([...others, ...spec.apis], report, (index) => ["apis", index - others.length]);
  spec.tiers.forEach((tier, index) => checkTier(tier, known, report, ["tiers", index]));
  spec.consumers.forEach((consumer, index) => checkConsumer(consumer, known, report, ["consumers", index]));
  checkIdentities(spec.consumers, around.consumers ?? [], report, (index) => ["consumers", index]);
  const digests = new Map<string, string>();
  spec.keys.forEach((key, index) => {
    checkKey(key, known, report, ["keys", index], around.keys?.get(key.id));
    const twin = digests.get(key.sha256.slice(0, 32));
    if (twin !== undefined)
      report(["keys", index, "sha256"], `The digest is also that of key \`${twin}\`.`, "Give each key once.");
    digests.set(key.sha256.slice(0, 32), key.id);
  });
  for (const kind of ["apis", "tiers", "consumers", "keys"] as const) {
    const seen = new Set<string>();
    spec[kind].forEach(({ id }, index) => {
      if (seen.has(id))
        report(
          [kind, index, "id"],
          `Another one of ${kind} has the id \`${id}\`.`,
          "Ids are unique among their kind: rename one.",
        );
      seen.add(id);
    });
  }
  checkCosts(spec, [...others, ...spec.apis], report);
  return problems;
}

function checkLimits(limits: readonly Limit[], report: Report, path: ProblemPath, keyless: boolean): void {
  const names = new Set<string>();
  limits.forEach((limit, index) => {
    const at = [...path, index];
    repeated(names, limit.name, "Limit", report, [...at, "name"]);
    if (limit.kind === "rate") checkRate(limit, report, at);
    else checkQuota(limit, report, at);
    if (keyless && countsCaller(limit.subject)) {
      report(
        [...at, "subject"],
        `A keyless API has no callers to count by ${limit.subject}.`,
        "Set `subject` to ip or api.",
      );
    }
    if (limit.subject === "ip" && limit.enforcement === "global") {
      const remedy = "Set `enforcement: gateway` unless an address must be counted over all gateways together.";
      report(
        [...at, "enforcement"],
        "Every address that calls becomes a counter in control, and its first request waits for control's answer.",
        remedy,
        "warning",
      );
    }
  });
}

function checkRate(limit: Limit, report: Report, at: ProblemPath): void {
  if (limit.windowSeconds === undefined)
    report(at, "A rate needs `windowSeconds`.", "Add it, such as `windowSeconds: 60`.");
  if (limit.period !== undefined)
    report([...at, "period"], "`period` belongs to a quota.", "Use `windowSeconds`, or set `kind` to quota.");
  if (limit.anchor === "firstUse")
    report([...at, "anchor"], "`anchor` belongs to a quota.", "Remove it, or set `kind` to quota.");
}

function checkQuota(limit: Limit, report: Report, at: ProblemPath): void {
  if (limit.windowSeconds !== undefined)
    report([...at, "windowSeconds"], "`windowSeconds` belongs to a rate.", "Use `period`, or set `kind` to rate.");
  if (limit.smoothing !== undefined)
    report([...at, "smoothing"], "`smoothing` belongs to a rate.", "Remove it, or add a rate beside the quota.");
  if (limit.period === undefined) return report(at, "A quota needs `period`.", "Add it, such as `period: day`.");
  const period = parsePeriod(limit.period);
  if (period === undefined)
    return report(
      [...at, "period"],
      `\`${limit.period}\` is not a period.`,
      "Use day, week, month, or a length such as 12h or 30d (at most 366d).",
    );
  if ("seconds" in period && limit.anchor === "calendar") {
    report(
      [...at, "anchor"],
      `A period of \`${limit.period}\` has no place in the calendar.`,
      "Use `anchor: firstUse`, or the period day, week or month.",
    );
  }
  if ("named" in period && limit.anchor === "firstUse") {
    report(
      [...at, "anchor"],
      `A ${limit.period} is one of the calendar; it can't begin with the first use.`,
      "Use `anchor: calendar`, or a length such as 1d, 7d or 30d.",
    );
  }
}

function checkCors(cors: Cors, report: Report, path: ProblemPath): void {
  cors.allowOrigins.forEach((origin, index) => {
    const fault = originFault(origin);
    if (fault !== undefined) report([...path, "allowOrigins", index], fault.message, fault.remedy);
  });
  if (cors.allowCredentials && cors.allowOrigins.includes("*")) {
    report(
      [...path, "allowCredentials"],
      'Credentials with origin "*" would let every site act for its visitors.',
      "Name the origins, or drop `allowCredentials`.",
    );
  }
}

function checkTime(text: string | undefined, report: Report, path: ProblemPath): number | undefined {
  const ms = text === undefined ? undefined : parseTime(text);
  if (text !== undefined && ms === undefined) {
    report(path, `\`${text}\` is not a time.`, "Write it as RFC 3339 with its offset, such as 2027-01-01T00:00:00Z.");
  }
  return ms;
}

function checkSize(record: object, report: Report, path: ProblemPath): void {
  const bytes = Buffer.byteLength(JSON.stringify(record));
  if (bytes > recordMaxBytes)
    report(path, `The record has ${bytes} bytes; gateways take at most ${recordMaxBytes}.`, "Split it.");
}

function reference(ids: KnownIds["apis"], what: string, id: string, report: Report, path: ProblemPath): void {
  if (ids.has(id)) return;
  const near = nearest(id, ids.ids());
  report(
    path,
    `There is no ${what} \`${id}\`.`,
    near === undefined ? `Create it first, or name one that exists.` : `Did you mean \`${near}\`?`,
  );
}

function repeats(values: readonly string[], what: string, report: Report, path: ProblemPath): void {
  const seen = new Set<string>();
  values.forEach((value, index) => repeated(seen, value, what, report, [...path, index]));
}

function repeated(seen: Set<string>, value: string, what: string, report: Report, path: ProblemPath): void {
  if (seen.has(value)) report(path, `${what} \`${value}\` is named twice.`, "Remove one.");
  seen.add(value);
}

/** Do two lists of methods share one? Empty is any; GET includes HEAD. */
function overlap(a: readonly string[], b: readonly string[]): boolean {
  if (a.length === 0 || b.length === 0) return true;
  return a.some((method) => allows(b, method)) || b.some((method) => allows(a, method));
}

function allows(methods: readonly string[], method: string): boolean {
  return methods.includes(method) || (method === "HEAD" && methods.includes("GET"));
}

function both(records: readonly { id: string }[], elsewhere: KnownIds["apis"] | undefined): KnownIds["apis"] {
  const here = new Set(records.map((record) => record.id));
  return {
    has: (id) => here.has(id) || (elsewhere?.has(id) ?? false),
    *ids() {
      yield* here;
      if (elsewhere !== undefined) yield* elsewhere.ids();
    },
  };
}
