/**
 * Through a real Envoy and the filter to real frameworks, which read paths and methods in their own ways: no keyed handler runs without a key, and
 * none that asks for a scope with a key that has no such scope.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { digestHex } from "../../control/domain/keys.ts";
import type { ApiInput, FileInput } from "../../control/domain/schema.ts";
import { sendAll, type Answer } from "../differential/clients.ts";
import { specOf } from "../differential/environments.ts";
import { startGateways, type Gateways } from "../differential/gateways.ts";
import { Random, seedOf } from "../differential/random.ts";
import { requestText } from "../differential/requests.ts";
import type { Backend, MissingBackend } from "./backend.ts";
import { corpus, type CorpusRequest } from "./corpus.ts";
import { nginxBackends } from "./nginx.ts";
import { nodeBackends } from "./nodeFrameworks.ts";
import { pythonBackends } from "./python.ts";

const seed = seedOf();
const shownMax = Number(process.env["SHOWN"] ?? 10);
const readerKey = "backends-reader-key-0123456789abcdef";
const adminKey = "backends-admin-key-0123456789abcdef";

const all: (Backend | MissingBackend)[] = (
  await Promise.all([nodeBackends(), pythonBackends(), nginxBackends()])
).flat();
const backends = all.filter((one): one is Backend => "port" in one);

/** Keyless and keyed APIs on one upstream. */
function definitions(port: number, index: number): FileInput {
  const api = (id: string, paths: string[], auth: "key" | "none", more: Partial<ApiInput> = {}): ApiInput => ({
    id,
    hosts: ["*"],
    paths,
    upstream: { service: "127.0.0.1", port },
    auth: { mode: auth },
    ...more,
  });
  return {
    version: 1,
    environment: `backend-${index}`,
    apis: [
      api("site", ["/"], "none"),
      api("admin", ["/admin"], "key"),
      api("read", ["/items"], "none", { methods: ["GET"] }),
      api("write", ["/items"], "key", { methods: ["POST", "PUT", "DELETE"] }),
      api("reports", ["/reports"], "key", {
        routes: [{ path: "/reports/export", methods: ["POST"], scopes: ["export"] }],
      }),
    ],
    tiers: [
      { id: "readers", scopes: ["read"] },
      { id: "admins", scopes: ["*"] },
    ],
    consumers: [
      { id: "reader", tier: "readers" },
      { id: "admin", tier: "admins" },
    ],
    keys: [
      { id: "reader-1", consumer: "reader", sha256: digestHex(readerKey) },
      { id: "admin-1", consumer: "admin", sha256: digestHex(adminKey) },
    ],
  };
}

/** What must not have run. */
const forbidden = ({ reader }: CorpusRequest, { reached }: Answer): boolean =>
  reached === "export" || (!reader && (reached === "admin" || reached === "write" || reached === "report"));

const kinds = ["an Envoy that normalizes paths", "an Envoy that does not"];

describe("no keyed handler runs without a key", () => {
  let gateways: Gateways;
  before(async () => {
    const specs = backends.flatMap(({ port }, index) => kinds.map(() => specOf(definitions(port, index))));
    gateways = await startGateways(specs, {
      changeManager: (manager, index) => {
        if (index % kinds.length === 1)
          Object.assign(manager, {
            normalize_path: false,
            merge_slashes: false,
            path_with_escaped_slashes_action: "KEEP_UNCHANGED",
          });
      },
    });
  });
  after(async () => {
    await gateways?.stop();
    await Promise.all(backends.map((backend) => backend.close()));
  });

  for (const one of all) {
    if (!("port" in one)) {
      it(one.name, { skip: one.missing }, () => undefined);
      continue;
    }
    const place = backends.indexOf(one) * kinds.length;
    for (const [index, kind] of kinds.entries()) {
      it(`${one.name}, behind ${kind}`, async () => {
        const requests = corpus(new Random(`${seed}/${one.name}/${index}`), 400, readerKey);
        const answers = await sendAll(
          gateways.ports[place + index]!,
          requests.map(({ request }) => request),
        );
        // Of one target the first is enough to read.
        const found = new Map<string, string>();
        requests.forEach((sent, nth) => {
          if (forbidden(sent, answers[nth]!) && !found.has(sent.request.target))
            found.set(
              sent.request.target,
              `${requestText(sent.request)}\n  → ${answers[nth]!.status} from the handler ${answers[nth]!.reached}`,
            );
        });
        if (found.size > 0)
          assert.fail(
            `seed ${seed} (TOLLGATE_TEST_SEED=${seed} repeats it): by ${found.size} targets, handlers ran that may not\n${[...found.values()].slice(0, shownMax).join("\n")}`,
          );
        const ran = answers.filter(({ reached }) => reached !== undefined).length;
        assert.ok(ran > requests.length / 10, `only ${ran} of ${requests.length} requests reached the backend`);
      });
    }

    it(`${one.name} runs each handler for who may call it`, async () => {
      const call = async (method: string, target: string, key?: string): Promise<string> => {
        const [answer] = await sendAll(gateways.ports[place]!, [
          {
            protocol: "http1",
            method,
            target,
            hosts: ["api.example.com"],
            headers: key === undefined ? [] : [["x-api-key", key]],
          },
        ]);
        return answer!.reached ?? answer!.reason ?? `Envoy's ${answer!.status}`;
      };
      assert.equal(await call("GET", "/"), "site");
      assert.equal(await call("GET", "/items/1"), "read");
      assert.equal(await call("POST", "/items/1"), "key_missing");
      assert.equal(await call("GET", "/admin/users", readerKey), "admin");
      assert.equal(await call("PUT", "/items", readerKey), "write");
      assert.equal(await call("GET", "/reports/export", readerKey), "report");
      assert.equal(await call("POST", "/reports/export", readerKey), "scope_missing");
      assert.equal(await call("POST", "/reports/export", adminKey), "export");
    });
  }
});
