import { MAP_REQUEST_HEADERS, headerPairs, value, valueBytes } from "../../../assembly/abi/host";
import { beginCallback } from "../../../assembly/abi/memory";
import {
  hasScope,
  removeForged,
  removeForgedTrailers,
  setClaims,
  setUnchecked,
} from "../../../assembly/request/identityHeaders";
import { Config } from "../../../assembly/config/parse";
import { HeaderPlan } from "../../../assembly/http/headerScan";
import { ascii } from "../../../assembly/lib/text";
import { configWith } from "./configs";
import { give, giveHeaders, pairsOf, startHost, takeCalls, withhold } from "./host";
import { Writer, consumerBody, digestOf, keyBody, tierBody } from "./wire";

let config: Config = configWith();
let plan = new HeaderPlan(config);

function configure(members: string = ""): void {
  config = configWith(members);
  plan = new HeaderPlan(config);
}

function begin(): void {
  startHost();
  beginCallback();
  configure();
}

/** What is added for a caller. */
function claimsOf(consumer: Writer, tier: Writer, keyScopes: string[] | null = null): string {
  const scopes: usize = keyScopes == null ? 0 : new Writer().strs(keyScopes).start;
  setClaims(config, keyBody(digestOf(1), "acme-1", 1).start, consumer.start, tier.start, scopes);
  return takeCalls();
}

const ACME = (): Writer => consumerBody(1, "acme", 1);

function scopesOf(tier: string[], key: string[] | null): string {
  const all = claimsOf(ACME(), tierBody(1, "t", tier), key).split("\n");
  for (let i = 0; i < all.length; i++) if (all[i].startsWith("add x-tollgate-scopes: ")) return all[i].substring(23);
  return "-";
}

describe("forged claims", () => {
  beforeEach(begin);

  it("are removed by the names that they came with", () => {
    giveHeaders("headers", [
      "x-tollgate-tier",
      "gold",
      "accept",
      "*/*",
      "X_TOLLGATE.TIER",
      "gold",
      "x-tollgate-tier",
      "silver",
    ]);
    expect(headerPairs(MAP_REQUEST_HEADERS)).toBeTruthy();
    expect(plan.scan(value(), valueBytes(), config)).toBeTruthy();
    removeForged();
    expect(takeCalls()).toBe("remove x-tollgate-tier\nremove X_TOLLGATE.TIER\nremove x-tollgate-tier");
  });

  it("are removed from trailers, and nothing else is", () => {
    giveHeaders("trailers", ["grpc-status", "0", "x-tollgate-scopes", "all", "", "", "X_Tollgate_Consumer", "root"]);
    expect(removeForgedTrailers(plan)).toBeTruthy();
    expect(takeCalls()).toBe("trailers remove x-tollgate-scopes\ntrailers remove X_Tollgate_Consumer");
    giveHeaders("trailers", ["grpc-status", "0"]);
    expect(removeForgedTrailers(plan)).toBeTruthy();
    expect(takeCalls()).toBe("");
  });

  it("in trailers that can't be read don't pass", () => {
    expect(removeForgedTrailers(plan)).toBeFalsy("the host refuses");
    const whole = pairsOf(["grpc-status", "0", "x-tollgate-tier", "gold"]);
    for (let bytes = 1; bytes < whole.length; bytes++) {
      give("trailers", changetype<usize>(whole), bytes);
      expect(removeForgedTrailers(plan)).toBeFalsy(`${bytes} bytes`);
    }
    const numbers: StaticArray<u32> = [0xffffffff, 0xfffffff0, 0x80000000, 1000];
    for (let i = 0; i < numbers.length; i++) {
      for (let place = 0; place < 5; place++) {
        const broken = pairsOf(["grpc-status", "0", "x-tollgate-tier", "gold"]);
        store<u32>(changetype<usize>(broken) + place * 4, numbers[i]);
        give("trailers", changetype<usize>(broken), broken.length);
        expect(removeForgedTrailers(plan)).toBeFalsy();
      }
    }
    withhold("trailers");
    expect(removeForgedTrailers(plan)).toBeFalsy();
  });

  it("aren't in trailers of no bytes", () => {
    give("trailers", 0, 0);
    expect(removeForgedTrailers(plan)).toBeTruthy();
  });
});

