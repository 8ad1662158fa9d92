/** The same over the real store: what a gateway has after any history is what the store has. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import type { Api, Consumer, Key, Limit, Tier } from "../../control/domain/model.ts";
import { feedBounds } from "../../control/sync/feed.ts";
import { openStore } from "../../control/store/open.ts";
import type { RecordWriter, Store } from "../../control/store/store.ts";
import { eventually } from "../kit/eventually.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";
import { assertSynced, type Cleanup, parked, startSync } from "./support.ts";

const context = { actor: "test", requestId: "", nowMs: 1_790_000_000_000 };
const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
const limit = (name: string): Limit => ({
  name,
  kind: "rate",
  limit: 5,
  windowSeconds: 60,
  anchor: "calendar",
  subject: "key",
  enforcement: "global",
  mode: "enforce",
});
const api = (id: string, more: Partial<Api> = {}): Api => ({
  id,
  hosts: ["*"],
  paths: [`/${id}`],
  methods: [],
  upstream: { service: "up.demo", port: 8080 },
  auth: { mode: "key" },
  scopes: [],
  failureMode: "closed",
  rateLimitHeaders: true,
  legacyHeaders: "off",
  routes: [],
  limits: [],
  ...more,
});
const tier = (id: string, more: Partial<Tier> = {}): Tier => ({ id, scopes: ["read"], limits: [], ...more });
const consumer = (id: string, more: Partial<Consumer> = {}): Consumer => ({
  id,
  claims: {},
  suspended: false,
  ...more,
});
const key = (id: string, of: string, more: Partial<Key> = {}): Key => ({
  id,
  consumer: of,
  sha256: digest(id),
  state: "active",
  allowedCidrs: [],
  limits: [],
  ...more,
});

async function storeWith(
  t: Cleanup,
  edit: (writer: RecordWriter) => Promise<unknown>,
): Promise<{ store: Store; change(edit: (writer: RecordWriter) => Promise<unknown>): Promise<bigint> }> {
  const folder = makeFolder("sync");
  const store = await openStore(`file:${join(folder, "tollgate.db")}`, () => undefined, {
    changeRowsKept: 60,
    pruneAfterRows: 20,
  });
  t.after(async () => {
    await store.close();
    removeFolder(folder);
  });
  await store.createEnvironment("default", context);
  await store.addGatewayToken(
    {
      id: "t",
      name: "t",
      digest: digest("token"),
      environment: "default",
      group: "edge",
      apis: null,
      expiresAtMs: null,
    },
    2,
    context,
  );
  const change = async (edit: (writer: RecordWriter) => Promise<unknown>): Promise<bigint> =>
    BigInt((await store.change("default", context, edit))!.version);
  await change(edit);
  return { store, change };
}

test("snapshot, delta, revocation, deleted token, recorded gateway", async (t) => {
  const { store, change } = await storeWith(t, async (writer) => {
    await writer.put(
      "api",
      api("echo", {
        limits: [limit("per-ip")],
        routes: [{ path: "/echo/search", methods: ["POST"], scopes: ["search"], cost: 5, limits: [limit("search")] }],
      }),
    );
    await writer.put("tier", tier("bronze", { apis: ["echo"], limits: [limit("minute")] }));
    await writer.put("consumer", consumer("acme", { tier: "bronze", claims: { org: "acme" } }));
    await writer.put(
      "key",
      key("k1", "acme", {
        allowedCidrs: ["10.0.0.0/8"],
        apis: ["echo"],
        scopes: ["read"],
        expiresAt: "2030-01-01T00:00:00Z",
        limits: [limit("minute")],
      }),
    );
  });
  const sync = await startSync(t, store);
  await sync.server.warm(["default"]);
  const gateway = sync.gateway();
  assert.equal(await gateway.watch(), "manifest");
  await assertSynced(gateway, store);
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  await change((writer) => writer.put("key", key("k1", "acme", { state: "revoked" })));
  assert.equal(await woken, "delta");
  await assertSynced(gateway, store);
  await eventually("the gateway is recorded", async () =>
    (await store.gateways("default")).some(
      (known) => known.id === "node~1" && known.group === "edge" && known.workers === 1,
    ),
  );
  const ending = gateway.call("watch", { waitMs: "50000" });
  await parked(sync, 1);
  await store.renewEpoch("default", context);
  assert.equal(await gateway.take((await ending).bytes), "manifest");
  await assertSynced(gateway, store);
  const last = gateway.call("watch", { waitMs: "50000" });
  await parked(sync, 1);
  await store.deleteGatewayToken("default", "t", context);
  assert.equal((await last).status, 401);
});

type Step = {
  kind: "api" | "tier" | "consumer" | "key" | "delete" | "watch" | "import";
  which: number;
  other: number;
  gateway: number;
};

test("after any history every gateway has what the store has", async (t) => {
  const { store, change } = await storeWith(t, (writer) => writer.put("consumer", consumer("c0")));
  const feed = {
    ...feedBounds,
    delta: { maxRecords: 25, maxBytes: 4 << 20 },
    rebuild: { maxRecords: 10, maxBytes: 2 << 20 },
    rebuildEveryMs: 0,
  };
  const sync = await startSync(t, store, { feed });
  const gateways = [sync.gateway("token", "a~1"), sync.gateway("token", "b~1")];
  const act = async (step: Step): Promise<unknown> => {
    const { kind, which, other } = step;
    if (kind === "watch") return gateways[step.gateway]!.watch();
    return change(async (writer) => {
      const some = await writer.existing("consumer", [`c${other}`]);
      const of = some.size > 0 ? `c${other}` : "c0";
      const tiers = [...(await writer.existing("tier", [`t${which}`]))];
      const apis = [...(await writer.existing("api", [`a${which}`]))];
      if (kind === "api")
        return writer.put(
          "api",
          api(`a${which}`, { paths: [`/${which}/${other}`], limits: other % 2 === 0 ? [limit(`l${other}`)] : [] }),
        );
      if (kind === "tier")
        return writer.put(
          "tier",
          tier(`t${which}`, { limits: [limit(`l${other}`)], ...(other % 2 === 0 ? { apis } : {}) }),
        );
      if (kind === "consumer")
        return writer.put(
          "consumer",
          consumer(`c${which}`, {
            claims: { turn: String(other) },
            ...(tiers[0] === undefined ? {} : { tier: tiers[0] }),
          }),
        );
      // digests wander between keys
      if (kind === "key")
        return (
          (await writer.keyIdByDigest(digest(`d${other}`))) === undefined &&
          writer.put(
            "key",
            key(`k${which}`, of, { sha256: digest(`d${other}`), limits: which % 2 === 0 ? [limit("own")] : [] }),
          )
        );
      if (kind === "import") return writer.insertKeys(Array.from({ length: 30 }, (_, i) => key(`i${which}-${i}`, of)));
      const kinds = ["key", "key", "consumer", "tier", "api"] as const;
      const gone = kinds[other % kinds.length]!;
      const id = `${gone[0]}${which}`;
      return id !== "c0" && (await writer.references(gone, id, 1)).length === 0 && writer.delete(gone, id);
    });
  };
  const step = fc.record({
    kind: fc.constantFrom<Step["kind"]>(
      "api",
      "tier",
      "consumer",
      "key",
      "key",
      "key",
      "delete",
      "delete",
      "watch",
      "watch",
      "import",
    ),
    which: fc.nat(4),
    other: fc.nat(6),
    gateway: fc.nat(1),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
      for (const one of steps) await act(one);
      for (const gateway of gateways) {
        await gateway.reach((await store.environment("default"))!.version);
        await assertSynced(gateway, store);
      }
    }),
    { numRuns: 25, endOnFailure: true },
  );
});
