import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { AuthJwtInput } from "../../control/domain/schema.ts";
import type { Properties, Stream } from "./host.ts";
import { minute } from "./limitsSupport.ts";
import {
  assertSound,
  counters,
  keyNamed,
  keyRecord,
  outcome,
  pluginConfiguration,
  readyGateway,
  type Gateway,
} from "./support.ts";
import {
  apiOf,
  applySpec,
  issuer,
  otherIssuer,
  subjectOf,
  tokenOf,
  tokenProperties,
  tokenSpec,
} from "./tokenSupport.ts";

afterEach(assertSound);

const claimsOf = (stream: Stream) =>
  Object.fromEntries(stream.headers.pairs.filter(([name]) => name.startsWith("x-tollgate")));
const call = (gateway: Gateway, path: string, properties: Properties = {}, headers: Record<string, string> = {}) =>
  gateway.get(path, headers, { properties });
const reason = (...all: Parameters<typeof call>) => outcome(call(...all));
const challenges = (stream: Stream) =>
  stream.localResponse!.headers.filter(([name]) => name === "www-authenticate").map(([, value]) => value);
const key = (id: string) => ({ "x-api-key": keyNamed(id) });

/** A gateway whose jwt API has these settings. */
function withTokens(jwt: Partial<AuthJwtInput>, scopes: string[] = []): Gateway {
  return readyGateway({ spec: tokenSpec([apiOf("jwt", { jwt, scopes })]) });
}

