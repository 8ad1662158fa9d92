/** The rules of an API's `traffic` that its schema can't say, and its one spelling. What depends on the kind of routes is in manifests/routing. */
import { pathFault, pathWithin } from "./hostsAndPaths.ts";
import type { Api } from "./model.ts";
import type { ProblemPath, Report } from "./problem.ts";
import type { HeaderChanges, Traffic, TrafficVersion } from "./trafficSchema.ts";

/** Headers that Envoy itself writes, or that frame the message. */
const framing = new Set([
  "host",
  "content-length",
  "transfer-encoding",
  "connection",
  "keep-alive",
  "te",
  "trailer",
  "upgrade",
]);
/** The names that claims have by default: only the filter may write them. */
const claimPrefix = "x-tollgate-";

/** Brings names of headers and hosts to lower case. */
export function fillTraffic(input: Traffic): Traffic {
  const traffic = structuredClone(input);
  for (const side of ["request", "response"] as const) {
    const changes = traffic.headers?.[side];
    if (changes === undefined) continue;
    if (changes.set !== undefined) changes.set = lowerNames(changes.set);
    if (changes.add !== undefined) changes.add = lowerNames(changes.add);
    if (changes.remove !== undefined) changes.remove = changes.remove.map((name) => name.toLowerCase());
  }
  for (const version of traffic.versions ?? []) {
    if (version.upstream !== undefined) version.upstream.service = version.upstream.service.toLowerCase();
    if (version.match?.header !== undefined) version.match.header = lowerNames(version.match.header);
  }
  if (traffic.consistentHash !== undefined) traffic.consistentHash.header = traffic.consistentHash.header.toLowerCase();
  return traffic;
}

/** Checks the `traffic` of one API. */
export function checkTraffic(
  api: Pick<Api, "paths" | "upstream">,
  traffic: Traffic,
  report: Report,
  path: ProblemPath,
): void {
  checkRewrite(traffic.rewrite, report, [...path, "rewrite"]);
  const { perTryTimeoutSeconds } = traffic.retries ?? {};
  if (
    perTryTimeoutSeconds !== undefined &&
    traffic.timeoutSeconds !== undefined &&
    perTryTimeoutSeconds > traffic.timeoutSeconds
  ) {
    report(
      [...path, "retries", "perTryTimeoutSeconds"],
      "One try may take longer than the whole request.",
      "Make it at most `timeoutSeconds`.",
    );
  }
  if (traffic.loadBalancing !== undefined && traffic.consistentHash !== undefined) {
    report([...path, "consistentHash"], "`loadBalancing` and `consistentHash` exclude each other.", "Remove one.");
  }
  checkHeaders(traffic.headers?.request, "request", report, [...path, "headers", "request"]);
  checkHeaders(traffic.headers?.response, "response", report, [...path, "headers", "response"]);
  if (traffic.versions !== undefined) checkVersions(api, traffic, traffic.versions, report, [...path, "versions"]);
  if (
    traffic.external !== undefined &&
    (/^[\d.]+$/.test(api.upstream.service) || !api.upstream.service.includes("."))
  ) {
    report(
      [...path, "external"],
      `\`${api.upstream.service}\` is not a name outside the mesh.`,
      "Give `upstream.service` a full name such as api.example.com.",
    );
  }
}

function checkRewrite(rewrite: Traffic["rewrite"], report: Report, path: ProblemPath): void {
  const fault = rewrite === undefined ? undefined : pathFault(rewrite.prefix);
  if (fault !== undefined) report([...path, "prefix"], fault.message, fault.remedy);
}

