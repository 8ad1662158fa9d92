import { IdIndex } from "../../../assembly/snapshot/recordIndex";
import { API } from "../../../assembly/wire/enums";
import { count, first, text, textBytes } from "../../../assembly/wire/lists";
import { apiCors, apiId, apiScopes, routePath, routeScopes } from "../../../assembly/wire/records";
import { validRecord } from "../../../assembly/wire/validate";
import { ANY_METHOD, isFoldable, methodBit, methodBits, takesMethod } from "../../../assembly/http/methods";
import {
  AMBIGUOUS,
  API_FOUND,
  HOST_REFUSED,
  METHOD_REFUSED,
  NO_API,
  Router,
  matchedApi,
  matchedRoute,
  matchedRouteIndex,
} from "../../../assembly/snapshot/router";
import { at, rawBytes } from "../helpers";
import { ApiSpec, CorsSpec, RouteSpec, Writer, textAt } from "./wire";

let apis = new IdIndex();
let router = new Router();

function begin(records: u32 = 16): void {
  apis.free();
  router.free();
  apis = new IdIndex();
  apis.reserve(records);
  while (!apis.clear()) {}
}

function add(api: ApiSpec): void {
  const body = api.body();
  expect(validRecord(API, body.start, body.at)).toBeTruthy("the test's own API");
  expect(apis.put(body.start)).toBeTruthy();
}

function build(): void {
  router = new Router();
  expect(router.build(apis)).toBeTruthy();
}

function simple(wireId: u32, host: string, path: string): ApiSpec {
  const api = new ApiSpec(wireId);
  api.hosts = [host];
  api.paths = [path];
  return api;
}

/** One API alone. */
function only(api: ApiSpec): void {
  begin();
  add(api);
  build();
}

function match(host: string, path: string, method: string = "GET"): u32 {
  const h = rawBytes(host);
  const p = rawBytes(path);
  const m = rawBytes(method);
  return router.match(at(h), h.length, at(p), p.length, methodBit(at(m), m.length), at(m), m.length);
}

/** The wire id of the API that takes the request, 0 for none, -1 when it refuses the method. */
function api(host: string, path: string, method: string = "GET"): i32 {
  const found = match(host, path, method);
  if (found == METHOD_REFUSED) return -1;
  return found == API_FOUND ? <i32>load<u32>(matchedApi) : 0;
}

/** The same of a path in lower case that stands for every case; -2 when several APIs or routes take it. */
function folded(host: string, path: string, method: string = "GET"): i32 {
  const h = rawBytes(host);
  const p = rawBytes(path);
  const m = rawBytes(method);
  const found = router.match(at(h), h.length, at(p), p.length, methodBit(at(m), m.length), at(m), m.length, true);
  if (found == AMBIGUOUS) return -2;
  if (found == METHOD_REFUSED) return -1;
  return found == API_FOUND ? <i32>load<u32>(matchedApi) : 0;
}

/** The route's path, "-" without one. */
function route(path: string, method: string = "GET"): string {
  expect(match("a.example.com", path, method)).toBe(API_FOUND);
  return matchedRoute == 0 ? "-" : textAt(text(routePath(matchedRoute)), textBytes(routePath(matchedRoute)));
}

function allowed(max: u32 = 512): string {
  const out = heap.alloc(512);
  return textAt(out, router.allowedMethods(out, max));
}

const STANDARD: StaticArray<string> = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT"];
const CUSTOM: StaticArray<string> = [
  "REPORT",
  "get",
  "GETS",
  "GE",
  "PURGE",
  "M-SEARCH",
  "",
  "OPTIONSX",
  "CONNECTED",
  "PUSH",
  "HEAP",
  "TRACK",
  "DELETF",
];

