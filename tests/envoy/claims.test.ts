/** What a client says of itself never reaches the upstream. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, standalone } from "../kit/gateway.ts";
import { makeFixture } from "../kit/fixture.ts";
import type { Http1Request, Pair } from "../kit/http1.ts";
import { sendHttp2, startHttp2Upstream, type Http2Upstream } from "../kit/http2.ts";
import { everySetup } from "../kit/envoySetups.ts";

const { keys, spec } = makeFixture();

const names = [
  "consumer",
  "tier",
  "key-id",
  "scopes",
  "claim-org",
  "claim-plan",
  "claim-never-heard-of",
  "unchecked",
].map((name) => `x-tollgate-${name}`);
/** Renamed claims: listener 1. */
const renames = { consumer: "x-caller", scopes: "x_caller_scopes", "claim-org": "x-org" };
const renamed = ["x-caller", "x-caller-scopes", "x-org"];

/** The ways in which a backend could read the name: CGI, WSGI and Rack make `_` of `-` and fold the case. */
function spellings(name: string): string[] {
  return [
    name,
    name.toUpperCase(),
    name.replaceAll("-", "_"),
    name.toUpperCase().replaceAll("-", "_"),
    name.replace("-", "_"),
    name.replace(/-([^-]*)$/, "_$1"),
  ];
}

const forgedValue = "forged-by-the-client";
const forge = (all: string[]): Pair[] => all.flatMap(spellings).map((name): Pair => [name, forgedValue]);

/** All of them, each twice, in portions below the hundred headers that Envoy takes. */
function portions(all: string[]): Pair[][] {
  const pairs = forge(all);
  const size = 40;
  return Array.from({ length: Math.ceil(pairs.length / size) }, (_, index) =>
    pairs.slice(index * size, (index + 1) * size),
  ).map((part) => [...part, ...part]);
}

