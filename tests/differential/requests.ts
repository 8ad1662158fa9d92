/** Random requests near the hosts, paths and methods of random APIs: most belong to one of them, or would, read a little differently. */
import { keyOf, originOf, type RandomApi } from "./environments.ts";
import type { Random } from "./random.ts";

/** A request as it is put on the wire. Texts are bytes, one a character. */
export interface WireRequest {
  protocol: "http1" | "http2";
  method: string;
  /** the request target of HTTP/1 (origin form, absolute form, `*`), or `:path` */
  target: string;
  /** `Host` headers of HTTP/1 in their order; `:authority` of HTTP/2 (the first), and a `host` header beside it (the second) */
  hosts: string[];
  /** other headers, names in lower case */
  headers: [name: string, value: string][];
}

const knownMethods = ["GET", "GET", "GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
const oddMethods = [
  "get",
  "Get",
  "post",
  "Post",
  "pOST",
  "put",
  "delete",
  "head",
  "Head",
  "options",
  "PURGE",
  "purge",
  "GETT",
  "TRACE",
  "CONNECT",
  "PRI",
  "M-SEARCH",
  "PROPFIND",
  "QUERY",
  "X",
  "GET\x20",
  "POST;x",
  "P%4fST",
];
const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** One request, most often aimed at one of the APIs. */
export function randomRequest(random: Random, apis: readonly RandomApi[]): WireRequest {
  const aim = random.pick(apis);
  const protocol = random.chance(0.4) ? "http2" : "http1";
  const host = randomHost(random, aim);
  const path = randomPath(random, aim);
  const preflight = random.chance(0.06);
  const method = preflight ? "OPTIONS" : randomMethod(random, aim, protocol);
  const headers: WireRequest["headers"] = [];
  const other = random.chance(0.8) ? aim : random.pick(apis);
  if (preflight) {
    headers.push(
      ["origin", originOf(other.id)],
      [
        "access-control-request-method",
        random.chance(0.9)
          ? random.chance(0.5) && aim.methods.length > 0
            ? random.pick(aim.methods)
            : random.pick(knownMethods)
          : random.pick(oddMethods),
      ],
    );
    // Node's HTTP/2 sends each of these once.
    if (protocol === "http1" && random.chance(0.2))
      headers.splice(
        random.below(3),
        0,
        random.chance(0.5)
          ? ["access-control-request-method", random.pick(knownMethods)]
          : ["origin", originOf(random.pick(apis).id)],
      );
  } else if (random.chance(0.05)) headers.push(["origin", originOf(other.id)]);
  if (random.chance(0.45)) headers.push(["x-api-key", keyOf(other.id)]);
  return { protocol, method, headers, ...targetAndHosts(random, protocol, host, path) };
}

function targetAndHosts(
  random: Random,
  protocol: WireRequest["protocol"],
  host: string,
  path: string,
): Pick<WireRequest, "target" | "hosts"> {
  const second = (): string => random.pick([host, "a.example.com", "open.test", "", `x.${host}`, host.toUpperCase()]);
  if (protocol === "http2") return { target: path, hosts: random.chance(0.06) ? [host, second()] : [host] };
  const form = random.below(100);
  if (form < 12) {
    const scheme = random.pick(["http", "http", "http", "http", "HTTP", "https", "ws", "ftp"]);
    return {
      target: `${scheme}://${host}${random.chance(0.9) ? path : path.replace(/^\//, "")}`,
      hosts: random.chance(0.5) ? [host] : [second()],
    };
  }
  if (form < 14) return { target: path, hosts: [host, second()] };
  if (form < 15) return { target: path, hosts: [] };
  return { target: path, hosts: [host] };
}

function randomMethod(random: Random, aim: RandomApi, protocol: WireRequest["protocol"]): string {
  // Envoy's parser of HTTP/1 refuses all but the methods it knows.
  const kind = random.below(protocol === "http1" && random.chance(0.9) ? 85 : 100);
  if (kind < 60) return aim.methods.length > 0 ? random.pick(aim.methods) : random.pick(knownMethods);
  if (kind < 85) return random.pick(knownMethods);
  if (kind < 92 && aim.methods.length > 0) return changeCase(random, random.pick(aim.methods));
  return random.pick(oddMethods);
}

function randomHost(random: Random, aim: RandomApi): string {
  const configured = random.pick(aim.hosts);
  const names = ["a", "b", "x", "api", "aa", "a.b", "1", "x.y.z", "xn--bcher-kva", "a_b"];
  const oddNames = ["", "*", "-", ".", "a.", ".a", "%61", utf8("ü"), "l".repeat(63), "l".repeat(300), "a..b", "A"];
  const filling = random.chance(0.75) ? random.pick(names) : random.pick(oddNames);
  let host =
    configured === "*"
      ? random.pick(["elsewhere.org", "x", "com", "test", filling])
      : configured.replace(/^\*/, filling);
  for (let rounds = random.chance(0.6) ? 0 : 1 + random.below(2); rounds > 0; rounds--) host = changeHost(random, host);
  return host;
}

const hostChanges: ((host: string, random: Random) => string)[] = [
  (host, random) =>
    `${host}:${random.pick(["80", "443", "8080", "0", "99999", "", "abc", "8x", "+80", "80:80", "8080.", "080", "1".repeat(300), " 80", "80,80"])}`,
  (host, random) => `${host}${random.pick([".", "..", "...", ".:80", "..:80", ".:abc", ":80.", ":80.."])}`,
  (host, random) => `${random.pick([".", "..", "x.", "*.", "a.b.", "-.", "_.", ".x.", "%2e", "xn--."])}${host}`,
  (host) => host.toUpperCase(),
  changeCaseOf,
  (host) => host.replace(/^[^.]*\.?/, ""),
  (host) => host.replace(/^[^.]*/, ""),
  (host) => host.replace(".", ".."),
  (host) => host.replace(/\.([^.]*)$/, ".x.$1"),
  (host, random) => `${random.pick(["user@", "user:pass@", "@", "[", "//", " ", "\t", "http://"])}${host}`,
  (host, random) =>
    `${host}${random.pick(["]", " ", "\t", "/", "/x", "?", "#", "@", ",", ",a.example.com", ";", "%2e", "%00", "\x7f", "\\"])}`,
  (host) => `[${host}]:80`,
  (host, random) => `${"x".repeat(random.pick([60, 190, 240, 250, 253, 254, 255, 256, 300, 1000]))}.${host}`,
  (host, random) =>
    `${"x".repeat(Math.max(0, random.pick([252, 253, 254, 255, 256, 257]) - host.length))}${random.pick(["", "."])}${host}`,
  (host, random) => replaceAt(random, host, (c) => `%${hex(random, c)}`),
  (host) => host.replaceAll(".", utf8("。")),
  (host) => host.replaceAll("a", utf8("ａ")),
  (host, random) => replaceAt(random, host, () => random.pick(["", "_", "-", "*", ".", utf8("é"), "a"])),
  (_, random) =>
    random.pick([
      "",
      "*",
      ".",
      "..",
      ":",
      ":80",
      "[::1]",
      "[::1]:80",
      "[::]",
      "::1",
      "[::1].",
      "127.0.0.1",
      "localhost.",
      "*.example.com",
      "*.",
      " ",
    ]),
];

function changeHost(random: Random, host: string): string {
  return random.pick(hostChanges)(host, random);
}

function randomPath(random: Random, aim: RandomApi): string {
  let path: string = random.pick(aim.paths);
  if (random.chance(0.4))
    path += `${path === "/" ? "" : "/"}${random.pick(["x", "users", "A", "admin", "1/2", "a/b", "", "x.json", "v1"])}`;
  for (let rounds = random.chance(0.6) ? 0 : 1 + random.below(3); rounds > 0; rounds--)
    path = random.pick(pathChanges)(path, random);
  if (random.chance(0.15)) path += random.pick(["?", "?x=1", "?/a/b", "?a=/../b", "?%2e%2e", "?x", "?a#b", "#x"]);
  return path;
}

const insertions = [
  "/",
  "//",
  "/./",
  "/../",
  "/..",
  "/.",
  "%2e",
  "%2E%2e",
  "%2f",
  "%2F",
  "%5c",
  "\\",
  ";",
  ";x=1",
  "/;",
  "/..;/",
  "%00",
  "%20",
  "%",
  "%2",
  "%zz",
  "%25",
  "%252f",
  "%252e%252e",
  "%3f",
  "%23",
  "%3b",
  "?",
  "#",
  "*",
  "{id}",
  ":",
  "+",
  "~",
  "%c0%ae",
  "%c0%af",
  "\t",
  " ",
  "\x01",
  "|",
  "^",
  '"',
  "<",
  "&",
];
const pathChanges: ((path: string, random: Random) => string)[] = [
  (path) => path.toUpperCase(),
  (path) => path.toLowerCase(),
  changeCaseOf,
  (path, random) => replaceAt(random, path, (c) => `%${hex(random, c)}`),
  (path, random) => replaceAt(random, path, (c) => `%25${hex(random, c)}`),
  (path, random) => insertAt(random, path, random.pick(insertions)),
  (path, random) => insertAt(random, path, random.pick(insertions)),
  (path, random) => `${path}${random.pick(insertions)}`,
  (path, random) => `${path}/${random.pick(["x", "..", "../..", ".", "x/../y", "..;/x", "%2e%2e/x"])}`,
  (path, random) => `${random.pick(["/", "//", "/.", "/./", "/x/..", "/%2e", "", "\\", "x"])}${path}`,
  (path, random) => insertAt(random, path, utf8(random.pick(["ü", "ａ", "\u212a", "\u017f", "／", "\u0130"]))),
  (path) => path.replace(/\/[^/]*$/, ""),
  (path) => path.replace(/^\//, ""),
  (path, random) => `${path}${random.pick(["x", "-", ".b", "1", "xyz", "-x/y"])}`,
  (path, random) => path + "/x".repeat(random.pick([10, 47, 48, 49, 50, 60, 200])),
  (path, random) => path + "y".repeat(random.pick([1, 100, 2000, 9000])),
  (_, random) => random.pick(["/", "*", "", "/..", "/.", "//", "/%2f", "/*", "/?", "/#"]),
];

function changeCaseOf(text: string, random: Random): string {
  return replaceAt(random, text, (c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase()));
}

function changeCase(random: Random, text: string): string {
  return random.chance(0.5) ? text.toLowerCase() : changeCaseOf(text, random);
}

function replaceAt(random: Random, text: string, change: (character: string) => string): string {
  if (text === "") return text;
  const at = random.below(text.length);
  return text.slice(0, at) + change(text[at]!) + text.slice(at + 1);
}

function insertAt(random: Random, text: string, what: string): string {
  const at = random.below(text.length + 1);
  return text.slice(0, at) + what + text.slice(at);
}

function hex(random: Random, character: string): string {
  const digits = character.charCodeAt(0).toString(16).padStart(2, "0");
  return random.chance(0.5) ? digits.toUpperCase() : digits;
}

/** The request as a person reads it. */
export function requestText({ protocol, method, target, hosts, headers }: WireRequest): string {
  const lines =
    protocol === "http1"
      ? [`${method} ${target} HTTP/1.1`, ...hosts.map((host) => `Host: ${host}`)]
      : [
          `:method: ${method}`,
          `:path: ${target}`,
          ":scheme: http",
          ...hosts.map((host, index) => `${index === 0 ? ":authority" : "host"}: ${host}`),
        ];
  return [
    protocol === "http1" ? "HTTP/1.1" : "HTTP/2",
    ...[...lines, ...headers.map(([name, value]) => `${name}: ${value}`)].map((line) => `  ${JSON.stringify(line)}`),
  ].join("\n");
}
