/** The policies that `tollgate manifests` puts behind the filter: they hold where it's missing, and never refuse what it admits. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { reasonOf } from "../kit/gateway.ts";
import type { Pair } from "../kit/http1.ts";
import { eventually } from "../kit/eventually.ts";
import { manifestsOf } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import { Issuer } from "./support/tokens.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

describe("policies behind the filter", { skip: await skipReason() }, () => {
  const keys = { bronze: issueKey("default", randomInt).key, gold: issueKey("default", randomInt).key };
  let issuer: Issuer;
  let mesh: Mesh;
  let objects: { kind: string }[];
  before(async () => {
    issuer = await Issuer.make("https://issuer.test/");
    const made = await manifestsOf(file(), "istio");
    objects = made.objects as { kind: string }[];
    mesh = await Mesh.start({
      file: file(),
      services: ["all", "free", "paid", "people"].map((name) => ({ name, namespace: "shop" })),
      manifests: true,
      meshConfig: made.meshConfig,
      objects: { tollgate: made.objects },
    });
    await eventually(
      "the gateway's answer",
      async () => reasonOf(await call("other.example.org", "/")) === "key_missing",
    );
    await eventually(
      "the tokens' keys",
      async () =>
        (await upstreamOf("api.example.com", "/people", { token: await issuer.sign({ client_id: "acme" }) })) ===
        "people",
    );
  });
  after(() => mesh?.stop());

  it("let through what the filter admits, with a port in the host too", async () => {
    for (const suffix of ["", ":80", ":8443"]) {
      assert.equal(await upstreamOf(`other.example.org${suffix}`, "/x", { key: keys.bronze }), "all");
      assert.equal(await upstreamOf(`api.example.com${suffix}`, "/free"), "free");
      assert.equal(await upstreamOf(`api.example.com${suffix}`, "/paid/1", { key: keys.gold }), "paid");
      assert.equal(await upstreamOf(`deep.free.example.com${suffix}`, "/free/1"), "free", "below a wildcard, keyless");
    }
    const preflight: Pair[] = [
      ["host", "api.example.com"],
      ["origin", "https://app.example.com"],
      ["access-control-request-method", "POST"],
    ];
    assert.equal((await mesh.gateway.send({ method: "OPTIONS", path: "/paid", headers: preflight })).status, 200);
  });

  it("leave the reasons to the filter", async () => {
    assert.deepEqual(await refusal("api.example.com", "/paid"), [401, "key_missing"]);
    assert.deepEqual(await refusal("api.example.com", "/paid", { key: keys.bronze }), [403, "api_not_allowed"]);
    assert.deepEqual(await refusal("api.example.com", "/people"), [401, "token_missing"]);
  });

  it("go with routes that read a host as the filter does, with a final dot too", async () => {
    // Without base/platform/host-form.yaml both would find the API of all hosts here.
    for (const host of ["api.example.com.", "api.example.com.:80", "API.example.COM."])
      assert.equal(await upstreamOf(host, "/free"), "free", host);
    assert.deepEqual(await refusal("api.example.com.", "/paid"), [401, "key_missing"]);
    // Envoy takes one port away, and the filter the other.
    assert.equal(await upstreamOf("api.example.com:80:80", "/free"), "free");
    for (const host of ["api.example.com:abc", "api.example.com..", "api.example.com..:80"])
      assert.deepEqual(await refusal(host, "/free"), [400, "host_invalid"], host);
  });

  it("close every API with callers while the filter is missing, forged headers of another tier included", async () => {
    mesh.put(
      "tollgate",
      objects.filter(({ kind }) => kind !== "WasmPlugin"),
    );
    await eventually("a gateway without the filter", async () => (await call("other.example.org", "/")).status === 403);
    for (const [host, path] of [
      ["other.example.org", "/"],
      ["api.example.com", "/paid"],
      ["api.example.com", "/people"],
    ] as const) {
      assert.deepEqual(await refusal(host, path, { key: keys.gold }), [403, undefined], `${host}${path}`);
    }
    assert.deepEqual(await refusal("api.example.com", "/paid", { more: [["x-tollgate-tier", "bronze"]] }), [
      403,
      undefined,
    ]);
    assert.deepEqual(
      await refusal("api.example.com", "/people", { more: [["x-tollgate-tier", "gold"]] }),
      [403, undefined],
      "a forged tier is no token",
    );
    assert.equal(await upstreamOf("api.example.com", "/free"), "free", "keyless as before");
    mesh.put("tollgate", objects);
    await eventually("the filter again", async () => reasonOf(await call("other.example.org", "/")) === "key_missing");
  });

  interface Caller {
    key?: string;
    token?: string;
    more?: Pair[];
  }

  function call(host: string, path: string, { key, token, more = [] }: Caller = {}) {
    const headers: Pair[] = [["host", host], ...more];
    if (key !== undefined) headers.push(["x-api-key", key]);
    if (token !== undefined) headers.push(["authorization", `Bearer ${token}`]);
    return mesh.gateway.send({ path, headers });
  }

  async function upstreamOf(host: string, path: string, caller: Caller = {}): Promise<string> {
    const response = await call(host, path, caller);
    return response.status === 200
      ? (JSON.parse(response.body) as Echo).upstream
      : `${response.status} ${response.body}`;
  }

  async function refusal(host: string, path: string, caller: Caller = {}): Promise<[number, string | undefined]> {
    const response = await call(host, path, caller);
    return [response.status, reasonOf(response)];
  }

  function file(): FileInput {
    const upstream = (name: string) => ({ service: `${name}.shop.svc.cluster.local`, port: 8080 });
    return {
      version: 1,
      apis: [
        { id: "all", hosts: ["*"], paths: ["/"], upstream: upstream("all"), auth: { mode: "key" } },
        {
          id: "free",
          hosts: ["api.example.com", "*.free.example.com"],
          paths: ["/free"],
          upstream: upstream("free"),
          auth: { mode: "none" },
        },
        {
          id: "paid",
          hosts: ["api.example.com"],
          paths: ["/paid"],
          upstream: upstream("paid"),
          auth: { mode: "key" },
          cors: { allowOrigins: ["https://app.example.com"], allowMethods: ["POST"] },
        },
        {
          id: "people",
          hosts: ["api.example.com"],
          paths: ["/people"],
          upstream: upstream("people"),
          auth: { mode: "jwt", jwt: { issuers: [{ issuer: issuer.url, jwks: issuer.jwks }] } },
        },
      ],
      tiers: [{ id: "bronze", apis: ["all"] }, { id: "gold" }],
      consumers: [
        { id: "initech", tier: "bronze" },
        { id: "acme", tier: "gold" },
      ],
      keys: [
        { id: "b", consumer: "initech", sha256: digestHex(keys.bronze) },
        { id: "g", consumer: "acme", sha256: digestHex(keys.gold) },
      ],
    };
  }
});
