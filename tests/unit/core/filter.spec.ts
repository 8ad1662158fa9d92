import { beginCallback } from "../../../assembly/abi/memory";
import { Config } from "../../../assembly/config/parse";
import { crc32 } from "../../../assembly/lib/crc32";
import { CONTINUE, PAUSE, decide } from "../../../assembly/request/decide";
import { AUTH_JWT, AUTH_NONE, AUTH_KEY_OR_JWT, CONSUMER, KEY } from "../../../assembly/wire/enums";
import {
  KEY_HAS_ADDRESSES,
  KEY_HAS_APIS,
  KEY_HAS_EXPIRES_AT_MS,
  KEY_HAS_NOT_BEFORE_MS,
  KEY_HAS_SCOPES,
  KEY_HAS_TIER,
} from "../../../assembly/wire/records";
import { Root } from "../../../assembly/plugin/instance";
import { sha256 } from "../../../assembly/lib/sha256";
import { Table } from "../../../assembly/snapshot/table";
import { at, rawBytes } from "../helpers";
import { configWith } from "./configs";
import { clock, forget, give, giveHeaders, giveProperty, startHost, takeCalls, withhold } from "./host";
import { runtimeOf, rootOf, tableOf } from "./tables";
import { ApiSpec, CorsSpec, Payload, RouteSpec, Writer, consumerBody, keyBody } from "./wire";

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** A well-formed key. */
function keyOf(name: string, environment: string = "default"): string {
  const body = "tg_" + environment + "_" + name.padStart(26, "0");
  const bytes = rawBytes(body);
  let sum = crc32(at(bytes), bytes.length);
  let check = "";
  for (let i = 0; i < 6; i++) {
    check = DIGITS.charAt(sum % 62) + check;
    sum /= 62;
  }
  return body + "_" + check;
}

function addKey(
  payload: Payload,
  key: string,
  id: string,
  consumer: u32,
  flags: u32 = 0,
  fields: Writer | null = null,
): void {
  const bytes = rawBytes(key);
  const digest = heap.alloc(32);
  sha256(at(bytes), bytes.length, digest);
  payload.record(KEY, keyBody(digest, id, consumer, flags, fields));
  heap.free(digest);
}

function records(): Payload {
  const echo = new ApiSpec(1, "echo");
  echo.scopes = ["read"];
  echo.routes = [new RouteSpec("/search", ["POST"], ["search"])];
  const free = new ApiSpec(2, "public");
  free.paths = ["/public"];
  free.methods = ["GET"];
  free.mode = AUTH_NONE;
  const tokens = new ApiSpec(3, "tokens");
  tokens.paths = ["/tokens"];
  tokens.mode = AUTH_JWT;
  const either = new ApiSpec(4, "either");
  either.paths = ["/either"];
  either.mode = AUTH_KEY_OR_JWT;
  const page = new ApiSpec(5, "page");
  page.paths = ["/page"];
  page.cors = new CorsSpec(["https://*.example.com"]);
  const payload = new Payload().api(echo).api(free).api(tokens).api(either).api(page);
  payload.tier(1, "bronze", ["read"]).tier(2, "silver", ["read", "search"], [1]).tier(3, "none", []);
  payload.record(CONSUMER, consumerBody(1, "acme", 1, ["org", "acme"]));
  payload.record(CONSUMER, consumerBody(2, "idle", 1, [], true));
  payload.consumer(3, "bare", 0).consumer(4, "lost", 99).consumer(5, "narrow", 2).consumer(6, "scopeless", 3);
  addKey(payload, keyOf("1"), "k-active", 1);
  addKey(payload, keyOf("2"), "k-suspended", 1, 1);
  addKey(payload, keyOf("3"), "k-revoked", 1, 2);
  addKey(payload, keyOf("4"), "k-from", 1, KEY_HAS_NOT_BEFORE_MS, new Writer().u64(10_000));
  addKey(payload, keyOf("5"), "k-until", 1, KEY_HAS_EXPIRES_AT_MS, new Writer().u64(20_000));
  addKey(payload, keyOf("6"), "k-idle", 2);
  addKey(payload, keyOf("7"), "k-bare", 3);
  addKey(payload, keyOf("8"), "k-lost", 4);
  addKey(payload, keyOf("9"), "k-orphan", 77);
  addKey(payload, keyOf("10"), "k-narrow", 5);
  addKey(payload, keyOf("11"), "k-scopeless", 6);
  addKey(payload, keyOf("12"), "k-api", 1, KEY_HAS_APIS, new Writer().ids([5]));
  addKey(payload, keyOf("13"), "k-scope", 5, KEY_HAS_SCOPES, new Writer().strs(["search"]));
  addKey(payload, keyOf("14"), "k-address", 1, KEY_HAS_ADDRESSES, new Writer().u8(1).u8(4).u8(8).u32(10));
  addKey(payload, keyOf("15"), "k-tier", 3, KEY_HAS_TIER, new Writer().u32(2));
  addKey(payload, "imported", "k-imported", 1);
  return payload;
}