describe("auth.mode jwt", () => {
  test("takes the consumer, its tier and claims from the record that a claim names, and no key id", () => {
    const stream = call(readyGateway({ spec: tokenSpec() }), "/jwt/x", tokenOf("beta"));
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(claimsOf(stream), {
      "x-tollgate-consumer": "beta",
      "x-tollgate-tier": "gold",
      "x-tollgate-scopes": "read write",
      "x-tollgate-claim-org": "beta-inc",
    });
  });

  test("believes the metadata alone: a token in a header proves nothing, and forged claims are gone", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    const text = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const token = `${text({ alg: "none" })}.${text({ iss: issuer, aud: "api://orders", client_id: "beta" })}.`;
    const stream = call(
      gateway,
      "/jwt/x",
      {},
      { authorization: `Bearer ${token}`, "x-tollgate-consumer": "beta", x_tollgate_tier: "gold" },
    );
    assert.equal(outcome(stream), "token_missing");
    assert.deepEqual(claimsOf(stream), {});
    assert.deepEqual(challenges(stream), ['Bearer realm="tollgate"']);
    const admitted = call(gateway, "/jwt/x", tokenOf("acme"), {
      "x-tollgate-consumer": "beta",
      "X_Tollgate-Key-Id": "beta-1",
      "x-tollgate-tier": "gold",
    });
    assert.deepEqual(claimsOf(admitted), {
      "x-tollgate-consumer": "acme",
      "x-tollgate-tier": "bronze",
      "x-tollgate-scopes": "read",
      "x-tollgate-claim-org": "acme-corp",
    });
    assert.equal(admitted.headers.first("X_Tollgate-Key-Id"), undefined);
  });

  test("leaves the token to the upstream, and takes keys out", () => {
    const stream = call(readyGateway({ spec: tokenSpec() }), "/jwt/x", tokenOf("beta"), {
      authorization: "Bearer e30.e30.sig",
      ...key("acme-1"),
    });
    assert.equal(outcome(stream), "admitted");
    assert.equal(stream.headers.first("authorization"), "Bearer e30.e30.sig");
    assert.equal(stream.headers.first("x-api-key"), undefined);
    assert.equal(claimsOf(stream)["x-tollgate-consumer"], "beta");
  });

  test("takes no key in a token's place", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    assert.equal(reason(gateway, "/jwt/x", {}, key("acme-1")), "token_missing");
    assert.equal(reason(gateway, "/jwt/x", {}, { authorization: `Bearer ${keyNamed("acme-1")}` }), "token_missing");
  });

  const ladder: [what: string, payload: Record<string, unknown>, reason: string][] = [
    ["of another issuer", { iss: "https://evil.example.com", aud: "api://orders", client_id: "beta" }, "token_issuer"],
    [
      "of an issuer but for the last slash",
      { iss: issuer.slice(0, -1), aud: "api://orders", client_id: "beta" },
      "token_issuer",
    ],
    ["without an issuer", { aud: "api://orders", client_id: "beta" }, "token_issuer"],
    ["for another audience", { iss: issuer, aud: "api://billing", client_id: "beta" }, "token_audience"],
    [
      "for other audiences",
      { iss: issuer, aud: ["api://billing", "api://orders/"], client_id: "beta" },
      "token_audience",
    ],
    ["without an audience", { iss: issuer, client_id: "beta" }, "token_audience"],
    ["with an empty list of audiences", { iss: issuer, aud: [], client_id: "beta" }, "token_audience"],
    [
      "with audiences that aren't texts",
      { iss: issuer, aud: [1, true, ["api://orders"]], client_id: "beta" },
      "token_audience",
    ],
    [
      "with the audience among others",
      { iss: issuer, aud: ["a", "b", "c", "api://orders"], client_id: "beta" },
      "admitted",
    ],
    ["of an issuer for any audience", { iss: otherIssuer, client_id: "beta" }, "admitted"],
    ["without a claim that names the consumer", { iss: issuer, aud: "api://orders" }, "unknown_consumer"],
    ["of nobody", { iss: issuer, aud: "api://orders", client_id: "nobody" }, "unknown_consumer"],
    ["of a consumer in capitals", { iss: issuer, aud: "api://orders", client_id: "BETA" }, "unknown_consumer"],
    ["of a number", { iss: issuer, aud: "api://orders", client_id: 12 }, "unknown_consumer"],
    ["of a list", { iss: issuer, aud: "api://orders", client_id: ["beta"] }, "unknown_consumer"],
    [
      "whose first claim names nobody, though a later one does",
      { iss: issuer, aud: "api://orders", client_id: "nobody", sub: "beta" },
      "unknown_consumer",
    ],
    ["whose first claim isn't there", { iss: issuer, aud: "api://orders", azp: "beta", sub: "acme" }, "admitted"],
    [
      "whose first claims are empty",
      { iss: issuer, aud: "api://orders", client_id: "", azp: "", sub: "beta" },
      "admitted",
    ],
    ["of one that is suspended", { iss: issuer, aud: "api://orders", client_id: "halted" }, "consumer_suspended"],
    ["of one without a tier", { iss: issuer, aud: "api://orders", client_id: "poor" }, "tier_missing"],
  ];
  for (const [what, payload, expected] of ladder) {
    test(`a token ${what}: ${expected}`, () => {
      const stream = call(readyGateway({ spec: tokenSpec() }), "/jwt/x", tokenProperties(payload));
      assert.equal(outcome(stream), expected);
      if (/^token_/.test(expected))
        assert.deepEqual(challenges(stream), ['Bearer realm="tollgate", error="invalid_token"']);
    });
  }

  test("reads a claim by its whole name first, then by the path that dots make", () => {
    const gateway = withTokens({ consumerClaims: ["app.id"] });
    assert.equal(reason(gateway, "/jwt", tokenProperties({ iss: otherIssuer, app: { id: "beta" } })), "admitted");
    assert.equal(reason(gateway, "/jwt", tokenProperties({ iss: otherIssuer, app: "beta" })), "unknown_consumer");
    const namespaced = withTokens({ consumerClaims: ["https://shop.example.com/app"] });
    assert.equal(
      claimsOf(call(namespaced, "/jwt", tokenProperties({ iss: otherIssuer, "https://shop.example.com/app": "beta" })))[
        "x-tollgate-consumer"
      ],
      "beta",
    );
  });

  test("a tier's claim wins over the record's tier; one that names no tier refuses; none leaves the record's", () => {
    const gateway = withTokens({ tierClaim: "plan" });
    const tier = (more: Record<string, unknown>) =>
      claimsOf(call(gateway, "/jwt", tokenOf("beta", more)))["x-tollgate-tier"];
    assert.equal(tier({ plan: "bronze" }), "bronze");
    assert.equal(tier({}), "gold");
    for (const plan of ["platinum", "", 1, ["bronze"]])
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan })), "tier_missing", JSON.stringify(plan));
  });

  test("scopes of a claim narrow the tier's, as a text or a list; without the claim there are none", () => {
    const gateway = withTokens({ scopeClaim: "scp" }, ["read"]);
    const scopes = (scp: unknown) => {
      const stream = call(gateway, "/jwt", tokenOf("beta", { scp }));
      return outcome(stream) === "admitted" ? claimsOf(stream)["x-tollgate-scopes"] : outcome(stream);
    };
    assert.equal(scopes("read"), "read");
    assert.equal(scopes("  openid   write read "), "write read");
    assert.equal(scopes(["write", "read", "admin"]), "write read");
    assert.equal(scopes("write"), "scope_missing");
    assert.equal(scopes("readwrite"), "scope_missing");
    assert.equal(scopes(""), "scope_missing");
    assert.equal(scopes([]), "scope_missing");
    assert.equal(scopes(["read write"]), "scope_missing");
    assert.equal(reason(gateway, "/jwt", tokenOf("beta")), "scope_missing");
  });

  test("a star among a token's scopes gives no more than the tier has", () => {
    const gateway = withTokens({ scopeClaim: "scope" });
    assert.equal(claimsOf(call(gateway, "/jwt", tokenOf("beta", { scope: "*" })))["x-tollgate-scopes"], undefined);
  });
});