describe("a caller's claims", () => {
  beforeEach(begin);

  it("are consumer, tier, key id, scopes and the consumer's own", () => {
    const consumer = consumerBody(1, "acme", 1, ["org", "acme corp", "plan", "", "region", "eu-1"]);
    expect(claimsOf(consumer, tierBody(1, "bronze", ["read", "search"]))).toBe(
      "add x-tollgate-consumer: acme\nadd x-tollgate-tier: bronze\nadd x-tollgate-key-id: acme-1\nadd x-tollgate-scopes: read search\n" +
        "add x-tollgate-claim-org: acme corp\nadd x-tollgate-claim-plan: \nadd x-tollgate-claim-region: eu-1",
    );
  });

  it("have no scopes header when there is none", () => {
    expect(claimsOf(ACME(), tierBody(1, "bronze", []))).toBe(
      "add x-tollgate-consumer: acme\nadd x-tollgate-tier: bronze\nadd x-tollgate-key-id: acme-1",
    );
  });

  it("have the names that the configuration gives", () => {
    configure(
      ',"claims":{"prefix":"x-id-","names":{"consumer":"x-consumer","scopes":"x-id-permissions","claim-org":"organization"}}',
    );
    const consumer = consumerBody(1, "acme", 1, ["org", "o", "organ", "p"]);
    expect(claimsOf(consumer, tierBody(1, "t", ["read"]))).toBe(
      "add x-consumer: acme\nadd x-id-tier: t\nadd x-id-key-id: acme-1\nadd x-id-permissions: read\nadd organization: o\nadd x-id-claim-organ: p",
    );
  });

  it("have the scopes of the tier that the key doesn't leave out", () => {
    expect(scopesOf(["read", "write"], null)).toBe("read write");
    expect(scopesOf(["read", "write"], ["write"])).toBe("write");
    expect(scopesOf(["read", "write"], ["admin", "read"])).toBe("read");
    expect(scopesOf(["read", "write"], [])).toBe("-");
    expect(scopesOf(["read"], ["reads", "rea", ""])).toBe("-");
    expect(scopesOf(["*"], null)).toBe("*");
    expect(scopesOf(["*"], ["read", "admin"])).toBe("read admin");
    expect(scopesOf(["read"], ["*"])).toBe("-", "a key narrows, it doesn't widen");
  });

  it("have scopes of 4 KiB at most, whole ones", () => {
    const scopes: string[] = [];
    for (let i = 0; i < 100; i++) scopes.push("s".repeat(99));
    const joined = scopesOf(scopes, null);
    expect(joined.length).toBe(40 * 100 - 1);
    expect(scopesOf(["x".repeat(5000)], null)).toBe("-");
    expect(scopesOf(["x".repeat(4095)], null).length).toBe(4095);
  });

  it("with the longest texts", () => {
    const long = "v".repeat(65535);
    const consumer = new Writer()
      .u32(1)
      .u32(1)
      .u16(0)
      .u8(0)
      .short("c".repeat(255))
      .u16(2)
      .short("n".repeat(239))
      .str(long)
      .short("n".repeat(240))
      .str("left out");
    const calls = claimsOf(consumer, tierBody(1, "t".repeat(1000), []));
    expect(calls.includes("add x-tollgate-consumer: " + "c".repeat(255) + "\n")).toBeTruthy();
    expect(calls.includes("add x-tollgate-tier: " + "t".repeat(1000) + "\n")).toBeTruthy();
    expect(calls.endsWith("add x-tollgate-claim-" + "n".repeat(239) + ": " + long)).toBeTruthy(
      "a name of 256 bytes is the longest",
    );
  });
});

describe("an unchecked request", () => {
  beforeEach(begin);

  it("is marked with the reason", () => {
    setUnchecked(config, ascii("not_ready"));
    expect(takeCalls()).toBe("add x-tollgate-unchecked: not_ready");
  });
});

describe("scopes", () => {
  it("are had by name or all at once", () => {
    const scope = changetype<usize>(ascii("read"));
    expect(hasScope(new Writer().strs(["write", "read"]).start, scope, 4)).toBeTruthy();
    expect(hasScope(new Writer().strs(["*"]).start, scope, 4)).toBeTruthy();
    expect(hasScope(new Writer().strs(["write", "reads", "r*", "**"]).start, scope, 4)).toBeFalsy();
    expect(hasScope(new Writer().strs([]).start, scope, 4)).toBeFalsy();
  });
});