const table: Table = tableOf(records());
let root: Root = rootOf(1, configWith());

function configure(members: string = ""): void {
  startHost();
  clock(15_000, 1000);
  giveProperty("source\0address", "10.1.2.3:4567");
  root = rootOf(
    1,
    configWith(',"keySources":[{"header":"x-api-key"},{"bearer":true},{"query":"key"}]' + members),
    null,
    table,
  );
  forget();
}

/** The reason of a refusal; "" when the request goes on. */
function ask(pairs: string[], mayHold: bool = true): string {
  beginCallback();
  giveHeaders("headers", pairs);
  forget();
  const result = decide(root, 7, mayHold, 0);
  const calls = takeCalls();
  const answered = calls.indexOf("answer ");
  expect(result).toBe(answered < 0 ? CONTINUE : PAUSE);
  lastCalls = calls;
  if (answered < 0) return "";
  const code = calls.indexOf("tollgate_", answered) + 9;
  return calls.substring(code, calls.indexOf(" ", code));
}

let lastCalls: string = "";

function get(path: string, key: string = "", method: string = "GET"): string {
  const pairs = [":method", method, ":path", path, ":authority", "a.example.com"];
  if (key.length > 0) {
    pairs.push("x-api-key");
    pairs.push(key);
  }
  return ask(pairs);
}