describe("unknownConsumers", () => {
  const admit = { unknownConsumers: "allow", tierClaim: "plan" } as const;

  test("admit: the claim names the caller, the tier is the token's", () => {
    const gateway = withTokens(admit);
    const stream = call(gateway, "/jwt", tokenOf("user-17", { plan: "gold" }));
    assert.deepEqual(claimsOf(stream), {
      "x-tollgate-consumer": "user-17",
      "x-tollgate-tier": "gold",
      "x-tollgate-scopes": "read write",
    });
    assert.equal(
      claimsOf(call(gateway, "/jwt", tokenOf("acme", { plan: "gold" })))["x-tollgate-claim-org"],
      "acme-corp",
    );
    assert.equal(reason(gateway, "/jwt", tokenOf("user-17")), "tier_missing");
    assert.equal(reason(gateway, "/jwt", tokenOf("halted", { plan: "gold" })), "consumer_suspended");
  });

  test("admit: what can't be a header's value names nobody", () => {
    const gateway = withTokens(admit);
    for (const id of ["two words", "line\nbreak", "nul\0", "ümlaut", "x".repeat(256), ["a"]]) {
      assert.equal(
        reason(gateway, "/jwt", tokenProperties({ iss: issuer, aud: "api://orders", client_id: id, plan: "gold" })),
        "unknown_consumer",
        JSON.stringify(id),
      );
    }
  });

  test("each has limits of its own, per key and per consumer, by issuer and name", () => {
    for (const subject of ["key", "consumer", "consumer+api"] as const) {
      const spec = tokenSpec([apiOf("jwt", { jwt: admit })]);
      spec.tiers!.find(({ id }) => id === "gold")!.limits = [minute(2, { subject })];
      const gateway = readyGateway({ spec });
      const ask = (id: string, iss = issuer) => {
        const stream = call(gateway, "/jwt", tokenOf(id, { plan: "gold", iss }));
        gateway.envoy.until(() => stream.state !== "held", 5000, 1);
        return outcome(stream);
      };
      assert.deepEqual([ask("u1"), ask("u1"), ask("u1")], ["admitted", "admitted", "rate_limited"], subject);
      assert.equal(ask("u2"), "admitted", subject);
      assert.equal(ask("u1", otherIssuer), "admitted", subject);
    }
  });
});

