/** Callers by certificate: mTLS to a real Envoy, with SPIFFE ids as a mesh gives them out. */
import assert from "node:assert/strict";
import { request } from "node:https";
import { after, before, describe, it } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { checkEnvironment } from "../../control/domain/semantics.ts";
import { Gateway, standalone } from "../kit/gateway.ts";
import { environment, host, makeFixture } from "../kit/fixture.ts";
import { twoSetups } from "../kit/envoySetups.ts";
import { Authority, type Certificate } from "./support/spiffe.ts";

const { keys, file } = makeFixture();
const identity = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;
const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };

const peers: FileInput = {
  ...file,
  apis: [
    ...file.apis!,
    {
      id: "mesh",
      hosts: [host],
      paths: ["/mesh"],
      upstream,
      auth: { mode: "mtls" },
      limits: [{ name: "two", kind: "rate", limit: 2, windowSeconds: 86_400, subject: "key" }],
      routes: [{ path: "/mesh/free", cost: 0 }],
    },
  ],
  consumers: [
    ...file.consumers!,
    {
      id: "checkout",
      tier: "gold",
      claims: { team: "shop" },
      identities: [identity("checkout"), identity("checkout-jobs")],
    },
  ],
};

interface Answer {
  status: number;
  reason: string | undefined;
  headers: Record<string, unknown>;
}

/** A request by TLS, with a client's certificate or without. */
function ask(
  port: number,
  path: string,
  authority: Authority,
  client?: Certificate,
  headers: Record<string, string> = {},
): Promise<Answer> {
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
          const json = (body.startsWith("{") ? JSON.parse(body) : {}) as {
            reason?: string;
            headers?: Record<string, unknown>;
          };
          resolve({ status: response.statusCode!, reason: json.reason, headers: json.headers ?? {} });
        });
      },
    );
    sent.on("error", reject);
    sent.end();
  });
}

for (const setup of twoSetups) {
  describe(setup.name, () => {
    const authority = new Authority("cluster.local");
    const stranger = new Authority("cluster.local");
    const server = authority.issue(identity("gateway"));
    let gateway: Gateway;

    /** Envoy asks for a certificate, and takes only the authority's. */
    const mutual = (required: boolean): Record<string, unknown> => ({
      name: "envoy.transport_sockets.tls",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate: required,
        common_tls_context: {
          tls_certificates: [
            { certificate_chain: { inline_string: server.cert }, private_key: { inline_string: server.key } },
          ],
          validation_context: { trusted_ca: { inline_string: authority.cert } },
        },
      },
    });
    /** What Istio's waypoint has in its filter state: here of the connection's certificate. */
    const passedOn = {
      name: "envoy.filters.http.set_filter_state",
      typed_config: {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
        on_request_headers: [
          {
            object_key: "io.istio.peer_principal",
            factory_key: "envoy.string",
            format_string: {
              text_format_source: { inline_string: "%REQ(x-test-principal)%" },
              omit_empty_values: true,
            },
            skip_if_empty: true,
          },
        ],
      },
    };

    before(async () => {
      const spec = fillEnvironment(peers, environment);
      assert.deepEqual(
        checkEnvironment(spec).filter(({ severity }) => severity === "error"),
        [],
      );
      const plugin = { hostEnvironment: [] };
      gateway = await Gateway.start({
        setup,
        listeners: [
          { configuration: standalone(spec), plugin, listener: { transportSocket: mutual(true) } },
          { configuration: standalone(spec), plugin, listener: { transportSocket: mutual(false) } },
          {
            configuration: standalone(spec, { peer: { source: "waypoint" } }),
            plugin,
            listener: { transportSocket: mutual(false), filtersBefore: [passedOn] },
          },
        ],
      });
    });
    after(() => gateway?.stop());

    const call = (client?: Certificate, headers: Record<string, string> = {}, listener = 0, path = "/mesh/free") =>
      ask(gateway.port(listener), path, authority, client, headers);

    it("the certificate's SPIFFE id names the consumer", async () => {
      const { status, headers } = await call(authority.issue(identity("checkout")), {
        "x-tollgate-consumer": "acme",
        "x-tollgate-key-id": "forged",
      });
      assert.equal(status, 200);
      const claims = Object.fromEntries(Object.entries(headers).filter(([name]) => name.startsWith("x-tollgate")));
      assert.deepEqual(claims, {
        "x-tollgate-consumer": "checkout",
        "x-tollgate-tier": "gold",
        "x-tollgate-scopes": "read search",
        "x-tollgate-claim-team": "shop",
      });
    });

    it("an identity of nobody is refused, and so is a certificate without one", async () => {
      assert.deepEqual(pick(await call(authority.issue(identity("cart")))), [403, "unknown_peer"]);
      assert.deepEqual(pick(await call(authority.issue(`${identity("checkout")}/more`))), [403, "unknown_peer"]);
      assert.deepEqual(pick(await call(authority.issue())), [401, "peer_missing"]);
    });

    it("of several URIs the first is who it is", async () => {
      assert.deepEqual(pick(await call(authority.issue(identity("cart"), identity("checkout")))), [
        403,
        "unknown_peer",
      ]);
    });

    it("without a certificate nobody is known, whatever is in headers and keys", async () => {
      const forged = { "x-forwarded-client-cert": `By=x;URI=${identity("checkout")}`, "x-api-key": keys.gold };
      assert.deepEqual(pick(await call(undefined, forged, 1)), [401, "peer_missing"]);
    });

    it("another authority's certificate never gets as far", async () => {
      for (const listener of [0, 1])
        await assert.rejects(call(stranger.issue(identity("checkout")), {}, listener), /alert|hang up|ECONNRESET/);
    });

    it("limits count each identity", async () => {
      const outcomes = async (name: string): Promise<number[]> => {
        const client = authority.issue(identity(name));
        const statuses: number[] = [];
        for (let i = 0; i < 4; i++) statuses.push((await call(client, {}, 0, "/mesh/x")).status);
        return statuses;
      };
      assert.deepEqual(await outcomes("checkout"), [200, 200, 429, 429]);
      assert.deepEqual(await outcomes("checkout-jobs"), [200, 200, 429, 429]);
    });

    it("at a waypoint it's what the mesh passed on", async () => {
      const client = authority.issue(identity("gateway"));
      const passed = await call(client, { "x-test-principal": identity("checkout") }, 2);
      assert.equal(passed.headers["x-tollgate-consumer"], "checkout");
      assert.deepEqual(pick(await call(authority.issue(identity("checkout")), {}, 2)), [401, "peer_missing"]);
    });

    it("other APIs take keys as ever", async () => {
      const { headers } = await call(authority.issue(identity("checkout")), { "x-api-key": keys.gold }, 0, "/orders/1");
      assert.equal(headers["x-tollgate-consumer"], "acme");
    });
  });
}

function pick({ status, reason }: Answer): [number, string | undefined] {
  return [status, reason];
}
