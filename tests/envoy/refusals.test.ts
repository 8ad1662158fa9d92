/** Every reason for which a request is refused on its own merits: status, body, headers, response code details, metric. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { reasons } from "../../protocol/reasons.ts";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { host, makeFixture, unknownKey, withWrongChecksum } from "../kit/fixture.ts";
import type { Http1Request, Pair } from "../kit/http1.ts";
import { everySetup } from "../kit/envoySetups.ts";

const { keys, spec } = makeFixture();
const key = (value: string): Http1Request => ({ path: "/orders/1", headers: [["x-api-key", value]] });

const cases: { reason: string; request: Http1Request }[] = [
  { reason: "path_invalid", request: { path: "/public//orders" } },
  { reason: "path_ambiguous", request: { path: "/public/pri%76ate" } },
  { reason: "unknown_api", request: { path: "/nowhere" } },
  { reason: "method_not_allowed", request: { ...key(keys.gold), path: "/read-only", method: "DELETE" } },
  { reason: "key_missing", request: { path: "/orders/1" } },
  {
    reason: "multiple_keys",
    request: {
      path: "/orders/1",
      headers: [
        ["x-api-key", keys.gold],
        ["x-api-key", keys.silver],
      ],
    },
  },
  { reason: "key_too_long", request: key("k".repeat(257)) },
  { reason: "key_malformed", request: key(withWrongChecksum(keys.gold)) },
  { reason: "key_wrong_environment", request: key(unknownKey("elsewhere")) },
  { reason: "unknown_key", request: key(unknownKey()) },
  { reason: "key_revoked", request: key(keys.revoked) },
  { reason: "key_suspended", request: key(keys.suspended) },
  { reason: "key_not_yet_valid", request: key(keys.early) },
  { reason: "key_expired", request: key(keys.late) },
  { reason: "consumer_suspended", request: key(keys.halted) },
  { reason: "tier_missing", request: key(keys.lost) },
  { reason: "api_not_allowed", request: { ...key(keys.silver), path: "/partner" } },
  { reason: "scope_missing", request: { ...key(keys.silver), path: "/orders/search", method: "POST" } },
  { reason: "ip_not_allowed", request: key(keys.office) },
  { reason: "auth_mode_unsupported", request: { ...key(keys.gold), path: "/jwt" } },
  { reason: "host_invalid", request: { path: "/public", headers: [["Host", `a..${host}`]] } },
  // The filter notes at most 1024 spoofed headers.
  {
    reason: "headers_unreadable",
    request: {
      path: "/public",
      headers: Array.from({ length: 1100 }, (_, index): Pair => [`x-tollgate-n${index}`, "1"]),
    },
  },
];

/** These depend on the gateway's state, not on the request: configuration.test.ts and sync.test.ts. */
const ofTheGateway = ["not_configured", "not_ready", "snapshot_stale"];
/** This depends on a newer control plane: tests/host/versions.test.ts. */
const ofVersions = ["record_unsupported"];
/** Over HTTP/1 Envoy refuses it itself: oneReading.test.ts. */
const ofHttp2 = ["method_invalid"];
/** And these on what was admitted before: limitsGateway.test.ts, limitsExact.test.ts, limitsFailure.test.ts. */
const ofLimits = ["rate_limited", "quota_exceeded", "limit_unavailable"];
/** These need tokens and certificates: tokens.test.ts, peers.test.ts, internalToken.test.ts. */
const ofIdentities = [
  "token_missing",
  "token_issuer",
  "token_audience",
  "unknown_consumer",
  "token_consumer_mismatch",
  "peer_missing",
  "unknown_peer",
  "token_unavailable",
];

