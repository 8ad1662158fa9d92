/** Services decide by the internal token that control signs: the gateway injects it, each service's proxy verifies it, and forged headers are worth nothing. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { decodeJwt, decodeProtectedHeader } from "jose";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { Hammer, stopHammers } from "../kit/hammer.ts";
import type { Pair, Response } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { manifestsOf } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import { Issuer } from "./support/tokens.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

const issuerUrl = "https://tollgate.test";

describe("the internal token in a mesh", { skip: await skipReason() }, () => {
  const keys = { bronze: issueKey("default", randomInt).key, platinum: issueKey("default", randomInt).key };
  let mesh: Mesh;
  before(async () => {
    const file = shop(keys);
    mesh = await Mesh.start({
      file,
      manifests: true,
      services: [{ name: "orders", namespace: "shop", sidecar: true }],
      ...(await withObjects(file)),
    });
    await eventually(
      "the gateway and the service's proxy to serve",
      async () => (await atGateway("/orders", [["x-api-key", keys.platinum]])).status === 200,
    );
  });
  after(async () => {
    stopHammers();
    await mesh?.stop();
  });

  it("reaches the service with each call, signed for its caller", async () => {
    const { headers } = await admitted("/orders", keys.platinum);
    const token = headers["x-tollgate-token"]!;
    const { iss, aud, sub, tier, scope } = decodeJwt(token);
    assert.deepEqual(
      { iss, aud, sub, tier, scope },
      { iss: issuerUrl, aud: ["mesh"], sub: "acme", tier: "platinum", scope: "read write" },
    );
    assert.equal(decodeProtectedHeader(token).alg, "ES256");
  });

  it("is the service's own proof: forged headers inside the mesh are refused", async () => {
    const forged: Pair[] = [
      ["x-tollgate-consumer", "acme"],
      ["x-tollgate-tier", "platinum"],
    ];
    assert.equal((await atService("/orders", forged)).status, 403);
    const other = await Issuer.make(issuerUrl);
    assert.equal(
      (
        await atService("/orders", [
          ["x-tollgate-token", await other.sign({ aud: "mesh", sub: "acme", tier: "platinum" })],
        ])
      ).status,
      401,
    );
    const { headers } = await admitted("/orders", keys.platinum);
    assert.equal((await atService("/orders", [["x-tollgate-token", headers["x-tollgate-token"]!]])).status, 200);
  });

  it("is the gateway's to set: a client's own is gone", async () => {
    const stolen = (await admitted("/orders", keys.platinum)).headers["x-tollgate-token"]!;
    const { headers } = await admitted("/orders", keys.bronze, [["x-tollgate-token", stolen]]);
    assert.equal(decodeJwt(headers["x-tollgate-token"]!).sub, "corner");
    assert.equal((await atGateway("/orders", [["x-tollgate-token", stolen]])).status, 401);
  });

  it("has the tier and scopes that the service's policy decides on", async () => {
    const bronze = (await admitted("/orders", keys.bronze)).headers["x-tollgate-token"]!;
    const platinum = (await admitted("/orders", keys.platinum)).headers["x-tollgate-token"]!;
    assert.equal((await atService("/orders/export", [["x-tollgate-token", bronze]])).status, 403, "no scope");
    assert.equal((await atService("/orders/export", [["x-tollgate-token", platinum]])).status, 200);
    assert.equal((await atService("/vault", [["x-tollgate-token", bronze]])).status, 403, "another tier's");
    assert.equal((await atService("/vault", [["x-tollgate-token", platinum]])).status, 200);
  });

  it("goes on under load while the signing key is rotated", async () => {
    const load = new Hammer([mesh.gateway], { path: "/orders", key: keys.platinum, connections: 4 });
    await load.admitted(50);
    await mesh.control.call("POST", "/v1/signing-keys/rotate");
    await load.admitted(load.tally.admitted + 500);
    const { statuses, failed } = await load.stop();
    assert.deepEqual([Object.keys(statuses), failed], [["200"], 0]);
  });

  it("ends with the key", async () => {
    await mesh.control.call("POST", "/v1/keys/corner-1/revoke");
    await eventually(
      "the refusal",
      async () => (await atGateway("/orders", [["x-api-key", keys.bronze]])).status === 401,
    );
  });

  function atGateway(path: string, headers: Pair[] = []): Promise<Response> {
    return mesh.gateway.send({ path, headers });
  }

  /** As another workload in the mesh would call. */
  function atService(path: string, headers: Pair[]): Promise<Response> {
    return mesh.sidecars.get("orders")!.send({ path, headers });
  }

  async function admitted(path: string, key: string, more: Pair[] = []): Promise<Echo> {
    const response = await atGateway(path, [["x-api-key", key], ...more]);
    assert.equal(response.status, 200, response.body);
    return JSON.parse(response.body) as Echo;
  }
});

async function withObjects(
  file: FileInput,
): Promise<{ objects: Record<string, object[]>; meshConfig: object; istiodEnv: Record<string, string> }> {
  const { objects, ...more } = await manifestsOf(file, "istio", ["mesh-identity"]);
  return { objects: { tollgate: objects }, ...more };
}

function shop(keys: { bronze: string; platinum: string }): FileInput {
  const upstream = { service: "orders.shop.svc.cluster.local", port: 8080 };
  return {
    version: 1,
    internalToken: { issuer: issuerUrl, audiences: ["mesh"], lifetimeSeconds: 60 },
    apis: [
      {
        id: "orders",
        hosts: ["*"],
        paths: ["/orders"],
        upstream,
        routes: [{ path: "/orders/export", scopes: ["write"] }],
      },
      { id: "vault", hosts: ["*"], paths: ["/vault"], upstream },
    ],
    tiers: [
      { id: "bronze", limits: [], scopes: ["read"], apis: ["orders"] },
      { id: "platinum", limits: [], scopes: ["read", "write"] },
    ],
    consumers: [
      { id: "acme", tier: "platinum" },
      { id: "corner", tier: "bronze" },
    ],
    keys: [
      { id: "acme-1", consumer: "acme", sha256: digestHex(keys.platinum) },
      { id: "corner-1", consumer: "corner", sha256: digestHex(keys.bronze) },
    ],
  };
}
