/** Odd spellings of the backends' paths and methods: every change alone, many in pairs. */
import type { Random } from "../differential/random.ts";
import type { WireRequest } from "../differential/requests.ts";

const utf8 = (text: string): string => Buffer.from(text).toString("latin1");
const escape = (character: string, digits: "lower" | "upper" = "lower"): string => {
  const code = character.charCodeAt(0).toString(16).padStart(2, "0");
  return `%${digits === "lower" ? code : code.toUpperCase()}`;
};

/** Of a path `/first/rest`: what a backend may take for the same. */
const changes: ((path: string) => string)[] = [
  (path) => path.toUpperCase(),
  (path) => path.replace(/^\/./, (start) => start.toUpperCase()),
  (path) => path.replace(/.$/, (end) => end.toUpperCase()),
  ...[1, 2, 3].map((at) => (path: string) => path.slice(0, at) + escape(path[at] ?? "x") + path.slice(at + 1)),
  (path) => path.slice(0, 1) + escape(path[1]!.toUpperCase(), "upper") + path.slice(2),
  (path) => `/${[...path.slice(1)].map((c) => (c === "/" ? c : escape(c))).join("")}`,
  (path) => path.slice(0, 1) + escape(path[1]!).replace("%", "%25") + path.slice(2),
  (path) => path.slice(0, 1) + escape(path[1]!).replace(/^%(.)(.)/, "%%3$1%3$2") + path.slice(2),
  (path) => `/x/..${path}`,
  (path) => `/x/%2e%2e${path}`,
  (path) => `/x/.%2E${path}`,
  (path) => `/x/..;${path}`,
  (path) => `/x/..;a=b${path}`,
  (path) => `/x/..%3b${path}`,
  (path) => `/x%2f..${path}`,
  (path) => `/x/..%2f${path.slice(1)}`,
  (path) => `/x/..%5c${path.slice(1)}`,
  (path) => `/x\\..\\${path.slice(1)}`,
  (path) => `/x/%252e%252e${path}`,
  (path) => `/.${path}`,
  (path) => `/%2e${path}`,
  (path) => `/;${path}`,
  (path) => `/;a=b${path}`,
  (path) => `/${path}`,
  (path) => `//${path}`,
  (path) => `\\${path.slice(1)}`,
  (path) => `/\\${path.slice(1)}`,
  (path) => `/%2f${path.slice(1)}`,
  (path) => `/%5c${path.slice(1)}`,
  (path) => path.slice(1),
  ...[
    "/",
    "//",
    "/.",
    "/..",
    "/../",
    "/x/..",
    ".",
    "..",
    ";",
    ";x",
    ";x=1/y",
    "%3b",
    "%3bx=1",
    "%20",
    "%09",
    "%00",
    "%0a",
    "%0d%0a",
    "%2e",
    "%2f",
    "%5c",
    "%3f",
    "%3fx=1",
    "%3Fx",
    "%23",
    "%23x",
    "%26",
    "%3d",
    "+",
    "%2b",
    "%c0%af",
    "%c0%ae",
    "%e2%81%84",
    "?",
    "?x=1",
    "?/x",
    "#",
    "#x",
    "*",
    "~",
    "!",
    "$",
    "'",
    ",",
    ":",
    ":80",
    "@",
    "|",
    "%",
    "%2",
    "%zz",
    "%u002f",
    "\t",
    " ",
    "\x7f",
    "\x01",
    "&",
    "&x",
    "=",
    "/*",
    ".json",
    ".html",
    ".php",
    "/index.html",
    "/%2e",
    "/%2e%2e",
    "/;",
    "/;x",
  ].map((ending) => (path: string) => path + ending),
  ...[
    "%3f",
    "%23",
    "%3b",
    ";",
    "%20",
    "%00",
    "%2f",
    "%5c",
    "%09",
    "%0a",
    "?",
    "#",
    "//",
    "/./",
    "/x/../",
    "%2e",
    "\\",
  ].map(
    (middle) => (path: string) =>
      path.replace(/\/(?=[^/]*$)/, (slash) => (path.lastIndexOf("/") === 0 ? `${slash}` : `${middle}${slash}`)),
  ),
  (path) => path.replace("i", utf8("\u0131")).replace("s", utf8("\u017f")),
  (path) => path.replace("i", utf8("\u0130")),
  (path) => path.replace("a", utf8("ａ")),
  (path) => path.replace("i", "%c4%b1").replace("s", "%c5%bf"),
  (path) => path.replace("i", "%C4%B0"),
  (path) => path.replace("a", "%ef%bd%81"),
  (path) => path.replace("m", "\xad" + "m"),
  (path) => path.replaceAll("/", utf8("／")).replace(utf8("／"), "/"),
  (path) => path.replace(/^\//, utf8("／")),
  (path) => `http://api.example.com${path}`,
  (path) => `http://api.example.com/${path}`,
  (path) => `http://api.example.com/x/..${path}`,
  (path) => `*${path}`,
  (path) => path + "/x".repeat(60),
];

const bases = ["/admin", "/admin/users", "/items", "/items/1", "/reports/export"];
const methodsOf: Record<string, readonly string[]> = {
  "/admin": ["GET", "POST", "get", "HEAD", "OPTIONS", "PATCH", "PROPFIND", "X"],
  "/items": [
    "POST",
    "PUT",
    "DELETE",
    "post",
    "Post",
    "pOST",
    "put",
    "delete",
    "Delete",
    "GET",
    "get",
    "head",
    "HEAD",
    "OPTIONS",
    "PATCH",
  ],
  "/reports": ["POST", "post", "Post", "posT", "PUT", "GET"],
};

/** `reader`: sent with the key that has no scope for the export, since that path asks for one. */
export interface CorpusRequest {
  request: WireRequest;
  reader: boolean;
}

/** Every change of every path once, with methods by turns, and `pairs` random pairs of changes; on HTTP/1 and HTTP/2. */
export function corpus(random: Random, pairs: number, readerKey: string): CorpusRequest[] {
  const found: CorpusRequest[] = [];
  const add = (base: string, path: string, method: string, protocol: WireRequest["protocol"]): void => {
    const reader = base.startsWith("/reports");
    found.push({
      reader,
      request: {
        protocol,
        method,
        target: path,
        hosts: ["api.example.com"],
        headers: reader ? [["x-api-key", readerKey]] : [],
      },
    });
  };
  let turn = 0;
  for (const base of bases) {
    const methods = methodsOf[`/${base.split("/")[1]}`]!;
    for (const method of methods) for (const protocol of ["http1", "http2"] as const) add(base, base, method, protocol);
    for (const change of changes)
      for (const protocol of ["http1", "http2"] as const) {
        // The first is the one that the handler is for.
        add(base, change(base), methods[0]!, protocol);
        add(base, change(base), methods[++turn % methods.length]!, protocol);
      }
    for (let n = 0; n < pairs / bases.length; n++) {
      const path = random.pick(changes)(random.pick(changes)(base));
      add(base, path, random.chance(0.5) ? methods[0]! : random.pick(methods), random.chance(0.5) ? "http1" : "http2");
    }
  }
  return found;
}
