/** The filter on a service's sidecar: callers inside the mesh are consumers by their certificates, with tiers and limits. */
import assert from "node:assert/strict";
import { request } from "node:https";
import { after, before, describe, it } from "node:test";
import type { FileInput } from "../../control/domain/schema.ts";
import { Authority, type Certificate } from "../envoy/support/spiffe.ts";
import { eventually } from "../kit/eventually.ts";
import { manifestsOf } from "./support/manifests.ts";
import { Mesh } from "./support/mesh.ts";
import type { Echo } from "./support/upstream.ts";
import { skipReason } from "./tools.ts";

const host = "stock.shop.svc.cluster.local";
const identity = (account: string): string => `spiffe://cluster.local/ns/shop/sa/${account}`;
const perMonth = 3;

interface Answer {
  status: number;
  reason: string | undefined;
  echo: Echo | undefined;
}

describe("the plugin on a sidecar", { skip: await skipReason() }, () => {
  const authority = new Authority("cluster.local");
  const checkout = authority.issue(identity("checkout"));
  let mesh: Mesh;
  before(async () => {
    const { objects, meshConfig, istiodEnv } = await manifestsOf(shop(), "istio", ["mesh-identity"]);
    mesh = await Mesh.start({
      file: shop(),
      manifests: true,
      services: [{ name: "stock", namespace: "shop", sidecar: true }],
      meshConfig,
      istiodEnv,
      objects: { tollgate: objects, certificates: [mutualTls(authority)] },
    });
    await eventually("the sidecar to serve", async () => (await ask("/free", checkout)).status === 200);
  });
  after(() => mesh?.stop());

  it("takes the caller of a certificate as its consumer", async () => {
    const { status, echo } = await ask("/free", checkout, {
      "x-tollgate-peer-consumer": "somebody",
      "x-tollgate-peer-tier": "platinum",
    });
    assert.equal(status, 200);
    assert.deepEqual(
      [echo!.headers["x-tollgate-peer-consumer"], echo!.headers["x-tollgate-peer-tier"]],
      ["checkout", "inside"],
    );
  });

  it("limits what the caller's tier says", async () => {
    const answers: Answer[] = [];
    for (let i = 0; i < perMonth + 2; i++) answers.push(await ask("/stock/7", checkout));
    assert.deepEqual(
      answers.map(({ status }) => status),
      [...Array<number>(perMonth).fill(200), 429, 429],
    );
    assert.equal(answers.at(-1)!.reason, "quota_exceeded");
  });

  it("refuses a certificate of nobody that it knows", async () => {
    const { status, reason } = await ask("/free", authority.issue(identity("visitor")));
    assert.deepEqual([status, reason], [403, "unknown_peer"]);
  });

  it("has no connection with a certificate of another authority, or none", async () => {
    await assert.rejects(ask("/free", new Authority("cluster.local").issue(identity("checkout"))));
    await assert.rejects(ask("/free"));
  });

  function ask(path: string, client?: Certificate, headers: Record<string, string> = {}): Promise<Answer> {
    const port = mesh.sidecars.get("stock")!.port();
    return new Promise((resolve, reject) => {
      const sent = request(
        {
          host: "127.0.0.1",
          port,
          path,
          ca: authority.cert,
          checkServerIdentity: () => undefined,
          agent: false,
          headers: { host, ...headers },
          ...client,
        },
        (response) => {
          let body = "";
          response.setEncoding("utf8").on("data", (text: string) => (body += text));
          response.on("end", () => {
            const json = (body.startsWith("{") ? JSON.parse(body) : {}) as Echo & { reason?: string };
            resolve({
              status: response.statusCode!,
              reason: json.reason,
              echo: json.upstream === undefined ? undefined : json,
            });
          });
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  }
});

/** What Istio's agent would do: the sidecar has a certificate, and takes only its authority's. */
function mutualTls(authority: Authority): object {
  const server = authority.issue(identity("stock"));
  return {
    apiVersion: "networking.istio.io/v1alpha3",
    kind: "EnvoyFilter",
    metadata: { name: "certificates", namespace: "shop" },
    spec: {
      workloadSelector: { labels: { app: "stock" } },
      configPatches: [
        {
          applyTo: "FILTER_CHAIN",
          match: { context: "SIDECAR_INBOUND" },
          patch: {
            operation: "MERGE",
            value: {
              transport_socket: {
                name: "envoy.transport_sockets.tls",
                typed_config: {
                  "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                  require_client_certificate: true,
                  common_tls_context: {
                    tls_certificates: [
                      { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
                    ],
                    validation_context: { trusted_ca: { inline_string: authority.cert } },
                  },
                },
              },
            },
          },
        },
      ],
    },
  };
}

function shop(): FileInput {
  return {
    version: 1,
    internalToken: { issuer: "https://tollgate.test" }, // with it, mesh-identity has a policy by certificate for stock
    apis: [
      {
        id: "orders",
        hosts: ["shop.example.com"],
        paths: ["/orders"],
        upstream: { service: "orders.shop.svc.cluster.local", port: 8080 },
      },
      {
        id: "stock",
        hosts: ["stock", "stock.shop", host],
        paths: ["/"],
        upstream: { service: host, port: 8080 },
        auth: { mode: "mtls" },
        routes: [{ path: "/free", cost: 0 }],
      },
    ],
    tiers: [
      { id: "inside", limits: [{ name: "month", kind: "quota", limit: perMonth, period: "30d", anchor: "firstUse" }] },
    ],
    consumers: [{ id: "checkout", tier: "inside", identities: [identity("checkout")] }],
    keys: [],
  };
}