describe("auth.mode key-or-jwt", () => {
  test("a key decides where there is one, and the token only passes on", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    const stream = call(gateway, "/key-or-jwt", tokenOf("beta"), {
      ...key("acme-1"),
      authorization: "Bearer e30.e30.sig",
    });
    assert.equal(claimsOf(stream)["x-tollgate-consumer"], "acme");
    assert.equal(claimsOf(stream)["x-tollgate-key-id"], "acme-1");
    assert.equal(stream.headers.first("authorization"), "Bearer e30.e30.sig");
    assert.equal(stream.headers.first("x-api-key"), undefined);
    assert.equal(reason(gateway, "/key-or-jwt", tokenOf("beta"), { "x-api-key": "no-such-key" }), "unknown_key");
  });

  test("without a key the token decides, where it stands as Bearer too; without either it's the token that is missing", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    for (const authorization of ["Bearer short", `Bearer ${"x".repeat(2000)}`]) {
      const stream = call(gateway, "/key-or-jwt", tokenOf("beta"), { authorization });
      assert.equal(claimsOf(stream)["x-tollgate-consumer"], "beta");
      assert.equal(claimsOf(stream)["x-tollgate-key-id"], undefined);
      assert.equal(stream.headers.first("authorization"), authorization);
    }
    assert.equal(reason(gateway, "/key-or-jwt"), "token_missing");
  });

  test("a key as Bearer is a key, imported ones too", () => {
    const spec = tokenSpec();
    const imported = { ...keyRecord("old", "beta") };
    spec.keys!.push(imported);
    const gateway = readyGateway({ spec });
    const stream = call(gateway, "/key-or-jwt", {}, { authorization: `Bearer ${keyNamed("acme-1")}` });
    assert.equal(claimsOf(stream)["x-tollgate-key-id"], "acme-1");
    assert.equal(stream.headers.first("authorization"), undefined);
    assert.equal(
      reason(gateway, "/key-or-jwt", tokenOf("beta"), { authorization: `Bearer ${keyNamed("nobody")}` }),
      "unknown_key",
    );
  });
});

describe("auth.mode key-and-jwt", () => {
  test("a key and a token of the same consumer; claims and limits are the key's", () => {
    const stream = call(
      readyGateway({ spec: tokenSpec() }),
      "/key-and-jwt",
      tokenOf("acme", { plan: "gold" }),
      key("acme-1"),
    );
    assert.deepEqual(claimsOf(stream), {
      "x-tollgate-consumer": "acme",
      "x-tollgate-tier": "bronze",
      "x-tollgate-key-id": "acme-1",
      "x-tollgate-scopes": "read",
      "x-tollgate-claim-org": "acme-corp",
    });
  });

  test("one of them alone, or of somebody else, is not enough", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme")), "key_missing");
    assert.equal(reason(gateway, "/key-and-jwt", {}, key("acme-1")), "token_missing");
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("beta"), key("acme-1")), "token_consumer_mismatch");
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme-"), key("acme-1")), "token_consumer_mismatch");
    assert.equal(
      reason(gateway, "/key-and-jwt", tokenProperties({ iss: issuer, aud: "api://orders" }), key("acme-1")),
      "token_consumer_mismatch",
    );
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme", { aud: "else" }), key("acme-1")), "token_audience");
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme", { iss: "else" }), key("acme-1")), "token_issuer");
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme"), { "x-api-key": keyNamed("nobody") }), "unknown_key");
  });
});

describe("the type of a claim", () => {
  const spelled = (text: string) => Buffer.from(text).readDoubleLE();
  const spec = () => {
    const file = tokenSpec([
      apiOf("jwt", { jwt: { tierClaim: "plan", scopeClaim: "scp", consumerClaims: ["client_id", "app.id", "sub"] } }),
      apiOf("key-and-jwt"),
    ]);
    file.consumers!.push({ id: "operator", tier: "gold" }, { id: "x", tier: "gold" });
    file.tiers!.push({ id: "platinum", scopes: ["read"] });
    file.keys!.push(keyRecord("operator-1", "operator"));
    return file;
  };
  const number = spelled("operator");
  const others = [number, 1, true, false, [number], ["operator"], { operator: "operator" }, [], {}];

  test("is known before its value is used: the bytes of a number spell nothing", () => {
    const gateway = readyGateway({ spec: spec() });
    assert.equal(reason(gateway, "/jwt", tokenOf("operator")), "admitted");
    assert.equal(reason(gateway, "/jwt", tokenOf("operator", { plan: "platinum" })), "admitted");
    for (const value of others) {
      const name = JSON.stringify(value);
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { client_id: value })), "unknown_consumer", name);
      assert.equal(
        reason(gateway, "/jwt", tokenOf("beta", { client_id: null, app: { id: value } })),
        "unknown_consumer",
        name,
      );
      assert.equal(
        reason(gateway, "/key-and-jwt", tokenOf("operator", { client_id: value }), key("operator-1")),
        "token_consumer_mismatch",
        name,
      );
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan: value })), "tier_missing", name);
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { iss: value })), "token_issuer", name);
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { aud: value })), "token_audience", name);
      assert.equal(
        claimsOf(call(gateway, "/jwt", tokenOf("beta", { scp: value })))["x-tollgate-scopes"],
        undefined,
        name,
      );
    }
    assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan: spelled("platinum") })), "tier_missing");
    assert.equal(
      claimsOf(call(gateway, "/jwt", tokenOf("beta", { scp: [spelled("read    "), true, null, ["read"], "write"] })))[
        "x-tollgate-scopes"
      ],
      "write",
    );
  });

  test("null and the empty text are as if the claim weren't there", () => {
    const gateway = readyGateway({ spec: spec() });
    for (const value of [null, ""]) {
      assert.equal(
        reason(gateway, "/jwt", tokenOf("beta", { client_id: value, app: { id: value }, sub: "operator" })),
        "admitted",
      );
      assert.equal(reason(gateway, "/jwt", tokenOf("beta", { client_id: value })), "unknown_consumer");
    }
    assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan: null })), "admitted");
    assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan: "" })), "tier_missing");
  });

  test("metadata that isn't whole names nobody, and the filter lives", () => {
    const gateway = readyGateway({ spec: spec() });
    gateway.envoy.recording = false;
    const metadata = tokenOf("operator", { plan: "platinum", scp: ["read", "write"] })["metadata"] as Buffer;
    for (let cut = 0; cut < metadata.length; cut++) {
      const outcomes = reason(gateway, "/jwt", { metadata: metadata.subarray(0, cut) });
      assert.ok(
        ["token_missing", "token_issuer", "token_audience", "unknown_consumer"].includes(outcomes),
        `${cut}: ${outcomes}`,
      );
    }
    for (let at = 0; at < metadata.length; at++) {
      for (const byte of [0x00, 0x7f, 0x80, 0xff]) {
        const changed = Buffer.from(metadata);
        changed[at] = byte;
        reason(gateway, "/jwt", { metadata: changed });
      }
    }
    assert.deepEqual(gateway.envoy.traps, []);
  });
});