/** Configurations and the paths through the filter that pass a request on. */
const listeners = [
  { configuration: standalone(spec) },
  { configuration: standalone(spec, { claims: { prefix: "x-tollgate-", names: renames } }) },
  { configuration: standalone(spec, { unknownApi: "allow" }) },
  { configuration: standalone(spec, { mode: "observe" }) },
];
const keyed: Pair[] = [["x-api-key", keys.gold]];
const passing: { what: string; listener: number; request: Http1Request }[] = [
  { what: "a keyed API", listener: 0, request: { path: "/orders/1", headers: keyed } },
  { what: "a keyed API with renamed claims", listener: 1, request: { path: "/orders/1", headers: keyed } },
  { what: "a keyless API", listener: 0, request: { path: "/public" } },
  { what: "a keyless API with a key", listener: 0, request: { path: "/public", headers: keyed } },
  { what: "an unknown API that passes", listener: 2, request: { path: "/nowhere" } },
  { what: "an observed refusal without a key", listener: 3, request: { path: "/orders/1" } },
  {
    what: "an observed refusal of a key",
    listener: 3,
    request: { path: "/orders/1", headers: [["x-api-key", keys.revoked]] },
  },
  { what: "an observed unknown API", listener: 3, request: { path: "/nowhere" } },
  { what: "an observed bad path", listener: 3, request: { path: "/public//orders" } },
  {
    what: "a preflight",
    listener: 0,
    request: {
      path: "/orders/1",
      method: "OPTIONS",
      headers: [
        ["Origin", "https://app.example.com"],
        ["Access-Control-Request-Method", "GET"],
      ],
    },
  },
];

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: listeners.map((one) => ({
          ...one,
          plugin: { hostEnvironment: [] },
          listener: { mergeSlashes: false, headersMax: 3000 },
        })),
      });
    });
    after(() => gateway?.stop());

    for (const { what, listener, request } of passing) {
      it(`strips forged claims on ${what}`, async () => {
        for (const portion of portions(listener === 1 ? [...names, ...renamed] : names)) {
          const half = portion.length / 2;
          const { seen, response } = await gateway.exchange(
            { ...request, headers: [...portion.slice(0, half), ...(request.headers ?? []), ...portion.slice(half)] },
            listener,
          );
          assert.ok(seen, response.body);
          const left = Object.entries(seen.headers).filter(([, value]) => String(value).includes(forgedValue));
          assert.deepEqual(left, []);
        }
      });

      it(`strips forged trailers on ${what}`, async () => {
        for (const portion of portions(listener === 1 ? [...names, ...renamed] : names)) {
          const { seen, response } = await gateway.exchange(
            { method: "POST", ...request, body: "some body", trailers: [["x-checksum", "kept"], ...portion] },
            listener,
          );
          assert.ok(seen, response.body);
          assert.deepEqual(seen.trailers, { "x-checksum": "kept" });
          assert.equal(seen.body, "some body");
        }
      });
    }

    it("gives the true claims once, in place of the forged ones", async () => {
      const { seen } = await gateway.exchange(
        { path: "/orders/1", headers: [...forge([...names.slice(0, 4), ...renamed]), ...keyed] },
        1,
      );
      const claims = Object.entries(seen!.headers).filter(([name]) => /^x[-_](tollgate|caller|org)/.test(name));
      assert.deepEqual(Object.fromEntries(claims), {
        "x-caller": "acme",
        "x-tollgate-tier": "gold",
        "x-tollgate-key-id": "key-gold",
        x_caller_scopes: "read search",
        "x-org": "acme",
        "x-tollgate-claim-plan": "pro plus",
      });
    });

    it("finds forged claims among thousands of headers", async () => {
      const others = Array.from({ length: 1500 }, (_, index): Pair => [`x-n${index}`, "1"]);
      const claim: Pair = ["x-tollgate-consumer", forgedValue];
      for (const headers of [
        [claim, ...others],
        [...others, claim],
      ]) {
        const { response, log } = await gateway.exchange({ path: "/public", headers });
        assert.equal(response.status, 200);
        // The echo stops reading at a thousand headers; the access log shows what Envoy sent on.
        assert.equal(log.consumer, null);
      }
    });

    it("leaves headers that only resemble claims", async () => {
      const others: Pair[] = [
        ["x-tollgat-consumer", "kept"],
        ["x-tollgates", "kept"],
        ["tollgate-consumer", "kept"],
        ["x-tollgateconsumer", "kept"],
      ];
      const { seen } = await gateway.exchange({ path: "/public", headers: others });
      for (const [name] of others) assert.equal(seen!.headers[name], "kept", name);
    });
  });

  describe(`${setup.name}, HTTP/2 on both sides`, () => {
    let gateway: Gateway;
    let upstream: Http2Upstream;
    before(async () => {
      upstream = await startHttp2Upstream();
      gateway = await Gateway.start({
        setup,
        http2UpstreamPort: upstream.port,
        listeners: [{ configuration: standalone(spec), plugin: { hostEnvironment: [] } }],
      });
    });
    after(async () => {
      await gateway?.stop();
      await upstream?.close();
    });

    it("strips forged claims from headers and trailers", async () => {
      const lower = Object.fromEntries(forge(names).map(([name, value]) => [name.toLowerCase(), value]));
      for (const [path, key] of [
        ["/orders/1", keys.gold],
        ["/public", undefined],
      ] as const) {
        const answer = await sendHttp2(
          gateway.port(),
          { ":path": path, ...lower, ...(key === undefined ? {} : { "x-api-key": key }) },
          "body",
          { ...lower, "x-checksum": "kept" },
        );
        assert.equal(answer.status, 200, answer.body);
        assert.ok(!answer.body.includes(forgedValue), answer.body);
        assert.deepEqual((JSON.parse(answer.body) as { trailers: unknown }).trailers, { "x-checksum": "kept" });
      }
    });
  });
}
