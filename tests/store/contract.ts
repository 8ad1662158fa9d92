/** What every store must do: one suite, run over each database. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { describe, it } from "node:test";
import type { Api, Consumer, Key, Limit, Tier } from "../../control/domain/model.ts";
import type { FeedChange, FeedReader } from "../../control/store/feedSource.ts";
import type { StoreOptions } from "../../control/store/sqlStore.ts";
import type { RecordWriter, Store } from "../../control/store/store.ts";
import { eventually } from "../kit/eventually.ts";
import { TableModel } from "./tableModel.ts";

/** Gives an opened store over an empty database; `reopen` opens the same database once more. Both are closed after the test. */
export interface Databases {
  open(options?: StoreOptions): Promise<{ store: Store; reopen(): Promise<Store> }>;
}

export const context = { actor: "tester", requestId: "r-1", nowMs: Date.UTC(2026, 0, 1) };
const environment = "default";

export const digest = (text: string) => createHash("sha256").update(text).digest("hex");
const limit = (name: string, more: Partial<Limit> = {}): Limit => ({
  name,
  kind: "rate",
  limit: 10,
  windowSeconds: 60,
  anchor: "calendar",
  subject: "key",
  enforcement: "global",
  mode: "enforce",
  ...more,
});
export const api = (id: string, more: Partial<Api> = {}): Api => ({
  id,
  hosts: ["*"],
  paths: [`/${id}`],
  methods: [],
  upstream: { service: "up", port: 80 },
  auth: { mode: "key" },
  scopes: [],
  failureMode: "closed",
  rateLimitHeaders: true,
  legacyHeaders: "off",
  routes: [],
  limits: [],
  ...more,
});
export const tier = (id: string, more: Partial<Tier> = {}): Tier => ({ id, scopes: [], limits: [], ...more });
export const consumer = (id: string, more: Partial<Consumer> = {}): Consumer => ({
  id,
  claims: {},
  suspended: false,
  ...more,
});
export const key = (id: string, more: Partial<Key> = {}): Key => ({
  id,
  consumer: "acme",
  sha256: digest(id),
  state: "active",
  allowedCidrs: [],
  limits: [],
  ...more,
});

/** Changes the environment, and gives the version. */
export async function change(store: Store, edit: (writer: RecordWriter) => Promise<unknown>): Promise<number> {
  return (await store.change(environment, context, edit))!.version;
}

const snapshot = async <T>(store: Store, use: (reader: FeedReader) => Promise<T>): Promise<T> =>
  (await store.snapshotRead(environment, async (reader) => ({ value: await use(reader) })))!.value;

