/** The internal token from control's signature to an upstream Envoy that verifies it by control's key set, as a sidecar does. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { decodeProtectedHeader, generateKeyPair, SignJWT } from "jose";
import { startDemoUpstream, type DemoUpstream } from "../../devstack/demoUpstream.ts";
import { Gateway, reasonOf } from "../kit/gateway.ts";
import { ControlProcess } from "../kit/control.ts";
import { Envoy } from "../kit/envoy.ts";
import { environment, host, makeFixture } from "../kit/fixture.ts";
import { Hammer, stopHammers } from "../kit/hammer.ts";
import { send, type Pair } from "../kit/http1.ts";
import { binaryOf, newest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const issuer = "https://tollgate.example.com";
const lifetimeSeconds = 60;
const header = "x-tollgate-token";

/** What RequestAuthentication makes of Envoy's filter; as istiod does, `async_fetch` keeps the last set while control is away. */
const verifier = {
  name: "envoy.filters.http.jwt_authn",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    providers: {
      tollgate: {
        issuer,
        audiences: ["mesh"],
        remote_jwks: {
          http_uri: {
            uri: `http://control/.well-known/tollgate/${environment}/jwks.json`,
            cluster: "jwks",
            timeout: "2s",
          },
          cache_duration: "1s",
          async_fetch: {},
        },
        from_headers: [{ name: header }],
        forward: true,
        claim_to_headers: ["sub", "tier", "scope", "key_id", "env"].map((claim) => ({
          header_name: `x-verified-${claim.replace("_", "-")}`,
          claim_name: claim,
        })),
      },
    },
    rules: [{ match: { prefix: "/" }, requires: { provider_name: "tollgate" } }],
  },
};