describe("methods", () => {
  it("of the standard have a bit each, others have none", () => {
    let all: u32 = 0;
    for (let i = 0; i < STANDARD.length; i++) {
      const m = rawBytes(STANDARD[i]);
      const bit = methodBit(at(m), m.length);
      expect(popcnt(bit)).toBe(1, STANDARD[i]);
      expect(all & bit).toBe(0, STANDARD[i]);
      all |= bit;
    }
    for (let i = 0; i < CUSTOM.length; i++) {
      const m = rawBytes(CUSTOM[i]);
      expect(methodBit(at(m), m.length)).toBe(0, CUSTOM[i]);
    }
  });

  it("that case mapping could change are told", () => {
    const changed: StaticArray<string> = [
      "get",
      "Get",
      "GEt",
      "post",
      "PoST",
      "pURGE",
      "x",
      "PO\xc5\xbfT",
      "OPT\xc4\xb1ONS",
    ];
    for (let i = 0; i < changed.length; i++) {
      const m = rawBytes(changed[i]);
      expect(isFoldable(at(m), m.length)).toBeTruthy(changed[i]);
    }
    const fixed: StaticArray<string> = ["GET", "PURGE", "M-SEARCH", "X_1", "", "!#$%&'*+-.^_`|~"];
    for (let i = 0; i < fixed.length; i++) {
      const m = rawBytes(fixed[i]);
      expect(isFoldable(at(m), m.length)).toBeFalsy(fixed[i]);
    }
  });

  it("in a list: none is any, GET is HEAD as well, HEAD isn't GET", () => {
    expect(methodBits(new Writer().strs([]).start)).toBe(ANY_METHOD);
    const get = new Writer().strs(["GET"]).start;
    const head = new Writer().strs(["HEAD"]).start;
    const both = methodBits(get);
    expect(both & methodBits(head)).toBe(methodBits(head));
    expect(methodBits(head) & ~both).toBe(0);
    expect(both).not.toBe(methodBits(head));
    expect(methodBits(new Writer().strs(["REPORT"]).start)).toBe(0);
  });

  it("are taken by a list that has them", () => {
    const list = new Writer().strs(["GET", "REPORT"]).start;
    const bits = methodBits(list);
    const taken: StaticArray<string> = ["GET", "HEAD", "REPORT"];
    const refused: StaticArray<string> = ["POST", "OPTIONS", "get", "report", "REPORTS", "REPOR", ""];
    for (let i = 0; i < taken.length; i++) {
      const m = rawBytes(taken[i]);
      expect(takesMethod(bits, list, methodBit(at(m), m.length), at(m), m.length)).toBeTruthy(taken[i]);
    }
    for (let i = 0; i < refused.length; i++) {
      const m = rawBytes(refused[i]);
      expect(takesMethod(bits, list, methodBit(at(m), m.length), at(m), m.length)).toBeFalsy(refused[i]);
    }
  });
});

describe("an API's record", () => {
  it("gives its id, scopes and CORS rules", () => {
    const one = new ApiSpec(1, "orders");
    one.hosts = ["a", "b"];
    one.paths = ["/a", "/b", "/c"];
    one.methods = ["GET"];
    one.scopes = ["read", "write"];
    one.routes = [new RouteSpec("/a/x", ["POST"], ["s"]), new RouteSpec("/a/y")];
    const plain = one.body().start;
    expect(textAt(text(apiId(plain)), textBytes(apiId(plain)))).toBe("orders");
    expect(count(apiScopes(plain))).toBe(2);
    expect(textAt(text(first(apiScopes(plain))), 4)).toBe("read");
    expect(apiCors(plain)).toBe(0);
    one.cors = new CorsSpec(["https://x.example.com", "*"]);
    const cors = apiCors(one.body().start);
    expect(count(cors)).toBe(2);
    expect(textAt(text(first(cors)), textBytes(first(cors)))).toBe("https://x.example.com");
  });
});

