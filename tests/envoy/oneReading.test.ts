/** The upstream that answers is that of the API by whose rules the filter has decided, in the configuration that `tollgate envoy-config` makes. */
import assert from "node:assert/strict";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import { routesOf } from "../../tools/envoy/routes.ts";
import { reasonOf, standalone } from "../kit/gateway.ts";
import { Envoy } from "../kit/envoy.ts";
import { send } from "../kit/http1.ts";
import { sendHttp2 } from "../kit/http2.ts";
import { binaryOf, twoSetups } from "../kit/envoySetups.ts";
import { filterModule } from "../kit/filterModule.ts";

const names = ["open-one", "keyed-suffix", "open-suffix", "keyed-any", "site", "admin"] as const;

describe("one reading of every request", () => {
  const servers: Server[] = [];
  const port = (name: (typeof names)[number]): number => (servers[names.indexOf(name)]!.address() as AddressInfo).port;
  before(async () => {
    for (const name of names) {
      const server = createServer((_, response) => response.end(name));
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      servers.push(server);
    }
  });
  after(() => servers.forEach((server) => server.close()));

  function file(): FileInput {
    const at = (name: (typeof names)[number]) => ({ service: "127.0.0.1", port: port(name) });
    const keyless = { mode: "none" } as const;
    return {
      version: 1,
      environment: "default",
      apis: [
        { id: "open-one", hosts: ["a.example.com"], paths: ["/"], upstream: at("open-one"), auth: keyless },
        { id: "keyed-suffix", hosts: ["*.example.com"], paths: ["/"], upstream: at("keyed-suffix") },
        { id: "open-suffix", hosts: ["*.open.test"], paths: ["/"], upstream: at("open-suffix"), auth: keyless },
        {
          id: "keyed-any",
          hosts: ["*"],
          paths: ["/"],
          upstream: at("keyed-any"),
          routes: [{ path: "/admin", methods: ["POST"], scopes: ["admin"] }],
        },
        { id: "site", hosts: ["site.test"], paths: ["/"], upstream: at("site"), auth: keyless },
        { id: "admin", hosts: ["site.test"], paths: ["/admin"], upstream: at("admin") },
      ],
      tiers: [],
      consumers: [],
      keys: [],
    };
  }

  for (const setup of twoSetups) {
    describe(setup.name, () => {
      let envoy: Envoy;
      before(async () => {
        const spec = fillEnvironment(file(), "default");
        const { virtualHosts, clusters } = routesOf(spec.apis);
        const wasmPath = await filterModule();
        envoy = await Envoy.start({
          binary: await binaryOf(setup),
          workers: setup.workers,
          bootstrap: {
            clusters,
            listeners: [
              { port: 0, virtualHosts, plugin: { wasmPath, configuration: standalone(spec), hostEnvironment: [] } },
            ],
          },
        });
      });
      after(() => envoy?.stop());

      /** The upstream's name, or why the request was refused. */
      async function http1(host: string, path = "/x", method = "GET"): Promise<string> {
        const response = await send(envoy.port(0), { method, path, headers: [["Host", host]] });
        return response.status === 200 ? response.body : (reasonOf(response) ?? String(response.status));
      }

      async function http2(host: string, path = "/x", method = "GET"): Promise<string> {
        const { status, body } = await sendHttp2(envoy.port(0), {
          ":authority": host,
          ":path": path,
          ":method": method,
        });
        return status === 200 ? body : ((JSON.parse(body || "{}") as { reason?: string }).reason ?? String(status));
      }

      it("finds the API of a host, and refuses hosts that aren't plain, over HTTP/1 and HTTP/2", async () => {
        const cases: [host: string, outcome: string][] = [
          ["a.example.com", "open-one"],
          ["A.Example.Com:8080", "open-one"],
          ["a.example.com.", "open-one"],
          ["b.example.com", "key_missing"],
          ["x.a.example.com", "key_missing"],
          ["x.open.test", "open-suffix"],
          ["open.test", "key_missing"],
          [".open.test", "host_invalid"],
          [".open.test:80", "host_invalid"],
          ["..open.test", "host_invalid"],
          ["x..open.test", "host_invalid"],
          ["x.open.test..", "host_invalid"],
          [`${"a".repeat(250)}.open.test`, "host_invalid"],
        ];
        for (const [host, outcome] of cases)
          for (const ask of [http1, http2]) assert.equal(await ask(host), outcome, `${host} by ${ask.name}`);
      });

      it("refuses methods in another case", async () => {
        assert.equal(await http2("other.test", "/admin", "POST"), "key_missing");
        for (const method of ["post", "Post", "pOST"]) {
          for (const host of ["other.test", "a.example.com"])
            assert.equal(await http2(host, "/admin", method), "method_invalid", method);
        }
      });

      it("refuses paths that a backend may take for another API's", async () => {
        const cases: [path: string, outcome: string][] = [
          ["/users", "site"],
          ["/Users/Bob", "site"],
          ["/what%3f", "site"],
          ["/admin/users", "key_missing"],
          ["/Admin/users", "path_ambiguous"],
          ["/%41dmin/users", "path_ambiguous"],
          ["/ADMIN", "path_ambiguous"],
          ["/adm%C4%B1n", "path_ambiguous"],
          ["/admin%3fx", "path_ambiguous"],
          ["/admin%23", "path_ambiguous"],
          ["/Admin%23/x", "path_ambiguous"],
        ];
        for (const [path, outcome] of cases)
          for (const ask of [http1, http2])
            assert.equal(await ask("site.test", path), outcome, `${path} by ${ask.name}`);
      });
    });
  }
});