describe("the ladder", () => {
  beforeEach(() => {
    configure();
  });

  it("admits a caller, without key and with claims", () => {
    expect(get("/x", keyOf("1"))).toBe("");
    expect(lastCalls).toBe(
      "remove x-api-key\nadd x-tollgate-consumer: acme\nadd x-tollgate-tier: bronze\nadd x-tollgate-key-id: k-active\nadd x-tollgate-scopes: read\nadd x-tollgate-claim-org: acme",
    );
    expect(get("/x", "imported")).toBe("");
    expect(get("/either/x", keyOf("1"))).toBe("");
  });

  it("refuses on each rung by its reason", () => {
    expect(get("/a/../b", keyOf("1"))).toBe("path_invalid");
    expect(get("/public", "", "POST")).toBe("method_not_allowed");
    expect(get("/tokens", keyOf("1"))).toBe("auth_mode_unsupported");
    expect(get("/x")).toBe("key_missing");
    expect(get("/x", "k".repeat(257))).toBe("key_too_long");
    expect(get("/x", "tg_default_x")).toBe("key_malformed");
    expect(get("/x", keyOf("1", "staging"))).toBe("key_wrong_environment");
    expect(get("/x", keyOf("1", "defaults"))).toBe("key_wrong_environment");
    expect(get("/x", keyOf("99"))).toBe("unknown_key");
    expect(get("/x", "unknown")).toBe("unknown_key");
    expect(get("/x", keyOf("2"))).toBe("key_suspended");
    expect(get("/x", keyOf("3"))).toBe("key_revoked");
    expect(get("/x", keyOf("6"))).toBe("consumer_suspended");
    expect(get("/x", keyOf("7"))).toBe("tier_missing");
    expect(get("/x", keyOf("8"))).toBe("tier_missing");
    expect(get("/x", keyOf("9"))).toBe("unknown_key");
    expect(get("/either", keyOf("10"))).toBe("api_not_allowed");
    expect(get("/x", keyOf("12"))).toBe("api_not_allowed");
    expect(get("/x", keyOf("11"))).toBe("scope_missing");
    expect(get("/search", keyOf("1"), "POST")).toBe("scope_missing");
    expect(get("/x", keyOf("13"))).toBe("scope_missing", "a key's own scopes narrow the tier's");
  });

  it("admits with the scopes, tiers and APIs that a route or key needs", () => {
    expect(get("/search", keyOf("10"), "POST")).toBe("");
    expect(get("/search", keyOf("1"), "GET")).toBe("", "another method isn't the route");
    expect(get("/search", keyOf("15"), "POST")).toBe("", "the key's own tier");
    expect(get("/page", keyOf("12"))).toBe("");
  });

  it("takes several keys in one source for none", () => {
    expect(
      ask([":method", "GET", ":path", "/x", ":authority", "h", "x-api-key", keyOf("1"), "x-api-key", keyOf("2")]),
    ).toBe("multiple_keys");
    expect(
      ask([":method", "GET", ":path", "/x", ":authority", "h", "x-api-key", keyOf("1"), "x-api-key", keyOf("1")]),
    ).toBe("");
  });

  it("takes the first source that has a key, and clears the others", () => {
    expect(
      ask([":method", "GET", ":path", "/x?key=unknown", ":authority", "h", "authorization", "Bearer " + keyOf("1")]),
    ).toBe("");
    expect(lastCalls.startsWith("remove authorization\nreplace :path: /x\n")).toBeTruthy();
    expect(
      ask([":method", "GET", ":path", "/x?key=" + keyOf("1"), ":authority", "h", "authorization", "Bearer unknown"]),
    ).toBe("unknown_key");
  });

  it("takes keys at their times, to the millisecond", () => {
    clock(9_999, 0);
    expect(get("/x", keyOf("4"))).toBe("key_not_yet_valid");
    clock(10_000, 0);
    expect(get("/x", keyOf("4"))).toBe("");
    clock(19_999, 0);
    expect(get("/x", keyOf("5"))).toBe("");
    clock(20_000, 0);
    expect(get("/x", keyOf("5"))).toBe("key_expired");
  });

  it("takes keys from their addresses alone", () => {
    expect(get("/x", keyOf("14"))).toBe("");
    giveProperty("source\0address", "11.1.2.3:4567");
    expect(get("/x", keyOf("14"))).toBe("ip_not_allowed");
    giveProperty("source\0address", "[::ffff:10.9.9.9]:1");
    expect(get("/x", keyOf("14"))).toBe("");
    giveProperty("source\0address", "/var/run/pipe");
    expect(get("/x", keyOf("14"))).toBe("ip_not_allowed");
    startHost();
    expect(get("/x", keyOf("14"))).toBe("ip_not_allowed", "the host says nothing");
  });

  it("lets keyless APIs pass, without claims and without keys of ours", () => {
    expect(get("/public/x")).toBe("");
    expect(lastCalls).toBe("");
    expect(get("/public/x", keyOf("1"))).toBe("");
    expect(lastCalls).toBe("remove x-api-key");
    expect(get("/public/x", "theirs")).toBe("");
    expect(lastCalls).toBe("");
  });

  it("removes forged claims first, whatever comes then", () => {
    expect(ask([":method", "GET", ":path", "/public", ":authority", "h", "X_Tollgate_Tier", "gold"])).toBe("");
    expect(lastCalls).toBe("remove X_Tollgate_Tier");
    expect(ask([":method", "GET", ":path", "/x", ":authority", "h", "x-tollgate-tier", "gold"])).toBe("key_missing");
    expect(lastCalls.startsWith("remove x-tollgate-tier\nanswer 401")).toBeTruthy();
  });

  it("finds no API where there is none, and passes it on when told so", () => {
    root = rootOf(1, configWith(), null, tableOf(new Payload()));
    expect(get("/x", keyOf("1"))).toBe("unknown_api");
    root = rootOf(1, configWith(',"unknownApi": "allow"'), null, tableOf(new Payload()));
    expect(get("/x", "theirs")).toBe("");
    expect(lastCalls).toBe("");
    expect(get("/x", keyOf("1"))).toBe("");
    expect(lastCalls).toBe("remove x-api-key");
  });

  it("lets only a preflight that is allowed pass", () => {
    const preflight = [
      ":method",
      "OPTIONS",
      ":path",
      "/page",
      ":authority",
      "h",
      "origin",
      "https://a.example.com",
      "access-control-request-method",
      "PUT",
    ];
    expect(ask(preflight)).toBe("");
    preflight[7] = "https://evil.com/.example.com";
    expect(ask(preflight)).toBe("key_missing");
    preflight[7] = "https://a.example.com";
    preflight[3] = "/x";
    expect(ask(preflight)).toBe("key_missing", "this API has no rules");
    expect(ask([":method", "OPTIONS", ":path", "/page", ":authority", "h", "origin", "https://a.example.com"])).toBe(
      "key_missing",
      "no preflight",
    );
    expect(lastCalls.includes("access-control-allow-origin: https://a.example.com")).toBeTruthy();
  });

  it("refuses paths that mean another API when they are decoded", () => {
    expect(get("/public")).toBe("");
    expect(get("/%70ublic")).toBe("path_ambiguous");
    expect(get("/public;x/y")).toBe("path_ambiguous");
    expect(get("/publi%63", keyOf("1"))).toBe("path_ambiguous");
    expect(get("/x%20y", keyOf("1"))).toBe("");
    expect(get("/public/%2e%2e/x")).toBe("path_invalid");
    expect(get("/public/..;/x")).toBe("path_invalid");
  });

  it("takes odd paths for the root's API", () => {
    expect(ask([":method", "OPTIONS", ":path", "*", ":authority", "h", "x-api-key", keyOf("1")])).toBe("");
    expect(ask([":method", "CONNECT", ":authority", "h:443", "x-api-key", keyOf("1")])).toBe("");
    expect(get("*")).toBe("key_missing");
    expect(get("")).toBe("key_missing");
    expect(get("x")).toBe("key_missing");
    expect(get("xy")).toBe("path_invalid");
  });

  it("answers a request whose headers can't be read, and clears every source", () => {
    const broken = new Writer().u32(5);
    beginCallback();
    give("headers", broken.start, broken.bytes);
    expect(decide(root, 7, true, 0)).toBe(PAUSE);
    expect(
      takeCalls().startsWith(
        "remove x-api-key\nremove authorization\nremove proxy-authorization\nremove referer\nremove cookie\nreplace :path: /\nanswer 400 tollgate_headers_unreadable",
      ),
    ).toBeTruthy();
    withhold("headers");
    expect(decide(root, 7, true, 0)).toBe(PAUSE);
    expect(takeCalls().includes("answer 400 tollgate_headers_unreadable")).toBeTruthy();
  });
});