describe("hosts", () => {
  it("are matched exactly, then by the longest wildcard, then by any", () => {
    begin();
    add(simple(1, "api.example.com", "/"));
    add(simple(2, "*.example.com", "/"));
    add(simple(3, "*.a.example.com", "/"));
    add(simple(4, "*", "/"));
    build();
    expect(api("api.example.com", "/")).toBe(1);
    expect(api("b.example.com", "/")).toBe(2);
    expect(api("b.api.example.com", "/")).toBe(2);
    expect(api("a.example.com", "/")).toBe(2);
    expect(api("x.a.example.com", "/")).toBe(3);
    expect(api("y.x.a.example.com", "/")).toBe(3);
    expect(api("example.com", "/")).toBe(4);
    expect(api("xexample.com", "/")).toBe(4);
    expect(api("api.example.com.evil.org", "/")).toBe(4);
    expect(api("com", "/")).toBe(4);
    expect(api("", "/")).toBe(4);
  });

  it("without any wildcard match nothing else", () => {
    only(simple(1, "api.example.com", "/"));
    const others: StaticArray<string> = [
      "",
      "example.com",
      "xapi.example.com",
      "api.example.co",
      "api.example.comm",
      "*",
      "*.example.com",
      ".",
      ":80",
      "api.example.com/",
      "api_example.com",
    ];
    for (let i = 0; i < others.length; i++) expect(api(others[i], "/")).toBe(0, others[i]);
  });

  it("are matched without port and capitals, as Envoy's routes match them", () => {
    begin();
    add(simple(1, "api.example.com", "/"));
    add(simple(2, "*.example.org", "/"));
    build();
    const same: StaticArray<string> = [
      "api.example.com",
      "API.Example.COM",
      "api.example.com:443",
      "api.example.com:",
      "Api.example.com:65535",
    ];
    for (let i = 0; i < same.length; i++) expect(api(same[i], "/")).toBe(1, same[i]);
    expect(api("B.EXAMPLE.ORG:10000", "/")).toBe(2);
  });

  it("that readers could take for different hosts are refused, also where an API takes any host", () => {
    begin();
    add(simple(1, "api.example.com", "/"));
    add(simple(2, "*.example.com", "/"));
    add(simple(3, "[2001:db8::1]", "/"));
    add(simple(4, "*", "/"));
    build();
    const odd: StaticArray<string> = [
      ".example.com",
      ".example.com:80",
      "..example.com",
      "a..example.com",
      ".",
      "..",
      ".:80",
      "api.example.com.",
      "api.example.com..",
      "api.example.com.:80",
      "b.example.com.",
      "api.example.com:80a",
      "api.example.com:+1",
      "api.example.com:80:80",
      "api.example.com:80.example.com",
      "api.example.com:x",
      "::1",
      "2001:db8::1",
      "[2001:db8::1",
      "2001:db8::1]",
      "[2001:db8::1]x",
      "[2001:db8::1]:x",
      "[2001:db8::1%25eth0]",
      "[api.example.com]",
      "[]x",
      "[",
      "]",
      "user@api.example.com",
      "api.example.com,b.example.com",
      "api.example.com/",
      "api%2eexample.com",
      "api example.com",
      "*.example.com",
      "*",
      "api.exa\xc3\xa4mple.com",
      "api\\example.com",
      "api.example.com#",
      "~",
      "a".repeat(256),
      "a".repeat(250) + ".example.com:80",
      "x".repeat(70000),
    ];
    for (let i = 0; i < odd.length; i++) expect(match(odd[i], "/")).toBe(HOST_REFUSED, odd[i]);
    const plain: StaticArray<string> = [
      "",
      ":80",
      "example.com",
      "other_host-1.test:8080",
      "a".repeat(255),
      "[::]",
      "[2001:DB8::2]:443",
      "10.0.0.1",
    ];
    for (let i = 0; i < plain.length; i++) expect(api(plain[i], "/")).toBe(4, plain[i]);
  });

  it("don't matter, whatever they are, where no API names one", () => {
    only(simple(1, "*", "/"));
    const any: StaticArray<string> = ["", ".", ".example.com", "a..b", "user@host", "x".repeat(70000)];
    for (let i = 0; i < any.length; i++) expect(api(any[i], "/")).toBe(1, any[i]);
  });

  it("may be addresses", () => {
    begin();
    add(simple(1, "10.0.0.1", "/"));
    add(simple(2, "[2001:db8::1]", "/"));
    build();
    expect(api("10.0.0.1", "/")).toBe(1);
    expect(api("10.0.0.1:8080", "/")).toBe(1);
    expect(api("10.0.0.11", "/")).toBe(0);
    expect(api("[2001:DB8::1]", "/")).toBe(2);
    expect(api("[2001:db8::1]:8080", "/")).toBe(2);
    expect(api("[2001:db8::11]", "/")).toBe(0);
  });

  it("may be as long as a name can be", () => {
    const label = "a".repeat(250);
    only(simple(1, label + ".com", "/"));
    expect(api(label + ".com", "/")).toBe(1);
    expect(api(label + ".com:1", "/")).toBe(1);
    expect(api(label + ".com:" + "1".repeat(300), "/")).toBe(1);
    expect(api("a" + label + ".com", "/")).toBe(0);
  });

  it("are left for a wider one when they have no API at the path", () => {
    begin();
    add(simple(1, "api.example.com", "/orders"));
    add(simple(2, "*.example.com", "/orders/old"));
    add(simple(3, "*.example.com", "/users"));
    add(simple(4, "*", "/"));
    build();
    expect(api("api.example.com", "/orders/old/7")).toBe(1, "the host comes before the path");
    expect(api("api.example.com", "/users")).toBe(3);
    expect(api("api.example.com", "/other")).toBe(4);
  });

  it("of several APIs may be the same", () => {
    begin();
    add(simple(1, "api.example.com", "/a"));
    add(simple(2, "api.example.com", "/b"));
    build();
    expect(api("api.example.com", "/a")).toBe(1);
    expect(api("api.example.com", "/b")).toBe(2);
  });

  it("of none leave every request without API", () => {
    begin();
    build();
    expect(api("api.example.com", "/")).toBe(0);
    const nowhere = new ApiSpec(1);
    nowhere.hosts = [];
    only(nowhere);
    expect(api("api.example.com", "/")).toBe(0);
    expect(api("", "/")).toBe(0);
  });
});