export function storeContract(name: string, databases: Databases): void {
  const ready = async (options?: StoreOptions) => {
    const opened = await databases.open(options);
    assert.equal(await opened.store.createEnvironment(environment, context), true);
    return opened;
  };
  const withAcme = async (options?: StoreOptions) => {
    const opened = await ready(options);
    await change(opened.store, async (writer) => {
      await writer.put("tier", tier("bronze"));
      await writer.put("consumer", consumer("acme", { tier: "bronze" }));
    });
    return opened;
  };

  describe(`${name}: environments`, () => {
    it("are created once, at version 0, with an epoch of their own", async () => {
      const { store } = await ready();
      assert.equal(await store.createEnvironment(environment, context), false);
      assert.equal(await store.createEnvironment("staging", context), true);
      const [first, second] = await store.environments();
      assert.deepEqual([first?.id, second?.id], ["default", "staging"]);
      assert.deepEqual([first?.version, first?.createdAtMs], [0, context.nowMs]);
      assert.notEqual(first?.epoch, second?.epoch);
      assert.deepEqual(await store.environment(environment), { epoch: first?.epoch, version: 0n });
    });

    it("unknown ones are undefined, everywhere", async () => {
      const { store } = await ready();
      const unchanged = async () => assert.fail("must not be called");
      assert.equal(await store.environment("nope"), undefined);
      assert.equal(await store.read("nope", unchanged), undefined);
      assert.equal(await store.snapshotRead("nope", unchanged), undefined);
      assert.equal(await store.change("nope", context, unchanged), undefined);
      assert.equal(await store.spec("nope"), undefined);
      assert.equal(await store.renewEpoch("nope", context), undefined);
    });

    it("a new epoch makes a version, wakes, and cuts the log", async () => {
      const { store } = await withAcme();
      const before = (await store.environment(environment))!;
      const woken: bigint[] = [];
      store.subscribe(environment, (version) => woken.push(version));
      const renewed = (await store.renewEpoch(environment, context))!;
      assert.notEqual(renewed.epoch, before.epoch);
      assert.equal(BigInt(renewed.version), before.version + 1n);
      assert.deepEqual(woken, [before.version + 1n]);
      assert.equal(await snapshot(store, (reader) => reader.changesSince(before.version, 100)), undefined);
      assert.deepEqual(await snapshot(store, (reader) => reader.changesSince(reader.version, 100)), []);
    });

    it("don't see each other's records", async () => {
      const { store } = await withAcme();
      await store.createEnvironment("staging", context);
      await store.change("staging", context, async (writer) => {
        assert.equal(await writer.get("tier", "bronze"), undefined);
        await writer.put("consumer", consumer("acme"));
        await writer.put("key", key("k1"));
      });
      await change(store, (writer) => writer.put("key", key("k1")));
      assert.equal((await store.spec(environment))!.keys.length, 1);
      assert.deepEqual((await store.spec("staging"))!.tiers, []);
    });
  });

  describe(`${name}: records`, () => {
    it("come back as they were put, with all that is optional", async () => {
      const { store } = await withAcme();
      const full = {
        api: api("echo", {
          name: "Echo",
          methods: ["GET"],
          scopes: ["a"],
          limits: [limit("l", { smoothing: { perSecond: 1, burst: 2 } })],
          routes: [{ path: "/echo/x", methods: [], scopes: [], cost: 0, limits: [limit("r")] }],
          cors: {
            allowOrigins: ["*"],
            allowMethods: [],
            allowHeaders: ["x"],
            exposeHeaders: [],
            maxAgeSeconds: 5,
            allowCredentials: false,
          },
        }),
        tier: tier("gold", {
          name: "Gold",
          scopes: ["*"],
          apis: ["echo"],
          limits: [limit("day", { kind: "quota", period: "day" })],
        }),
        consumer: consumer("Jörg".normalize().replace("ö", "oe"), {
          name: "Jörg 🦊",
          tier: "gold",
          claims: { org: 'a"b\\c' },
          suspended: true,
        }),
      };
      const whole = key("k-full", {
        name: "Ключ",
        tier: "gold",
        prefix: "tg_default_abcd",
        state: "suspended",
        notBefore: "2026-01-01T00:00:00Z",
        expiresAt: "2027-01-01T00:00:00.250Z",
        allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"],
        apis: ["echo"],
        scopes: [],
        limits: [limit("mine")],
        rotatedTo: "k-next",
      });
      await change(store, async (writer) => {
        assert.equal(await writer.put("api", full.api), "created");
        assert.equal(await writer.put("tier", full.tier), "created");
        assert.equal(await writer.put("consumer", full.consumer), "created");
        assert.equal(await writer.put("key", whole), "created");
        assert.deepEqual((await writer.get("key", "k-full"))?.record, whole, "inside the change");
      });
      const spec = (await store.spec(environment))!;
      assert.deepEqual(spec.apis, [full.api]);
      assert.deepEqual(spec.tiers, [tier("bronze"), full.tier]);
      assert.deepEqual(
        spec.consumers.find(({ id }) => id === full.consumer.id),
        full.consumer,
      );
      assert.deepEqual(spec.keys, [whole]);
      assert.equal(await change(store, (writer) => writer.put("key", whole)), 2, "the same again makes no version");
    });

    it("make one version a change, and none when nothing changed", async () => {
      const { store } = await withAcme();
      assert.equal((await store.environment(environment))!.version, 1n);
      assert.equal(
        await change(store, async (writer) => {
          assert.equal(writer.nextVersion, 2);
          assert.equal(await writer.put("tier", tier("bronze")), "unchanged");
          assert.equal(await writer.delete("tier", "nope"), false);
        }),
        1,
      );
      assert.equal(
        await change(store, async (writer) => {
          assert.equal(await writer.put("tier", tier("bronze", { scopes: ["x"] })), "updated");
          assert.equal(await writer.put("tier", tier("silver")), "created");
        }),
        2,
      );
      const stored = await store.read(environment, (reader) => reader.get("tier", "bronze"));
      assert.deepEqual(stored, { record: tier("bronze", { scopes: ["x"] }), version: 2 });
    });

    it("nothing remains of a change that throws", async () => {
      const { store } = await withAcme();
      const before = await store.spec(environment);
      const woken: bigint[] = [];
      store.subscribe(environment, (version) => woken.push(version));
      await assert.rejects(
        change(store, async (writer) => {
          await writer.put("tier", tier("silver"));
          await writer.put("key", key("k1"));
          await writer.delete("consumer", "acme");
          throw new Error("no");
        }),
        /^Error: no$/,
      );
      assert.deepEqual(await store.spec(environment), before);
      assert.equal((await store.environment(environment))!.version, 1n);
      assert.deepEqual(await snapshot(store, (reader) => reader.changesSince(1n, 10)), []);
      assert.equal((await store.audit({ limit: 10 }, { id: "silver" })).items.length, 0);
      assert.deepEqual(woken, []);
      await change(store, (writer) => writer.put("tier", tier("gold")));
      assert.deepEqual(woken, [2n]);
    });

    it("refuse what they can't refer to, and a digest that is there", async () => {
      const { store } = await withAcme();
      await assert.rejects(
        change(store, (writer) => writer.put("consumer", consumer("x", { tier: "nope" }))),
        /no tier nope/,
      );
      await assert.rejects(
        change(store, (writer) => writer.put("key", key("x", { consumer: "nope" }))),
        /no consumer nope/,
      );
      await assert.rejects(
        change(store, (writer) => writer.put("key", key("x", { apis: ["nope"] }))),
        /no API nope/,
      );
      await change(store, (writer) => writer.put("key", key("a")));
      await assert.rejects(change(store, (writer) => writer.put("key", key("b", { sha256: digest("a") }))));
      const sameStart = digest("a").slice(0, 32) + digest("other").slice(0, 32);
      await assert.rejects(
        change(store, (writer) => writer.put("key", key("b", { sha256: sameStart }))),
        "gateways see 16 bytes only",
      );
      assert.equal(await store.read(environment, (reader) => reader.keyIdByDigest(sameStart)), "a");
    });

    it("say who refers to them", async () => {
      const { store } = await withAcme();
      await change(store, async (writer) => {
        for (let index = 0; index < 12; index++) await writer.put("api", api(`api${index}`));
        await writer.put("tier", tier("some", { apis: ["api0"] }));
        await writer.put("key", key("k-tier", { tier: "some" }));
        await writer.put("key", key("k-api", { apis: ["api0"] }));
        // The wire id of api0 is the start of this one's.
        await writer.put("key", key("k-other", { apis: ["api10"] }));
      });
      const references = (kind: "api" | "tier" | "consumer" | "key", id: string, most = 10) =>
        store.read(environment, (reader) => reader.references(kind, id, most));
      assert.deepEqual(await references("tier", "bronze"), [{ kind: "consumer", id: "acme" }]);
      assert.deepEqual(await references("tier", "some"), [{ kind: "key", id: "k-tier" }]);
      assert.deepEqual(
        await references("consumer", "acme"),
        ["k-tier", "k-api", "k-other"].map((id) => ({ kind: "key", id })),
      );
      assert.equal((await references("consumer", "acme", 2))?.length, 2);
      assert.deepEqual(await references("api", "api0"), [
        { kind: "tier", id: "some" },
        { kind: "key", id: "k-api" },
      ]);
      assert.deepEqual(await references("api", "api5"), []);
      assert.deepEqual(await references("key", "k-api"), []);
      assert.deepEqual(await references("tier", "nope"), []);
    });

    it("are listed by pages, ids in byte order, keys as they came", async () => {
      const { store } = await withAcme();
      const ids = ["B", "a", "Z.9", "_no", "b", "a-b", "a.b", "aB"].filter((id) => id !== "_no");
      await change(store, async (writer) => {
        for (const id of ids) await writer.put("consumer", consumer(id));
        for (const id of ["k3", "k1", "k2"]) await writer.put("key", key(id));
        await writer.put("key", key("k0", { consumer: "B", state: "revoked" }));
      });
      const seen: string[] = [];
      for (let after: string | undefined; ; ) {
        const page = await store.list(environment, "consumer", { limit: 3, ...(after === undefined ? {} : { after }) });
        seen.push(...page.items.map(({ record }) => record.id));
        if (page.next === undefined) break;
        after = page.next;
      }
      assert.deepEqual(
        seen,
        [...ids, "acme"].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
      );
      const keyIds = async (filter: object, limit = 10) =>
        (await store.list(environment, "key", { limit }, filter)).items.map(({ record }) => record.id);
      assert.deepEqual(await keyIds({}), ["k3", "k1", "k2", "k0"]);
      assert.deepEqual(await keyIds({ consumer: "acme" }), ["k3", "k1", "k2"]);
      assert.deepEqual(await keyIds({ state: "revoked" }), ["k0"]);
      assert.deepEqual(await keyIds({ state: "revoked", consumer: "acme" }), []);
      assert.deepEqual(await keyIds({ consumer: "nobody" }), []);
      const first = await store.list(environment, "key", { limit: 2 }, { consumer: "acme" });
      const second = await store.list(environment, "key", { limit: 2, after: first.next! }, { consumer: "acme" });
      assert.deepEqual(
        second.items.map(({ record }) => record.id),
        ["k2"],
      );
      assert.equal(second.next, undefined);
    });

    it("many keys are inserted at once, and each tells what became of it", async () => {
      const { store } = await withAcme();
      await change(store, (writer) => writer.put("key", key("old")));
      const rows = [
        key("new1"),
        key("old"),
        key("old", { sha256: digest("another") }),
        key("twin", { sha256: digest("old") }),
        key("new2", {
          limits: [limit("l")],
          allowedCidrs: ["10.0.0.0/8"],
          expiresAt: "2027-01-01T00:00:00Z",
          scopes: ["s"],
        }),
        key("new1"),
        key("new1", { sha256: digest("yet another") }),
        key("new3", { sha256: digest("new1") }),
      ];
      const done = await store.change(environment, context, (writer) => writer.insertKeys(rows));
      assert.deepEqual(done?.result, [
        "created",
        "unchanged",
        "id_in_use",
        "digest_in_use",
        "created",
        "unchanged",
        "id_in_use",
        "digest_in_use",
      ]);
      const keys = (await store.spec(environment))!.keys;
      assert.deepEqual(
        new Map(keys.map((record) => [record.id, record])),
        new Map([key("old"), rows[0]!, rows[4]!].map((record) => [record.id, record])),
      );
      const again = await store.change(environment, context, (writer) => writer.insertKeys([rows[0]!, rows[4]!]));
      assert.deepEqual(again, { version: done!.version, result: ["unchanged", "unchanged"] });
      const audit = await store.audit({ limit: 10 }, { action: "import" });
      assert.deepEqual(
        audit.items.map(({ after }) => after),
        [{ keys: 2 }],
      );
    });
  });

  describe(`${name}: the feed`, () => {
    it("wire ids are never used again", async () => {
      const { store } = await withAcme();
      const given = new Set<number>();
      for (let round = 0; round < 3; round++) {
        await change(store, async (writer) => {
          await writer.put("api", api("x", { limits: [limit("a")] }));
          await writer.put("tier", tier("x", { limits: [limit("a")] }));
          await writer.put("consumer", consumer("x"));
        });
        const ids = await snapshot(store, async (reader) => {
          const [x, y] = [(await reader.apiById("x"))!, (await reader.tierById("x"))!];
          return [
            x.wireId,
            y.wireId,
            (await reader.consumerById("x"))!.wireId,
            x.limits[0]!.wireId,
            y.limits[0]!.wireId,
          ];
        });
        for (const id of ids) {
          assert.ok(id > 0 && !given.has(id), `${id} is new`);
          given.add(id);
        }
        await change(store, async (writer) => {
          for (const kind of ["consumer", "tier", "api"] as const) assert.equal(await writer.delete(kind, "x"), true);
        });
      }
    });

    it("limits keep their wire ids, through changes, moves and absence", async () => {
      const { store } = await withAcme();
      const routes = (...paths: string[]) =>
        paths.map((path) => ({ path, methods: ["GET"], scopes: [], cost: 1, limits: [limit("l")] }));
      const limitsOf = () =>
        snapshot(store, async (reader) =>
          (await reader.apiById("x"))!.limits.map(({ wireId, routeIndex, limit: { name } }) => ({
            wireId,
            routeIndex,
            name,
          })),
        );
      await change(store, (writer) =>
        writer.put("api", api("x", { limits: [limit("l"), limit("m")], routes: routes("/x/a", "/x/b") })),
      );
      const [l, m, a, b] = (await limitsOf()).map(({ wireId }) => wireId);
      await change(store, (writer) =>
        writer.put("api", api("x", { limits: [limit("m", { limit: 99 })], routes: routes("/x/b", "/x/a") })),
      );
      assert.deepEqual(await limitsOf(), [
        { wireId: m, routeIndex: undefined, name: "m" },
        { wireId: b, routeIndex: 0, name: "l" },
        { wireId: a, routeIndex: 1, name: "l" },
      ]);
      const gone = (await snapshot(store, (reader) => reader.changesSince(2n, 10)))!.filter(
        ({ kind }) => kind === "limit",
      );
      assert.deepEqual(gone, [{ version: 3n, kind: "limit", wireId: l, deleted: true }]);
      await change(store, (writer) => writer.put("api", api("x", { limits: [limit("l")] })));
      assert.equal((await limitsOf())[0]?.wireId, l);
      await change(store, (writer) => writer.put("key", key("k", { limits: [limit("l"), limit("m")] })));
      const keyLimits = () =>
        snapshot(store, async (reader) => (await reader.keyById("k"))!.limits!.map(({ wireId }) => wireId));
      const [kl, km] = await keyLimits();
      await change(store, (writer) => writer.put("key", key("k", { limits: [limit("m")] })));
      await change(store, (writer) => writer.put("key", key("k", { limits: [limit("m"), limit("l", { limit: 3 })] })));
      assert.deepEqual(await keyLimits(), [km, kl]);
      assert.equal(new Set([l, m, a, b, kl, km]).size, 6);
    });

    it("tells where keys and consumers can call, by digest and wire id", async () => {
      const { store } = await ready();
      await change(store, async (writer) => {
        for (const id of ["x", "y"]) await writer.put("api", api(id));
        await writer.put("tier", tier("t"));
        await writer.put("consumer", consumer("c", { tier: "t" }));
        await writer.put("consumer", consumer("none"));
        await writer.put("key", key("free", { consumer: "c" }));
        await writer.put("key", key("one", { consumer: "c", apis: ["x"], tier: "t", limits: [limit("l")] }));
        await writer.put("key", key("same", { consumer: "c", apis: ["x"] }));
        await writer.put("key", key("gone", { consumer: "c", apis: ["y"], state: "revoked" }));
      });
      await snapshot(store, async (reader) => {
        const [x] = (await reader.apis()).map(({ wireId }) => wireId);
        const [t] = (await reader.tiers()).map(({ wireId }) => wireId);
        const [c, none] = (await reader.consumersPage(0, 10)).map(({ wireId }) => wireId);
        const digest = async (id: string) => (await reader.keyById(id))!.digest.toString("hex", 0, 16);
        const [free, one] = [await digest("free"), await digest("one")];
        const keys = await reader.callingKeys([free, one, "f".repeat(32)]);
        assert.deepEqual([...keys.keys()].sort(), [free, one].sort());
        assert.deepEqual(keys.get(free), { consumerWireId: c });
        assert.deepEqual(keys.get(one), { consumerWireId: c, tierWireId: t, apiWireIds: [x] });
        const consumers = await reader.callingConsumers([c!, none!, 4_000_000]);
        assert.equal(consumers.size, 2);
        assert.deepEqual(consumers.get(none!), { tierWireId: 0, keyApis: [] });
        assert.equal(consumers.get(c!)!.tierWireId, t);
        assert.deepEqual(
          new Set(consumers.get(c!)!.keyApis.map((apis) => JSON.stringify(apis ?? null))),
          new Set(["null", JSON.stringify([x])]),
          "a revoked key can't call",
        );
        assert.deepEqual(
          (await reader.keyLimits()).map(
            ({
              digest: of,
              limit: {
                limit: { name },
              },
            }) => [of, name],
          ),
          [[one, "l"]],
        );
      });
    });

    it("gives APIs, tiers, consumers and keys with all that the wire takes", async () => {
      const { store } = await withAcme();
      await change(store, async (writer) => {
        await writer.put("api", api("one"));
        await writer.put("api", api("two"));
        await writer.put("tier", tier("some", { apis: ["two", "one"], limits: [limit("l")] }));
        await writer.put("tier", tier("none", { apis: [] }));
        await writer.put("key", key("plain"));
        await writer.put(
          "key",
          key("full", {
            tier: "some",
            state: "revoked",
            notBefore: "2026-01-01T00:00:00Z",
            expiresAt: "2026-02-01T00:00:00Z",
            allowedCidrs: ["::1/128"],
            apis: ["one"],
            scopes: [],
            limits: [limit("k", { kind: "quota", period: "day" })],
          }),
        );
      });
      await snapshot(store, async (reader) => {
        const [one, two] = await reader.apis();
        assert.deepEqual([one?.api.id, two?.api.id], ["one", "two"]);
        const tiers = new Map((await reader.tiers()).map((row) => [row.tier.id, row]));
        assert.equal(tiers.get("bronze")!.apiWireIds, undefined);
        assert.deepEqual(tiers.get("some")!.apiWireIds, [two!.wireId, one!.wireId]);
        assert.deepEqual(tiers.get("none")!.apiWireIds, []);
        const acme = (await reader.consumerById("acme"))!;
        assert.deepEqual(acme, {
          wireId: acme.wireId,
          tierWireId: tiers.get("bronze")!.wireId,
          consumer: consumer("acme", { tier: "bronze" }),
        });
        const [plain, full] = await reader.keysPage(0, 10);
        assert.deepEqual(plain, {
          rowId: plain!.rowId,
          id: "plain",
          digest: Buffer.from(digest("plain"), "hex"),
          consumerWireId: acme.wireId,
          state: "active",
        });
        assert.deepEqual(full, {
          rowId: full!.rowId,
          id: "full",
          digest: Buffer.from(digest("full"), "hex"),
          consumerWireId: acme.wireId,
          state: "revoked",
          notBeforeMs: Date.UTC(2026, 0, 1),
          expiresAtMs: Date.UTC(2026, 1, 1),
          tierWireId: tiers.get("some")!.wireId,
          cidrs: ["::1/128"],
          apiWireIds: [one!.wireId],
          scopes: [],
          limits: [{ wireId: full!.limits![0]!.wireId, limit: limit("k", { kind: "quota", period: "day" }) }],
        });
        assert.deepEqual(await reader.keyById("full"), full);
        assert.deepEqual([...(await reader.keysByIds(["full", "nope", "plain"])).keys()].sort(), ["full", "plain"]);
        assert.deepEqual(await reader.counts(), { apis: 2, tiers: 3, consumers: 1, keys: 2, limits: 2 });
        assert.equal(await reader.keyById("nope"), undefined);
        assert.equal(await reader.apiById("nope"), undefined);
        assert.equal(await reader.tierById("nope"), undefined);
        assert.equal(await reader.consumerById("nope"), undefined);
      });
    });

    it("pages through keys and consumers without gap or repetition", async () => {
      const { store } = await withAcme();
      await store.createEnvironment("other", context);
      await store.change("other", context, (writer) => writer.put("consumer", consumer("acme")));
      for (let round = 0; round < 5; round++) {
        await change(store, async (writer) => {
          for (let index = 0; index < 7; index++) await writer.put("consumer", consumer(`c${round}-${index}`));
          await writer.insertKeys(Array.from({ length: 11 }, (_, index) => key(`k${round}-${index}`)));
        });
        await store.change("other", context, (writer) => writer.put("key", key(`other${round}`)));
      }
      const keys: string[] = [];
      const consumers: string[] = [];
      await snapshot(store, async (reader) => {
        for (let after = 0; ; ) {
          const page = await reader.keysPage(after, 10);
          if (page.length === 0) break;
          keys.push(...page.map(({ id }) => id));
          after = page.at(-1)!.rowId;
        }
        for (let after = 0; ; ) {
          const page = await reader.consumersPage(after, 10);
          if (page.length === 0) break;
          consumers.push(...page.map((row) => row.consumer.id));
          after = page.at(-1)!.wireId;
        }
      });
      assert.equal(keys.length, 55);
      assert.equal(new Set(keys).size, 55);
      assert.equal(new Set(consumers).size, 36);
      assert.equal(consumers.length, 36);
    });

    it("a snapshot stays what it was while changes are made", async () => {
      const { store } = await withAcme();
      await snapshot(store, async (reader) => {
        assert.equal(await change(store, (writer) => writer.put("key", key("later"))), 2);
        assert.equal(reader.version, 1n);
        assert.deepEqual(await reader.keysPage(0, 10), []);
        assert.deepEqual(await reader.changesSince(1n, 10), []);
      });
      assert.equal(await snapshot(store, async (reader) => (await reader.keysPage(0, 10)).length), 1);
    });

    it("tells what changed, in the order in which a table can take it", async () => {
      const { store } = await withAcme();
      await change(store, async (writer) => {
        await writer.put("key", key("moved"));
        await writer.put("key", key("gone"));
        await writer.put("consumer", consumer("fleeting"));
      });
      const since = (await store.environment(environment))!.version;
      await change(store, (writer) => writer.put("key", key("moved", { sha256: digest("second") })));
      await change(store, (writer) => writer.put("consumer", consumer("acme", { tier: "bronze", claims: { a: "b" } })));
      await change(store, async (writer) => {
        await writer.delete("key", "gone");
        await writer.delete("consumer", "fleeting");
        await writer.put("key", key("heir", { sha256: digest("gone") }));
      });
      const changes = (await snapshot(store, (reader) => reader.changesSince(since, 100)))!;
      const brief = changes.map((one) => `${one.deleted ? "-" : "+"}${one.kind} ${"id" in one ? one.id : one.wireId}`);
      assert.deepEqual(brief, [
        "-key moved",
        "-key gone",
        "+consumer acme",
        "+key moved",
        "+key heir",
        "-consumer fleeting",
      ]);
      const freed = changes
        .filter((one) => one.kind === "key" && one.deleted)
        .map((one) => (one as FeedChange & { digest: Buffer }).digest.toString("hex"));
      assert.deepEqual(freed, [digest("moved"), digest("gone")]);
      assert.equal(await snapshot(store, (reader) => reader.changesSince(since, 2)), undefined, "more than asked for");
      assert.equal(await snapshot(store, (reader) => reader.changesSince(99n, 100)), undefined, "a version to come");
    });

    it("tells of counters that were reset or granted, each once, with the audit entry", async () => {
      const { store } = await withAcme();
      await change(store, (writer) => writer.put("key", key("k", { limits: [limit("l")] })));
      const since = (await store.environment(environment))!.version;
      const [one, other] = ["00112233445566778899aabbccddeeff", "f".repeat(32)];
      const tell = (generation: number, subjects: string[]) =>
        change(store, async (writer) =>
          writer.tellCounters(
            subjects.map((subject) => ({ wireId: 4_294_967_295, subject, generation })),
            { action: "reset-quota", kind: "key", id: "k", details: { limits: ["l"] } },
          ),
        );
      assert.equal(await tell(1, [one]), Number(since) + 1);
      assert.equal(await tell(2, [one, other]), Number(since) + 2);
      assert.equal(await tell(3, []), Number(since) + 2, "nothing was told, so there is no version");
      await change(store, (writer) => writer.put("consumer", consumer("acme", { claims: { a: "c" } })));
      const changes = (await snapshot(store, (reader) => reader.changesSince(since, 100)))!;
      assert.deepEqual(
        changes.filter(({ kind }) => kind === "counter"),
        [one, other].map((subject) => ({
          version: since + 2n,
          kind: "counter",
          wireId: 4_294_967_295,
          subject,
          generation: 2,
          deleted: false,
        })),
      );
      assert.deepEqual(
        changes.map(({ kind }) => kind),
        ["consumer", "counter", "counter"],
      );
      const { items } = await store.audit({ limit: 10 }, { environment, action: "reset-quota" });
      assert.deepEqual(
        items.map(({ kind, id, before, after, version }) => ({ kind, id, before, after, version })),
        [Number(since) + 2, Number(since) + 1].map((version) => ({
          kind: "key",
          id: "k",
          before: null,
          after: { limits: ["l"] },
          version,
        })),
      );
    });

    it("keeps the log's newest rows, cut at a version's border", async () => {
      const { store } = await withAcme({ changeRowsKept: 20, pruneAfterRows: 1 });
      for (let round = 0; round < 10; round++)
        await change(store, (writer) =>
          writer.insertKeys(Array.from({ length: 5 }, (_, index) => key(`k${round}-${index}`))),
        );
      await snapshot(store, async (reader) => {
        assert.equal(reader.version, 11n);
        assert.equal((await reader.changesSince(7n, 100))?.length, 20);
        assert.equal(await reader.changesSince(6n, 100), undefined);
      });
    });

    it("whoever follows the changes has what a snapshot gives", async () => {
      const { store } = await withAcme();
      const model = new TableModel();
      const late = new TableModel();
      await snapshot(store, (reader) => model.load(reader));
      let draws = 0;
      const random = (below: number) => Number.parseInt(digest(`draw ${draws++}`).slice(0, 8), 16) % below;
      const some = (prefix: string) => `${prefix}${random(4)}`;
      const limits = () => (random(2) === 0 ? [] : [limit(some("l"))]);
      for (let step = 0; step < 150; step++) {
        await change(store, async (writer) => {
          for (let act = random(4); act >= 0; act--) {
            const free = async (kind: "api" | "tier" | "consumer" | "key", id: string) =>
              (await writer.references(kind, id, 1)).length === 0 && writer.delete(kind, id);
            const known = async (kind: "api" | "tier" | "consumer", id: string) =>
              (await writer.get(kind, id)) !== undefined;
            switch (random(10)) {
              case 0:
                await writer.put(
                  "api",
                  api(some("a"), {
                    limits: limits(),
                    routes: [{ path: "/r", methods: [], scopes: [], cost: 1, limits: limits() }],
                  }),
                );
                break;
              case 1:
                await free("api", some("a"));
                break;
              case 2:
                await writer.put("tier", tier(some("t"), { limits: limits(), scopes: [some("s")] }));
                break;
              case 3:
                await free("tier", some("t"));
                break;
              case 4: {
                const id = some("t");
                await writer.put(
                  "consumer",
                  consumer(some("c"), (await known("tier", id)) ? { tier: id } : { suspended: random(2) === 0 }),
                );
                break;
              }
              case 5:
                await free("consumer", some("c"));
                break;
              case 6:
              case 7:
              case 8: {
                const [owner, use, sha256] = [some("c"), some("a"), digest(some("d"))];
                const holder = await writer.keyIdByDigest(sha256);
                const id = some("k");
                if (!(await known("consumer", owner)) || (holder !== undefined && holder !== id)) break;
                await writer.put(
                  "key",
                  key(id, {
                    consumer: owner,
                    sha256,
                    limits: limits(),
                    ...((await known("api", use)) && random(2) === 0 ? { apis: [use] } : {}),
                  }),
                );
                break;
              }
              default:
                await free("key", some("k"));
            }
          }
        });
        await snapshot(store, async (reader) => {
          await model.follow(reader);
          if (random(10) === 0) await late.follow(reader);
          const fresh = new TableModel();
          await fresh.load(reader);
          assert.deepEqual(model.content(), fresh.content(), `after step ${step}`);
          if (late.version === reader.version)
            assert.deepEqual(late.content(), fresh.content(), `late, after step ${step}`);
        });
      }
    });

    it("changes made at once get versions in the order of their commits", async () => {
      const { store } = await withAcme();
      const woken: bigint[] = [];
      const unsubscribe = store.subscribe(environment, (version) => woken.push(version));
      const versions = await Promise.all(
        Array.from({ length: 25 }, (_, index) => change(store, (writer) => writer.put("key", key(`k${index}`)))),
      );
      assert.deepEqual(
        versions.toSorted((a, b) => a - b),
        Array.from({ length: 25 }, (_, index) => index + 2),
      );
      await eventually("the last version to be told", () => woken.at(-1) === 26n);
      assert.deepEqual(
        woken,
        woken.toSorted((a, b) => Number(a - b)),
        "never backwards",
      );
      const changes = (await snapshot(store, (reader) => reader.changesSince(1n, 100)))!;
      assert.deepEqual(
        changes.map(({ version }) => Number(version)),
        Array.from({ length: 25 }, (_, index) => index + 2),
      );
      unsubscribe();
      await change(store, (writer) => writer.put("key", key("unheard")));
      assert.equal(woken.at(-1), 26n);
    });

    it("survives being opened again", async () => {
      const { store, reopen } = await withAcme();
      await change(store, (writer) => writer.put("key", key("k")));
      const before = [await store.spec(environment), await store.environment(environment)];
      const again = await reopen();
      assert.deepEqual([await again.spec(environment), await again.environment(environment)], before);
    });
  });

  describe(`${name}: audit`, () => {
    it("has an entry for each change of a record, newest first, with what changed", async () => {
      const { store } = await withAcme();
      await change(store, (writer) => writer.put("key", key("k")));
      await change(store, (writer) => writer.put("key", key("k", { state: "revoked" }), "revoke"));
      await change(store, (writer) => writer.delete("key", "k"));
      const { items } = await store.audit({ limit: 10 }, { environment, id: "k" });
      assert.deepEqual(
        items.map(({ action, version }) => [action, version]),
        [
          ["delete", 4],
          ["revoke", 3],
          ["create", 2],
        ],
      );
      assert.deepEqual([items[1]?.before, items[1]?.after], [{ state: "active" }, { state: "revoked" }]);
      assert.deepEqual([items[0]?.actor, items[0]?.requestId, items[0]?.timeMs], ["tester", "r-1", context.nowMs]);
      assert.equal(items[0]?.after, null);
      assert.equal(items[2]?.before, null);
      assert.ok(!JSON.stringify(items).includes(digest("k")), "no whole digest");
    });

    it("comes by pages and filters", async () => {
      const { store } = await withAcme();
      for (const id of ["a", "b", "c"])
        await store.change(environment, { ...context, actor: id }, (writer) => writer.put("tier", tier(id)));
      const first = await store.audit({ limit: 2 }, { kind: "tier" });
      const second = await store.audit({ limit: 2, after: first.next! }, { kind: "tier" });
      assert.deepEqual(
        [...first.items, ...second.items].map(({ id }) => id),
        ["c", "b", "a", "bronze"],
      );
      assert.equal(second.next, undefined);
      assert.deepEqual(
        (await store.audit({ limit: 9 }, { actor: "b" })).items.map(({ id }) => id),
        ["b"],
      );
      assert.deepEqual((await store.audit({ limit: 9 }, { environment: "nope" })).items, []);
    });
  });

  describe(`${name}: tokens and gateways`, () => {
    it("admin tokens are found by their digest until they expire or are deleted", async () => {
      const { store } = await ready();
      const token = { id: "at_1", name: "ci", digest: digest("t"), expiresAtMs: context.nowMs + 1000 };
      assert.equal(await store.addAdminToken(token, context), true);
      assert.equal(await store.addAdminToken(token, context), false);
      assert.equal(
        await store.addAdminToken({ ...token, id: "at_2" }, context),
        false,
        "the same token under another id",
      );
      assert.equal((await store.adminToken(digest("t"), context.nowMs))?.name, "ci");
      assert.equal((await store.adminTokens())[0]?.lastUsedAtMs, context.nowMs);
      assert.equal(await store.adminToken(digest("t"), context.nowMs + 1000), undefined);
      assert.equal(await store.adminToken(digest("u"), context.nowMs), undefined);
      assert.equal(await store.deleteAdminToken("at_1", context), true);
      assert.equal(await store.deleteAdminToken("at_1", context), false);
      assert.equal(await store.adminToken(digest("t"), context.nowMs), undefined);
      assert.deepEqual(
        (await store.audit({ limit: 9 }, { kind: "admin-token" })).items.map(({ action }) => action),
        ["delete", "create"],
      );
    });

    it("a group has at most two valid gateway tokens", async () => {
      const { store } = await ready();
      const token = (id: string, more: object = {}) => ({
        id,
        name: id,
        digest: digest(id),
        environment,
        group: "edge",
        apis: null,
        expiresAtMs: null,
        ...more,
      });
      assert.equal(await store.addGatewayToken(token("a", { expiresAtMs: context.nowMs + 1000 }), 2, context), true);
      assert.equal(await store.addGatewayToken(token("b", { apis: ["echo"] }), 2, context), true);
      assert.equal(await store.addGatewayToken(token("c"), 2, context), false);
      assert.equal(await store.addGatewayToken(token("c", { group: "other" }), 2, context), true);
      assert.equal(await store.addGatewayToken(token("d", { environment: "nope" }), 2, context), false);
      assert.deepEqual(await store.gatewayToken(digest("b"), context.nowMs), {
        tokenId: "b",
        group: "edge",
        environment,
        apis: ["echo"],
      });
      assert.deepEqual((await store.gatewayToken(digest("a"), context.nowMs))?.apis, null);
      assert.equal(await store.gatewayToken(digest("a"), context.nowMs + 1000), undefined);
      const later = { ...context, nowMs: context.nowMs + 1000 };
      assert.equal(await store.addGatewayToken(token("e"), 2, later), true, "an expired one doesn't count");
      assert.equal(await store.deleteGatewayToken("other", "b", context), false);
      assert.equal(await store.deleteGatewayToken(environment, "b", context), true);
      assert.equal(await store.gatewayToken(digest("b"), context.nowMs), undefined);
      assert.deepEqual(
        (await store.gatewayTokens(environment)).map(({ id, group }) => [id, group]),
        [
          ["a", "edge"],
          ["c", "other"],
          ["e", "edge"],
        ],
      );
    });

    it("two who ask at once don't get a third token", async () => {
      const { store } = await ready();
      const made = await Promise.all(
        ["a", "b", "c", "d"].map((id) =>
          store.addGatewayToken(
            { id, name: id, digest: digest(id), environment, group: "edge", apis: null, expiresAtMs: null },
            2,
            context,
          ),
        ),
      );
      assert.equal(made.filter(Boolean).length, 2);
    });

    it("gateways are kept by their last report, for a week", async () => {
      const { store } = await ready();
      const report = {
        id: "node~1",
        group: "edge",
        environment,
        tokenId: "edge-1",
        heldUntilMs: 0,
        version: 3n,
        applied: 2n,
        workers: 2,
        lastContactMs: context.nowMs,
      };
      await store.recordGateway(report);
      await store.recordGateway({ ...report, id: "node~2" });
      await store.recordGateway({ ...report, applied: 3n, lastContactMs: context.nowMs + 5 });
      assert.deepEqual(await store.gateways(environment), [
        {
          id: "node~1",
          group: "edge",
          environment,
          version: 3,
          applied: 3,
          workers: 2,
          lastContactMs: context.nowMs + 5,
        },
        { id: "node~2", group: "edge", environment, version: 3, applied: 2, workers: 2, lastContactMs: context.nowMs },
      ]);
      await store.recordGateway({ ...report, id: "node~3", lastContactMs: context.nowMs + 8 * 86_400_000 });
      assert.deepEqual(
        (await store.gateways(environment)).map(({ id }) => id),
        ["node~3"],
      );
    });

    it("a gateway's id is its group's own while it is held, and a token has only so many gateways", async () => {
      const { store, reopen } = await ready();
      const other = await reopen();
      const { nowMs } = context;
      const claim = {
        environment,
        group: "edge",
        id: "node~1",
        tokenId: "edge-1",
        nowMs,
        heldUntilMs: nowMs + 70_000,
        most: 2,
      };
      const foreign = { ...claim, group: "partners", tokenId: "partners-1" };
      assert.equal(await store.claimGateway(claim), "claimed");
      assert.equal(await other.claimGateway(claim), "claimed", "again, by another replica");
      assert.equal(await other.claimGateway(foreign), "held");
      const report = {
        id: "node~1",
        group: "edge",
        environment,
        tokenId: "edge-1",
        version: 3n,
        applied: 3n,
        workers: 2,
        lastContactMs: nowMs,
        heldUntilMs: nowMs + 70_000,
      };
      await store.recordGateway(report);
      assert.equal(await other.claimGateway({ ...claim, nowMs: nowMs + 1 }), "claimed");
      assert.equal(
        (await store.gateways(environment))[0]!.applied,
        3,
        "a claim leaves what the gateway has said of itself",
      );
      assert.equal(await other.claimGateway({ ...foreign, nowMs: nowMs + 70_000 }), "claimed", "its time is over");
      await store.recordGateway({ ...report, lastContactMs: nowMs + 80_000 });
      const rows = (await store.gateways(environment)).map(({ id, group, applied }) => [id, group, applied]);
      assert.deepEqual(
        rows,
        [
          ["node~1", "edge", 3],
          ["node~1", "partners", 0],
        ],
        "each group writes rows of its own",
      );

      assert.equal(await store.claimGateway({ ...claim, id: "node~2" }), "claimed");
      assert.equal(await other.claimGateway({ ...claim, id: "node~3" }), "full");
      assert.equal(
        await other.claimGateway({ ...claim, id: "node~2" }),
        "claimed",
        "one that is there isn't counted twice",
      );
      assert.equal(
        await other.claimGateway({ ...claim, id: "node~3", tokenId: "edge-2" }),
        "claimed",
        "the group's next token has its own",
      );
      await store.recordGateway({ ...report, id: "node~2", heldUntilMs: nowMs });
      assert.equal(await other.claimGateway({ ...claim, id: "node~4" }), "claimed", "one that has ended makes room");

      for (let i = 0; i < 30; i++)
        await store.claimGateway({
          ...claim,
          id: `churn~${i}`,
          nowMs: nowMs + i * 1000,
          heldUntilMs: nowMs + i * 1000,
        });
      assert.ok(
        (await store.gateways(environment)).filter(({ group }) => group === "edge").length <= 8,
        "a group's rows are bounded, too",
      );
    });

    it("signing keys are replaced whole, under the lock, and are the same from every replica", async () => {
      const { store, reopen } = await ready();
      const other = await reopen();
      const signing = (kid: string, signsFromMs: number) => ({
        kid,
        jwk: { kty: "EC", d: kid },
        createdAtMs: context.nowMs,
        signsFromMs,
      });
      assert.deepEqual(await store.identity(environment), { keys: [] });
      assert.equal(await store.identity("nope"), undefined);
      assert.equal(await store.changeSigningKeys("nope", () => assert.fail("must not be called")), undefined);
      // As replicas do that find none.
      await Promise.all(
        [0, 1, 2].map((i) =>
          store.changeSigningKeys(environment, (keys) => (keys.length > 0 ? keys : [signing(`first-${i}`, 1)])),
        ),
      );
      const { keys } = (await other.identity(environment))!;
      assert.equal(keys.length, 1);
      const added = await store.changeSigningKeys(environment, (all) => [...all, signing("second", 2)], {
        context,
        action: "rotate",
        id: "second",
      });
      assert.deepEqual(added, [keys[0], signing("second", 2)]);
      assert.deepEqual((await other.changeSigningKeys(environment, (all) => all.slice(1)))!, [signing("second", 2)]);
      assert.deepEqual((await store.identity(environment))!.keys, [signing("second", 2)]);
      const [entry] = (await store.audit({ limit: 1 }, { kind: "token-key" })).items;
      assert.deepEqual(
        [entry?.action, entry?.id, entry?.after],
        ["rotate", "second", { added: ["second"], removed: [] }],
      );
    });

    it("what an environment says of internal tokens makes no version, and one audit entry for each change", async () => {
      const { store, reopen } = await ready();
      const settings = { enabled: true, issuer: "tollgate", audiences: ["mesh"], lifetimeSeconds: 300 };
      assert.equal(await change(store, (writer) => writer.putInternalToken(settings)), 0);
      assert.equal(await change(store, (writer) => writer.putInternalToken({ ...settings, lifetimeSeconds: 60 })), 0);
      assert.equal(await change(store, (writer) => writer.putInternalToken({ ...settings, lifetimeSeconds: 60 })), 0);
      const later = await reopen();
      assert.deepEqual((await later.identity(environment))?.settings, { ...settings, lifetimeSeconds: 60 });
      assert.deepEqual((await later.spec(environment))?.internalToken, { ...settings, lifetimeSeconds: 60 });
      const { items } = await later.audit({ limit: 10 }, { kind: "internal-token" });
      assert.deepEqual(
        items.map(({ action, before, after }) => [action, before, after]),
        [
          ["update", { lifetimeSeconds: 300 }, { lifetimeSeconds: 60 }],
          ["create", null, settings],
        ],
      );
    });

    it("callers are found by digest or by wire ids, with the tier that counts", async () => {
      const { store } = await withAcme();
      await change(store, async (writer) => {
        await writer.put("tier", tier("gold"));
        await writer.put("consumer", consumer("lost"));
        await writer.put("key", key("k1"));
        await writer.put("key", key("k2", { tier: "gold" }));
        await writer.put("key", key("k3", { consumer: "lost" }));
      });
      const ids = await snapshot(store, async (reader) => ({
        acme: (await reader.consumerById("acme"))!.wireId,
        gold: (await reader.tierById("gold"))!.wireId,
      }));
      const of = (id: string) => ({ kind: "key" as const, digest: digest(id).slice(0, 32) });
      const callers = await store.callers(environment, [
        of("k2"),
        of("nobody"),
        of("k1"),
        of("k3"),
        of("k1"),
        { kind: "token", consumer: ids.acme, tier: ids.gold },
        { kind: "peer", consumer: ids.acme, tier: 999_999 },
      ]);
      assert.deepEqual(
        callers.map((caller) => caller && [caller.key?.id, caller.consumer.id, caller.tier.id]),
        [
          ["k2", "acme", "gold"],
          undefined,
          ["k1", "acme", "bronze"],
          undefined,
          ["k1", "acme", "bronze"],
          [undefined, "acme", "gold"],
          undefined,
        ],
      );
      assert.deepEqual(await store.callers("nope", [of("k1")]), [undefined]);
      assert.deepEqual(await store.callers(environment, []), []);
    });

    it("answers a ping", async () => {
      const { store } = await databases.open();
      await store.ping();
    });
  });
}