function checkHeaders(
  changes: HeaderChanges | undefined,
  side: "request" | "response",
  report: Report,
  path: ProblemPath,
): void {
  if (changes === undefined) return;
  const seen = new Map<string, string>();
  const check = (name: string, kind: "set" | "add" | "remove", at: ProblemPath): void => {
    const other = seen.get(name);
    if (other !== undefined) report(at, `Header \`${name}\` is under \`${other}\` as well.`, "Name a header once.");
    seen.set(name, kind);
    if (framing.has(name))
      report(
        at,
        `Header \`${name}\` carries the message: it can't be changed.`,
        name === "host" ? "Of an upstream outside the mesh, `external` sets it." : "Remove it.",
      );
    if (side === "request" && kind !== "remove" && name.startsWith(claimPrefix)) {
      report(
        at,
        `Header \`${name}\` is a claim: written here it would be forged.`,
        "Put facts on a consumer into its `claims`.",
      );
    }
  };
  for (const kind of ["set", "add"] as const)
    for (const name of Object.keys(changes[kind] ?? {})) check(name, kind, [...path, kind, name]);
  changes.remove?.forEach((name, index) => check(name, "remove", [...path, "remove", index]));
}

function checkVersions(
  api: Pick<Api, "paths">,
  traffic: Traffic,
  versions: readonly TrafficVersion[],
  report: Report,
  path: ProblemPath,
): void {
  const names = new Set<string>();
  const matches = new Map<string, string>();
  versions.forEach((version, index) => {
    const at = [...path, index];
    if (names.has(version.name)) report([...at, "name"], `Version \`${version.name}\` is named twice.`, "Rename one.");
    names.add(version.name);
    if (version.labels === undefined && version.upstream === undefined) {
      report(
        at,
        `Nothing says where version \`${version.name}\` is.`,
        "Give it the `labels` of its pods, or an `upstream` of its own.",
      );
    }
    checkRewrite(version.rewrite, report, [...at, "rewrite"]);
    if (version.rewrite !== undefined && version.match?.path === undefined) {
      report(
        [...at, "rewrite"],
        "A version's `rewrite` goes with its `match.path`.",
        "Use the API's `rewrite`, or give the version a path.",
      );
    }
    checkMatch(api, version, matches, report, at);
    if (traffic.external !== undefined && version.upstream === undefined) {
      report(
        [...at, "labels"],
        "An upstream outside the mesh has no pods whose labels could be told apart.",
        "Give the version an `upstream`, or remove `external`.",
      );
    }
  });
  const shares = versions.filter(({ match }) => match === undefined);
  const total = shares.reduce((sum, { weight }) => sum + (weight ?? 0), 0);
  if (shares.length > 0 && total !== 100)
    report(path, `The weights of versions without \`match\` add up to ${total}.`, "Make them add up to 100.");
}

function checkMatch(
  api: Pick<Api, "paths">,
  version: TrafficVersion,
  matches: Map<string, string>,
  report: Report,
  at: ProblemPath,
): void {
  const { match } = version;
  if (match === undefined) return;
  if (version.weight !== undefined)
    report([...at, "weight"], "A version with `match` gets all that it matches.", "Remove `weight` or `match`.");
  if (match.path === undefined && match.header === undefined)
    report([...at, "match"], "The match says nothing.", "Give it a `path` or a `header`, or remove it.");
  if (match.path !== undefined) {
    const fault = pathFault(match.path);
    if (fault !== undefined) report([...at, "match", "path"], fault.message, fault.remedy);
    else if (!api.paths.some((prefix) => pathWithin(match.path!, prefix))) {
      report(
        [...at, "match", "path"],
        `Path \`${match.path}\` is outside the API's paths (${api.paths.join(", ")}).`,
        "Give the whole path, or add a path to the API.",
      );
    }
  }
  const what = JSON.stringify([match.path, Object.entries(match.header ?? {}).sort()]);
  const twin = matches.get(what);
  if (twin !== undefined)
    report([...at, "match"], `Version \`${twin}\` matches the same requests.`, "Change one, or share them by weight.");
  matches.set(what, version.name);
}

function lowerNames(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [name.toLowerCase(), value]));
}