describe("paths", () => {
  it("are prefixes on segment borders", () => {
    only(simple(1, "*", "/orders"));
    const inside: StaticArray<string> = ["/orders", "/orders/", "/orders/7", "/orders/7/items/3/"];
    const outside: StaticArray<string> = [
      "/",
      "/order",
      "/orders7",
      "/ordersx/orders",
      "/x/orders",
      "/Orders",
      "",
      "orders",
      "*",
    ];
    for (let i = 0; i < inside.length; i++) expect(api("a", inside[i])).toBe(1, inside[i]);
    for (let i = 0; i < outside.length; i++) expect(api("a", outside[i])).toBe(0, outside[i]);
  });

  it("of the root take every path", () => {
    only(simple(1, "*", "/"));
    const all: StaticArray<string> = ["/", "/a", "/a/b/", "", "*"];
    for (let i = 0; i < all.length; i++) expect(api("a", all[i])).toBe(1, all[i]);
  });

  it("that are longer win, in whatever order they came", () => {
    for (let turn = 0; turn < 2; turn++) {
      begin();
      const paths: StaticArray<string> = ["/", "/a", "/a/b", "/a/b/c/d"];
      for (let i = 0; i < 4; i++) {
        const n = turn == 0 ? i : 3 - i;
        add(simple(n + 1, "*", paths[n]));
      }
      build();
      expect(api("h", "/x")).toBe(1);
      expect(api("h", "/a")).toBe(2);
      expect(api("h", "/ab")).toBe(1);
      expect(api("h", "/a/bc")).toBe(2);
      expect(api("h", "/a/b")).toBe(3);
      expect(api("h", "/a/b/c")).toBe(3);
      expect(api("h", "/a/b/c/d/e")).toBe(4);
      expect(api("h", "/a/b/c/de")).toBe(3);
    }
  });

  it("of several lead to one API", () => {
    const one = simple(1, "*", "/v1");
    one.paths = ["/v1", "/v2", "/legacy/v0"];
    only(one);
    expect(api("a", "/v1/x")).toBe(1);
    expect(api("a", "/v2")).toBe(1);
    expect(api("a", "/legacy/v0/x")).toBe(1);
    expect(api("a", "/legacy")).toBe(0);
  });

  it("may be 48 segments deep, and requests far deeper", () => {
    begin();
    add(simple(1, "*", "/a".repeat(48)));
    add(simple(2, "*", "/a"));
    build();
    expect(api("h", "/a".repeat(47))).toBe(2);
    expect(api("h", "/a".repeat(48))).toBe(1);
    expect(api("h", "/a".repeat(49))).toBe(1);
    expect(api("h", "/a".repeat(30000))).toBe(1);
    expect(api("h", "/a".repeat(47) + "/b")).toBe(2);
    expect(api("h", "/".repeat(30000))).toBe(0);
  });

  it("don't match in part, whatever lies behind the request's path", () => {
    only(simple(1, "*", "/orders"));
    const bytes = rawBytes("/orders");
    const host = rawBytes("a");
    const method = rawBytes("GET");
    for (let n = 0; n < 7; n++) expect(router.match(at(host), 1, at(bytes), n, 1, at(method), 3)).toBe(NO_API);
    expect(router.match(at(host), 1, at(bytes), 7, 1, at(method), 3)).toBe(API_FOUND);
  });

  it("with any bytes are compared byte by byte", () => {
    const one = simple(1, "*", "/naïve/ü");
    only(one);
    expect(api("a", "/na\xc3\xafve/\xc3\xbc/x")).toBe(1);
    expect(api("a", "/na\xc3\xafve/\xc3\xbd")).toBe(0);
  });
});