describe("the internal token", () => {
  const { file, keys } = makeFixture();
  let control: ControlProcess;
  let upstream: DemoUpstream;
  let hop: Envoy;
  let gateway: Gateway;
  before(async () => {
    control = await ControlProcess.start();
    upstream = await startDemoUpstream(0);
    const gatewayToken = await control.createEnvironment(environment, {
      ...file,
      internalToken: { issuer, audiences: ["mesh"], lifetimeSeconds },
    });
    hop = await Envoy.start({
      binary: await binaryOf(newest),
      workers: 1,
      bootstrap: {
        nodeId: "hop",
        listeners: [{ port: 0, filtersBefore: [verifier] }],
        clusters: [
          { name: "upstream", host: "127.0.0.1", port: upstream.port },
          { name: "jwks", host: "127.0.0.1", port: control.syncPort },
        ],
      },
    });
    gateway = await Gateway.start({
      setup: newest,
      syncPort: control.syncPort,
      gatewayToken,
      upstreamPort: hop.port(),
      listeners: [
        {
          configuration: {
            environment,
            control: { cluster: "control", authority: "control.test", timeoutMs: 2000, waitMs: 5000 },
            claims: { token: header },
          },
        },
      ],
    });
  });
  after(async () => {
    stopHammers();
    await gateway?.stop();
    await hop?.stop();
    await upstream?.close();
    await control?.remove();
  });

  const call = (key: string, more: Pair[] = [], path = "/orders/1") =>
    gateway.exchange({ path, headers: [["host", host], ["x-api-key", key], ...more] });
  const tokenSeen = async (key: string): Promise<string> => {
    const { seen, response } = await call(key);
    assert.ok(seen, `${response.status} ${response.body}`);
    return seen.headers[header] as string;
  };
  const edit = (path: string, body: object) => control.call("PUT", `/v1/${path}?environment=${environment}`, body);

  it("is verified by the next hop, and says who calls", async () => {
    const { seen, response } = await call(keys.gold);
    assert.ok(seen, `${response.status} ${response.body}`);
    const verified = Object.fromEntries(
      Object.entries(seen.headers).filter(([name]) => name.startsWith("x-verified-")),
    );
    assert.deepEqual(verified, {
      "x-verified-sub": "acme",
      "x-verified-tier": "gold",
      "x-verified-scope": "read search",
      "x-verified-key-id": "key-gold",
      "x-verified-env": environment,
    });
    const silver = await call(keys.silver);
    assert.equal(silver.seen?.headers["x-verified-sub"], "solo");
  });

  it("can't be forged or borrowed by a client", async () => {
    const real = await tokenSeen(keys.gold);
    const { privateKey } = await generateKeyPair("ES256");
    const forged = await new SignJWT({ sub: "acme", tier: "gold" })
      .setProtectedHeader({ alg: "ES256", kid: decodeProtectedHeader(real).kid! })
      .setIssuer(issuer)
      .setAudience("mesh")
      .setExpirationTime("5m")
      .sign(privateKey);
    for (const stolen of [real, forged]) {
      for (const name of [header, "X-Tollgate-Token", "x_tollgate_token"]) {
        const { seen, response } = await call(keys.silver, [[name, stolen]]);
        assert.ok(seen, `${response.status} ${response.body}`);
        assert.equal(seen.headers["x-verified-sub"], "solo");
        const keyless = await gateway.exchange({
          path: "/public",
          headers: [
            ["host", host],
            [name, stolen],
          ],
        });
        assert.equal(keyless.response.status, 401, "the hop must see no token on a keyless API");
        assert.equal(keyless.seen, undefined);
      }
    }
    assert.equal((await send(hop.port(), { path: "/orders/1", headers: [[header, forged]] })).status, 401);
    assert.equal((await send(hop.port(), { path: "/orders/1" })).status, 401);
    assert.equal((await send(hop.port(), { path: "/orders/1", headers: [[header, real]] })).status, 200);
  });

  it("changes its key under load without one failure", async () => {
    const before = decodeProtectedHeader(await tokenSeen(keys.gold)).kid;
    const load = new Hammer([gateway], {
      path: "/orders/1",
      key: keys.gold,
      headers: [["host", host]],
      connections: 8,
    });
    await load.admitted(200);
    await control.call("POST", `/v1/signing-keys/rotate?environment=${environment}`, { publishSeconds: 4 });
    const kids = async () =>
      (
        (await (
          await fetch(`http://127.0.0.1:${control.syncPort}/.well-known/tollgate/${environment}/jwks.json`)
        ).json()) as { keys: { kid: string }[] }
      ).keys.map(({ kid }) => kid);
    await eventually("both keys to be published", async () => (await kids()).length === 2);
    await sleep(5000);
    // What the token tells has changed: workers fetch the next one at once, signed by the new key.
    for (let turn = 0; turn < 5; turn++) {
      await edit("consumers/acme", { tier: "gold", claims: { org: "acme", turn: String(turn) } });
      await load.admitted(load.tally.admitted + 200);
    }
    await eventually(
      "the new key to sign",
      async () => decodeProtectedHeader(await tokenSeen(keys.gold)).kid !== before,
    );
    const { failed, statuses } = await load.stop();
    assert.deepEqual([failed, Object.keys(statuses)], [0, ["200"]]);
    assert.equal((await kids()).length, 2, "the old key verifies on");
  });

  it("isn't given to a revoked key, and nothing reaches the next hop", async () => {
    await tokenSeen(keys.reader);
    await control.call("POST", `/v1/keys/key-reader/revoke?environment=${environment}`);
    await eventually("the gateway to know", async () => reasonOf((await call(keys.reader)).response) === "key_revoked");
    const served = await hop.stat("http.gateway-0.downstream_rq_total");
    for (let i = 0; i < 20; i++) assert.equal(reasonOf((await call(keys.reader)).response), "key_revoked");
    assert.equal(await hop.stat("http.gateway-0.downstream_rq_total"), served);
  });

  it("is used until its end while control is down, then the API is closed; afterwards all goes on", async () => {
    // Both workers have one that was just fetched.
    await edit("consumers/acme", { tier: "gold", claims: { org: "acme", last: "1" } });
    await sleep(1000);
    const warm = new Hammer([gateway], {
      path: "/orders/1",
      key: keys.gold,
      headers: [["host", host]],
      requests: 400,
      connections: 12,
    });
    assert.deepEqual(Object.keys((await warm.done()).statuses), ["200"]);
    await control.kill();
    const killedMs = Date.now();
    // A caller without a token waits for a second at most.
    const { response } = await call(keys.narrow, [], "/partner");
    assert.equal(reasonOf(response), "token_unavailable");
    assert.equal(response.status, 503);
    assert.ok(response.header("retry-after"));
    let admitted = 0;
    while (Date.now() - killedMs < (lifetimeSeconds - 8) * 1000) {
      const { response } = await call(keys.gold);
      assert.equal(response.status, 200, `${Date.now() - killedMs} ms after control was killed: ${response.body}`);
      admitted++;
      await sleep(500);
    }
    assert.ok(admitted > 50);
    // Refused by the gateway itself, ahead of the end: the next hop never has to.
    await eventually("the token to be over", async () => {
      const { response } = await call(keys.gold);
      assert.ok(
        response.status === 200 || reasonOf(response) === "token_unavailable",
        `${response.status} ${response.body}`,
      );
      return response.status === 503;
    });
    await control.start();
    await eventually("the gateway to have a token again", async () => (await call(keys.gold)).response.status === 200);
  });
});