describe("while observing", () => {
  it("refuses nothing, takes keys out, and counts what it would have done", () => {
    configure(',"mode":"observe"');
    expect(get("/x")).toBe("");
    expect(lastCalls).toBe("");
    expect(get("/x", keyOf("3"))).toBe("");
    expect(lastCalls).toBe("remove x-api-key");
    expect(get("/x", keyOf("1"))).toBe("");
    expect(lastCalls.includes("add x-tollgate-consumer: acme")).toBeTruthy();
    root.meter.flush();
    expect(takeCalls()).toBe(
      "counter tollgate.default.admitted +1\ncounter tollgate.default.observed.key_missing +1\ncounter tollgate.default.observed.key_revoked +1",
    );
  });

  it("may forward keys, claims all the same", () => {
    configure(',"mode":"observe","observe":{"key":"keep"}');
    expect(get("/x", keyOf("3"))).toBe("");
    expect(lastCalls).toBe("");
    expect(get("/x", keyOf("1"))).toBe("");
    expect(lastCalls.startsWith("add x-tollgate-consumer: acme")).toBeTruthy();
  });
});

describe("without a table", () => {
  beforeEach(() => {
    configure();
  });

  it("an empty configuration refuses everything", () => {
    const empty = new Config();
    empty.empty = true;
    empty.claimPrefix = rawBytes("x-tollgate-");
    root = rootOf(1, empty);
    expect(get("/x", keyOf("1"))).toBe("not_configured");
  });

  it("a request is held first", () => {
    root = rootOf(1, configWith(), runtimeOf());
    beginCallback();
    giveHeaders("headers", [":method", "GET", ":path", "/x", ":authority", "h"]);
    expect(decide(root, 7, true, 0)).toBe(PAUSE);
    expect(takeCalls().includes("answer")).toBeFalsy();
  });

  it("a request is refused, or admitted and marked, as the configuration says", () => {
    root = rootOf(1, configWith(), runtimeOf());
    expect(ask([":method", "GET", ":path", "/x", ":authority", "h"], false)).toBe("not_ready");
    root.stale = true;
    expect(ask([":method", "GET", ":path", "/x", ":authority", "h"], false)).toBe("snapshot_stale");
    root = rootOf(1, configWith(',"failureMode":"open"'), runtimeOf());
    expect(
      ask([":method", "GET", ":path", "/x", ":authority", "h", "x-api-key", "k", "x-tollgate-tier", "gold"], false),
    ).toBe("");
    expect(lastCalls).toBe("remove x-tollgate-tier\nremove x-api-key\nadd x-tollgate-unchecked: not_ready");
  });
});