describe("folded paths", () => {
  it("are compared without regard to case", () => {
    begin();
    add(simple(1, "*", "/"));
    add(simple(2, "*", "/Admin/Users"));
    add(simple(3, "*.example.org", "/plain"));
    build();
    expect(router.capitals).toBeTruthy();
    expect(folded("a", "/admin/users")).toBe(2);
    expect(folded("a", "/admin/users/x")).toBe(2);
    expect(folded("a", "/admin")).toBe(1);
    expect(folded("a.example.org", "/plain/x")).toBe(3);
    expect(folded("a.example.org", "/admin/users")).toBe(2);
    expect(api("a", "/admin/users")).toBe(1, "as they stand");
    expect(api("a", "/Admin/Users")).toBe(2, "as they stand");
  });

  it("need no tables of their own while no path has a capital", () => {
    const one = simple(1, "*", "/admin");
    one.routes = [new RouteSpec("/admin/x")];
    only(one);
    expect(router.capitals).toBeFalsy();
    expect(folded("a", "/admin/x")).toBe(1);
    expect(matchedRoute).not.toBe(0);
    one.routes = [new RouteSpec("/admin/X")];
    only(one);
    expect(router.capitals).toBeTruthy("a route's");
    expect(folded("a", "/admin/x")).toBe(1);
    expect(matchedRoute).not.toBe(0);
  });

  it("that belong to several APIs or routes are ambiguous, unless the method tells them apart", () => {
    begin();
    const upper = simple(1, "*", "/Admin");
    upper.methods = ["GET"];
    const lower = simple(2, "*", "/admin");
    lower.methods = ["GET", "POST"];
    const other = simple(3, "*", "/x");
    other.paths = ["/x", "/X"];
    other.routes = [
      new RouteSpec("/x/a", ["GET"]),
      new RouteSpec("/x/A"),
      new RouteSpec("/x/B", ["GET"]),
      new RouteSpec("/x/b", ["POST"]),
    ];
    add(upper);
    add(lower);
    add(other);
    build();
    expect(folded("a", "/admin")).toBe(-2);
    expect(folded("a", "/admin/y", "HEAD")).toBe(-2);
    expect(folded("a", "/admin", "POST")).toBe(2);
    expect(folded("a", "/admin", "PUT")).toBe(-1);
    expect(folded("a", "/x")).toBe(3, "two paths of one API");
    expect(folded("a", "/x/a")).toBe(-2, "two routes");
    expect(folded("a", "/x/a", "POST")).toBe(3);
    expect(folded("a", "/x/b")).toBe(3);
    expect(matchedRouteIndex).toBe(2);
    expect(folded("a", "/x/b", "POST")).toBe(3);
    expect(matchedRouteIndex).toBe(3);
  });
});