describe("as with keys", () => {
  test("limits are counted by the digest of issuer and consumer, shared by all that are it", () => {
    const spec = tokenSpec();
    spec.tiers!.find(({ id }) => id === "gold")!.limits = [minute(3)];
    const gateway = readyGateway({ spec, workers: 2 });
    const ask = (worker: number, properties: Properties) => {
      const stream = gateway.get("/jwt", {}, { worker, properties });
      gateway.envoy.until(() => stream.state !== "held", 5000, 1);
      return outcome(stream);
    };
    const outcomes = [0, 1, 0, 1, 0].map((worker) => ask(worker, tokenOf("beta")));
    assert.deepEqual(outcomes, ["admitted", "admitted", "admitted", "rate_limited", "rate_limited"]);
    assert.equal(ask(0, tokenOf("beta", { iss: otherIssuer })), "admitted");
  });

  test("a limit per consumer counts keys and tokens together", () => {
    const spec = tokenSpec();
    spec.tiers!.find(({ id }) => id === "gold")!.limits = [minute(2, { subject: "consumer" })];
    const gateway = readyGateway({ spec });
    const settle = (stream: Stream) => {
      gateway.envoy.until(() => stream.state !== "held", 5000, 1);
      return outcome(stream);
    };
    assert.equal(settle(call(gateway, "/jwt", tokenOf("beta"))), "admitted");
    assert.equal(settle(call(gateway, "/key-or-jwt", {}, key("beta-1"))), "admitted");
    assert.equal(settle(call(gateway, "/jwt", tokenOf("beta"))), "rate_limited");
    assert.equal(settle(call(gateway, "/key-or-jwt", {}, key("beta-1"))), "rate_limited");
  });

  test("no memory is taken, whatever the tokens", () => {
    const gateway = readyGateway({
      spec: tokenSpec([apiOf("jwt", { jwt: { unknownConsumers: "allow", tierClaim: "plan", scopeClaim: "scp" } })]),
    });
    gateway.envoy.recording = false;
    const { vm } = gateway.workers[0]!;
    const tokens = [
      tokenOf("beta", { scp: "read write" }),
      tokenOf("beta", { aud: ["a", "b", "api://orders"], scp: Array.from({ length: 200 }, (_, i) => `s${i}`) }),
      tokenOf("x".repeat(255), { plan: "gold" }),
      tokenOf("nobody"),
      {},
    ];
    const before = vm.memoryBytes;
    for (let i = 0; i < 5000; i++) vm.end(call(gateway, "/jwt", tokens[i % tokens.length]));
    assert.equal(vm.memoryBytes, before);
  });

  test("usage is of the consumer, and of the digest", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    call(gateway, "/jwt", tokenOf("beta"));
    call(gateway, "/jwt", tokenOf("halted"));
    gateway.envoy.advance(3000);
    const digests = gateway.control.counters.usage.map(({ digest, consumer, counts }) => [
      digest,
      consumer !== 0,
      counts.map(([metric]) => metric).includes(0),
    ]);
    assert.deepEqual(
      digests.filter(([digest]) => digest !== "0".repeat(32)).sort(),
      [
        [subjectOf("jwt", issuer, "beta"), true, true],
        [subjectOf("jwt", issuer, "halted"), true, false],
      ].sort(),
    );
  });

  test("observe refuses nothing, and says nothing of the caller where it would", () => {
    const gateway = readyGateway({ spec: tokenSpec(), configuration: pluginConfiguration({ mode: "observe" }) });
    const good = call(gateway, "/jwt", tokenOf("beta"));
    assert.equal(claimsOf(good)["x-tollgate-consumer"], "beta");
    const bad = call(gateway, "/jwt", tokenOf("beta", { aud: "else" }), { "x-tollgate-consumer": "forged" });
    assert.equal(outcome(bad), "admitted");
    assert.deepEqual(claimsOf(bad), {});
    assert.equal(counters(gateway)["observed.token_audience"], 1);
  });

  test("a consumer that comes, is renamed or goes is known at once, and so is a tier", () => {
    const gateway = readyGateway({ spec: tokenSpec([apiOf("jwt", { jwt: { tierClaim: "plan" } })]) });
    const spec = tokenSpec([apiOf("jwt", { jwt: { tierClaim: "plan" } })]);
    assert.equal(reason(gateway, "/jwt", tokenOf("fresh")), "unknown_consumer");
    spec.consumers!.push({ id: "fresh", tier: "bronze" });
    spec.tiers!.push({ id: "silver" });
    applySpec(gateway, spec);
    assert.equal(reason(gateway, "/jwt", tokenOf("fresh")), "admitted");
    assert.equal(reason(gateway, "/jwt", tokenOf("fresh", { plan: "silver" })), "admitted");
    spec.consumers = spec.consumers!.filter(({ id }) => id !== "fresh");
    spec.tiers = spec.tiers!.filter(({ id }) => id !== "silver");
    applySpec(gateway, spec);
    assert.equal(reason(gateway, "/jwt", tokenOf("fresh")), "unknown_consumer");
    assert.equal(reason(gateway, "/jwt", tokenOf("beta", { plan: "silver" })), "tier_missing");
  });

  test("the first API with tokens that comes has all names there are, while the others go on", () => {
    const gateway = readyGateway({ spec: tokenSpec([]) });
    assert.equal(reason(gateway, "/jwt", tokenOf("beta")), "key_missing");
    applySpec(gateway, tokenSpec());
    gateway.envoy.until(() => reason(gateway, "/jwt", tokenOf("beta")) === "admitted", 5000, 10);
    assert.equal(reason(gateway, "/x", {}, key("acme-1")), "admitted");
    assert.equal(
      reason(gateway, "/mtls", { "connection.uri_san_peer_certificate": "spiffe://cluster.local/ns/shop/sa/beta" }),
      "admitted",
    );
  });

  test("an API whose mode says tokens and that names no issuer is closed; with keys too, it takes these", () => {
    const gateway = readyGateway({
      spec: tokenSpec([
        { ...apiOf("jwt"), auth: { mode: "jwt" } },
        { ...apiOf("key-and-jwt"), auth: { mode: "key-and-jwt" } },
        { ...apiOf("key-or-jwt"), auth: { mode: "key-or-jwt" } },
      ]),
    });
    assert.equal(reason(gateway, "/jwt", tokenOf("beta")), "auth_mode_unsupported");
    assert.equal(reason(gateway, "/key-and-jwt", tokenOf("acme"), key("acme-1")), "auth_mode_unsupported");
    assert.equal(reason(gateway, "/key-or-jwt", tokenOf("beta")), "key_missing");
    assert.equal(reason(gateway, "/key-or-jwt", tokenOf("beta"), key("acme-1")), "admitted");
  });
});