it("has a case for every reason", () => {
  assert.deepEqual(
    reasons.map(({ code }) => code).sort(),
    [
      ...cases.map(({ reason }) => reason),
      ...ofTheGateway,
      ...ofVersions,
      ...ofHttp2,
      ...ofLimits,
      ...ofIdentities,
    ].sort(),
  );
});

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        // `//` and needless escapes must reach the filter.
        listeners: [
          {
            configuration: standalone(spec),
            listener: { normalizePath: false, mergeSlashes: false, headersMax: 2000 },
            plugin: { hostEnvironment: [] },
          },
        ],
      });
    });
    after(() => gateway?.stop());

    for (const { reason, request } of cases) {
      it(`refuses with ${reason}`, async () => {
        const { status, title } = reasons.find(({ code }) => code === reason)!;
        const refusedBefore = await gateway.metric(`refused.${reason}`);
        const { response, log } = await gateway.exchange(request);
        assert.equal(response.status, status);
        assert.equal(response.header("content-type"), "application/problem+json");
        assert.deepEqual(response.json(), { type: `https://tollgate.dev/reasons/${reason}`, title, status, reason });
        assert.equal(log.details, `tollgate_${reason}`);
        await gateway.metricReaches(`refused.${reason}`, refusedBefore + 1);
        const challenge = response.header("www-authenticate");
        if (status === 401) assert.match(challenge!, /^ApiKey realm="tollgate", Bearer realm="tollgate"/);
        else assert.equal(challenge, undefined);
        assert.equal(response.header("retry-after") !== undefined, status === 503);
      });
    }

    it("names the allowed methods", async () => {
      const { response } = await gateway.exchange({ ...key(keys.gold), path: "/read-only", method: "DELETE" });
      assert.match(response.header("allow")!, /\bGET\b/);
    });

    it("does not tell a missing key from a bad one by the Bearer challenge alone", async () => {
      const missing = await gateway.exchange({ path: "/orders/1" });
      assert.doesNotMatch(missing.response.header("www-authenticate")!, /invalid_token/);
      const unknown = await gateway.exchange(key(unknownKey()));
      assert.match(unknown.response.header("www-authenticate")!, /Bearer realm="tollgate", error="invalid_token"/);
    });

    it("admits a good key, counts it and says who calls", async () => {
      const admittedBefore = await gateway.metric("admitted");
      const { response, seen, log } = await gateway.exchange(key(keys.gold));
      assert.equal(response.status, 200, response.body);
      assert.equal(reasonOf(response), undefined);
      await gateway.metricReaches("admitted", admittedBefore + 1);
      assert.equal(log.details, "via_upstream");
      assert.deepEqual(
        Object.fromEntries(Object.entries(seen!.headers).filter(([name]) => name.startsWith("x-tollgate-"))),
        {
          "x-tollgate-consumer": "acme",
          "x-tollgate-tier": "gold",
          "x-tollgate-key-id": "key-gold",
          "x-tollgate-scopes": "read search",
          "x-tollgate-claim-org": "acme",
          "x-tollgate-claim-plan": "pro plus",
        },
      );
    });

    it("admits keys by what they are allowed", async () => {
      const admitted: [string, Http1Request][] = [
        ["a key of a network", key(keys.home)],
        ["a key of one API", { ...key(keys.narrow), path: "/partner/x" }],
        ["a key with a part of the tier's scopes", key(keys.reader)],
        ["an imported key of a form of its own", key(keys.legacy)],
        ["HEAD where GET is", { ...key(keys.gold), path: "/read-only", method: "HEAD" }],
        ["a scope that the route wants", { ...key(keys.gold), path: "/orders/search", method: "POST" }],
        ["a method that the route is not of", { ...key(keys.silver), path: "/orders/search" }],
        [
          "a host by its suffix",
          {
            ...key(keys.gold),
            path: "/partner",
            headers: [
              ["Host", "EU.Partner.Example.com:8443"],
              ["x-api-key", keys.gold],
            ],
          },
        ],
      ];
      for (const [what, request] of admitted) assert.equal((await gateway.send(request)).status, 200, what);
    });

    it("refuses what a narrowed key may not", async () => {
      assert.equal(reasonOf(await gateway.send(key(keys.narrow))), "api_not_allowed");
      assert.equal(
        reasonOf(await gateway.send({ ...key(keys.reader), path: "/orders/search", method: "POST" })),
        "scope_missing",
      );
      assert.equal(reasonOf(await gateway.send({ ...key(keys.gold), path: "/staff" })), "scope_missing");
    });
  });
}