describe("an API's methods", () => {
  it("refuse at the longest path, and shorter ones aren't asked", () => {
    begin();
    const open = simple(1, "*", "/");
    open.mode = 0;
    add(open);
    const keyed = simple(2, "*", "/orders");
    keyed.methods = ["GET"];
    add(keyed);
    build();
    expect(api("a", "/orders", "GET")).toBe(2);
    expect(api("a", "/orders/1", "HEAD")).toBe(2);
    expect(api("a", "/orders/1", "POST")).toBe(-1);
    expect(api("a", "/orders/1", "REPORT")).toBe(-1);
    expect(api("a", "/other", "POST")).toBe(1);
  });

  it("refuse at the most specific host, and wider ones aren't asked", () => {
    begin();
    const narrow = simple(1, "api.example.com", "/orders");
    narrow.methods = ["GET"];
    add(narrow);
    add(simple(2, "*.example.com", "/orders"));
    add(simple(3, "*", "/"));
    build();
    expect(api("api.example.com", "/orders", "POST")).toBe(-1);
    expect(api("b.example.com", "/orders", "POST")).toBe(2);
  });

  it("choose between APIs of the same path", () => {
    begin();
    const read = simple(1, "*", "/orders");
    read.methods = ["GET"];
    add(read);
    const write = simple(2, "*", "/orders");
    write.methods = ["POST", "PUT", "REPORT"];
    add(write);
    build();
    expect(api("a", "/orders", "GET")).toBe(1);
    expect(api("a", "/orders", "HEAD")).toBe(1);
    expect(api("a", "/orders", "PUT")).toBe(2);
    expect(api("a", "/orders", "REPORT")).toBe(2);
    expect(api("a", "/orders", "DELETE")).toBe(-1);
    const both = allowed();
    expect(both == "GET, HEAD, POST, PUT, REPORT" || both == "POST, PUT, REPORT, GET, HEAD").toBeTruthy(both);
  });

  it("are told after a refusal, as far as there is room, and only then", () => {
    const one = simple(1, "*", "/");
    one.methods = ["GET", "DELETE", "PATCH"];
    only(one);
    expect(api("a", "/", "POST")).toBe(-1);
    expect(allowed()).toBe("GET, HEAD, DELETE, PATCH");
    expect(allowed(23)).toBe("GET, HEAD, DELETE");
    expect(allowed(22)).toBe("GET, HEAD");
    expect(allowed(10)).toBe("");
    expect(allowed(0)).toBe("");
    expect(api("a", "/", "GET")).toBe(1);
    expect(allowed()).toBe("");
  });

  it("of none are any", () => {
    only(simple(1, "*", "/"));
    for (let i = 0; i < STANDARD.length; i++) expect(api("a", "/", STANDARD[i])).toBe(1);
    for (let i = 0; i < CUSTOM.length; i++) expect(api("a", "/", CUSTOM[i])).toBe(1);
  });
});

