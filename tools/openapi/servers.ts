/** `servers`: from URLs with variables to hosts and base paths. */
import { hostFault } from "../../control/domain/hostsAndPaths.ts";
import type { ProblemPath } from "../../control/domain/problem.ts";
import type { Origin } from "./model.ts";
import { type Fields, isFields, type Source } from "./source.ts";

/** As many URLs as the variables of one server may stand for. */
const expandedMax = 256;

/** The origins of a list of servers; none, or an empty list, is the document's own. `hosts` replaces those of the document. */
export function originsOf(
  source: Source,
  servers: unknown,
  path: ProblemPath,
  hosts: readonly string[] | undefined,
): Origin[] {
  const list = source.list(servers, path) ?? [];
  const read =
    list.length === 0
      ? [{ host: undefined, basePath: "" }]
      : list.flatMap((server, index) => serverOrigins(source, server, [...path, index], hosts !== undefined));
  if (hosts !== undefined)
    return distinct(
      [...new Set(read.map(({ basePath }) => basePath))].flatMap((basePath) =>
        hosts.map((host) => ({ host, basePath })),
      ),
    );
  // A relative URL is on the host that the document is on, which the absolute ones tell.
  const named = [...new Set(read.map(({ host }) => host).filter((host) => host !== undefined))];
  return distinct(
    read.flatMap(({ host, basePath }) =>
      host === undefined && named.length > 0 ? named.map((name) => ({ host: name, basePath })) : [{ host, basePath }],
    ),
  );
}

function serverOrigins(source: Source, value: unknown, path: ProblemPath, hostsGiven: boolean): Origin[] {
  const server = source.fields(value, path)!;
  const url = server.fields["url"];
  const at = [...server.path, "url"];
  if (typeof url !== "string")
    return source.refuse(server.path, "A server needs a `url`.", "Add it, such as `url: https://api.example.com/v1`.");
  return expand(source, url, server.fields, server.path).map((text) => originOf(source, text, at, hostsGiven));
}

function originOf(source: Source, url: string, at: ProblemPath, hostsGiven: boolean): Origin {
  const match = /^(?:[a-z][a-z0-9+.-]*:)?\/\/([^/?#]*)(.*)$/i.exec(url);
  const basePath = (match === null ? url : match[2]!)
    .replace(/[?#].*$/s, "")
    .replace(/^\.?\/*(?=[^/])/, "/")
    .replace(/\/+$/, "")
    .replace(/^\.$/, "");
  if (match === null) return { host: undefined, basePath };
  const host = match[1]!.replace(/^.*@/, "").replace(/:\d*$/, "").replace(/\.$/, "").toLowerCase();
  const fault = hostFault(host);
  if (fault !== undefined && !hostsGiven)
    source.refuse(at, fault.message, "Correct the URL, or name the hosts with --host.");
  return { host, basePath };
}

/** The URLs that the variables stand for: all of an `enum`, else the default; any subdomain where the first label is an open variable. */
function expand(source: Source, url: string, server: Fields, path: ProblemPath): string[] {
  let urls = [url];
  for (const name of new Set([...url.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1]!))) {
    const values = valuesOf(source, url, name, server, path);
    urls = urls.flatMap((text) => values.map((value) => text.replaceAll(`{${name}}`, value)));
    if (urls.length > expandedMax)
      source.refuse(
        [...path, "variables"],
        `The variables stand for more than ${expandedMax} URLs.`,
        "Name the hosts with --host.",
      );
  }
  return urls;
}

function valuesOf(source: Source, url: string, name: string, server: Fields, path: ProblemPath): string[] {
  const variables = source.fields(server["variables"], [...path, "variables"])?.fields ?? {};
  const at = [...path, "variables", name];
  const variable = variables[name];
  if (!isFields(variable))
    return source.refuse(
      [...path, "url"],
      `The URL has a variable \`{${name}}\` that \`variables\` doesn't define.`,
      "Define it with a `default`.",
    );
  const choices = source.list(variable["enum"], [...at, "enum"])?.map(String) ?? [];
  if (choices.length > 0) return choices;
  if (variable["default"] === undefined)
    return source.refuse(at, `The variable \`${name}\` has no \`default\`.`, "Add it: OpenAPI asks for one.");
  if (new RegExp(`^[^/]*//\\{${name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}\\}\\.`).test(url)) {
    source.note(
      at,
      `The host begins with the variable \`{${name}}\`, which may be anything: every subdomain is taken.`,
      "Name the hosts with --host to narrow that.",
    );
    return ["*"];
  }
  source.note(
    at,
    `The variable \`{${name}}\` may be anything; its default \`${String(variable["default"])}\` is taken.`,
    "Name hosts with --host, or the path with --prefix.",
  );
  return [String(variable["default"])];
}

function distinct(origins: readonly Origin[]): Origin[] {
  return [...new Map(origins.map((origin) => [`${origin.host} ${origin.basePath}`, origin])).values()];
}