describe("routes", () => {
  it("are found by the longest path that takes the method", () => {
    const one = simple(1, "*", "/");
    one.routes = [
      new RouteSpec("/"),
      new RouteSpec("/search", ["POST"], ["search"]),
      new RouteSpec("/search/fast"),
      new RouteSpec("/search", ["GET"]),
    ];
    only(one);
    expect(route("/")).toBe("/");
    expect(route("/other/x")).toBe("/");
    expect(route("/search/x", "POST")).toBe("/search");
    expect(matchedRouteIndex).toBe(1);
    expect(count(routeScopes(matchedRoute))).toBe(1);
    expect(route("/search/x", "GET")).toBe("/search");
    expect(matchedRouteIndex).toBe(3);
    expect(route("/search/x", "HEAD")).toBe("/search");
    expect(matchedRouteIndex).toBe(3);
    expect(route("/search/x", "PUT")).toBe("/", "the next shorter one that takes it");
    expect(matchedRouteIndex).toBe(0);
    expect(route("/search/fast", "PUT")).toBe("/search/fast");
    expect(route("/searching", "POST")).toBe("/");
  });

  it("may be none", () => {
    const one = simple(1, "*", "/");
    one.routes = [new RouteSpec("/search", ["POST"])];
    only(one);
    expect(route("/")).toBe("-");
    expect(route("/search", "GET")).toBe("-");
    expect(route("/search", "POST")).toBe("/search");
    expect(route("/other", "POST")).toBe("-", "what the request before found is forgotten");
    only(simple(1, "*", "/"));
    expect(route("/search", "POST")).toBe("-");
  });

  it("of the same path and method: the first counts", () => {
    const one = simple(1, "*", "/");
    one.routes = [new RouteSpec("/a", ["GET"]), new RouteSpec("/a"), new RouteSpec("/a", ["GET"])];
    only(one);
    expect(route("/a")).toBe("/a");
    expect(matchedRouteIndex).toBe(0);
    expect(route("/a", "PUT")).toBe("/a");
    expect(matchedRouteIndex).toBe(1);
  });

  it("belong to their API alone, whatever the ids are", () => {
    const wireIds: StaticArray<u32> = [5, 0x80000005, 1, 0x80000001, 0xffffffff, 0x7fffffff];
    for (let i = 0; i < wireIds.length; i += 2) {
      begin();
      const a = simple(wireIds[i], "a.example.com", "/");
      a.routes = [new RouteSpec("/only-a", [], ["a"])];
      const b = simple(wireIds[i + 1], "b.example.com", "/");
      b.routes = [new RouteSpec("/only-b", [], ["b"])];
      add(a);
      add(b);
      build();
      expect(match("a.example.com", "/only-a")).toBe(API_FOUND);
      expect(matchedRoute).not.toBe(0);
      expect(match("a.example.com", "/only-b")).toBe(API_FOUND);
      expect(matchedRoute).toBe(0);
      expect(match("b.example.com", "/only-b")).toBe(API_FOUND);
      expect(matchedRoute).not.toBe(0);
      expect(match("b.example.com", "/only-a")).toBe(API_FOUND);
      expect(matchedRoute).toBe(0);
    }
  });
});

describe("a thousand APIs", () => {
  it("are all found, each by its own host and path", () => {
    begin(1000);
    for (let i: u32 = 1; i <= 1000; i++) {
      const one = new ApiSpec(i);
      one.hosts = ["h" + (i % 50).toString() + ".example.com"];
      one.paths = ["/api/" + i.toString(), "/v2/" + i.toString() + "/x"];
      one.routes = [new RouteSpec("/api/" + i.toString() + "/route")];
      add(one);
    }
    build();
    let wrong = 0;
    for (let i: u32 = 1; i <= 1000; i++) {
      const host = "h" + (i % 50).toString() + ".example.com";
      const n = i.toString();
      if (api(host, "/api/" + n + "/7") != i || matchedRoute != 0) wrong++;
      if (api(host, "/api/" + n + "/route/8") != i || matchedRoute == 0) wrong++;
      if (api(host, "/v2/" + n + "/x") != i || api(host, "/v2/" + n) != 0) wrong++;
      if (api("h" + ((i + 1) % 50).toString() + ".example.com", "/api/" + n) != 0) wrong++;
    }
    expect(wrong).toBe(0);
  });
});

describe("a router", () => {
  it("that was not built, or is freed, finds nothing", () => {
    router = new Router();
    expect(api("a", "/")).toBe(0);
    only(simple(1, "*", "/"));
    router.free();
    expect(api("a", "/")).toBe(0);
  });
});
