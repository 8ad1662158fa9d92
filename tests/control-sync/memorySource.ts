/** A FeedSource in memory: one environment whose log, tokens and failures tests control. */
import { createHash } from "node:crypto";
import type { Api, Consumer, KeyState, Limit, Tier } from "../../control/domain/model.ts";
import type {
  EnvironmentState,
  FeedApi,
  FeedChange,
  FeedConsumer,
  FeedKey,
  FeedReader,
  FeedSource,
  FeedTier,
  ClaimOutcome,
  GatewayClaim,
  GatewayGrant,
  GatewayReport,
} from "../../control/store/feedSource.ts";

export const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest();

interface Records {
  apis: Map<string, FeedApi>;
  tiers: Map<string, FeedTier>;
  consumers: Map<string, FeedConsumer>;
  keys: Map<string, FeedKey>;
}

const copyOf = (records: Records): Records => ({
  apis: new Map(records.apis),
  tiers: new Map(records.tiers),
  consumers: new Map(records.consumers),
  keys: new Map(records.keys),
});

export class MemorySource implements FeedSource {
  readonly environmentId = "default";
  state: EnvironmentState = { epoch: 0xabcdn, version: 0n };
  /** the log is complete for versions above this one */
  logFrom = 0n;
  records: Records = { apis: new Map(), tiers: new Map(), consumers: new Map(), keys: new Map() };
  readonly grants = new Map<string, GatewayGrant>();
  readonly reports: GatewayReport[] = [];
  /** by environment, group and id */
  readonly held = new Map<string, { environment: string; id: string; tokenId: string; untilMs: number }>();
  /** what readers asked for so far */
  readonly calls = { snapshotRead: 0, changesSince: 0, keysPage: 0, gatewayToken: 0, callers: 0 };
  /** awaited before each page of keys is given */
  beforeKeysPage: () => Promise<void> = async () => {};
  /** thrown by every call while it is set */
  failure: Error | undefined;
  /** while true, commits aren't told */
  mute = false;
  #log: FeedChange[] = [];
  #nextWireId = 1;
  readonly #listeners = new Set<(version: bigint) => void>();

  /** One version. Gives it. */
  commit(edit: (writer: MemoryWriter) => void): bigint {
    const version = this.state.version + 1n;
    const records = copyOf(this.records);
    edit(new MemoryWriter(records, version, this.#log, () => this.#nextWireId++));
    this.records = records;
    this.state = { ...this.state, version };
    if (!this.mute) this.announce();
    return version;
  }

  announce(): void {
    for (const listener of this.#listeners) listener(this.state.version);
  }

  renewEpoch(): void {
    this.state = { epoch: this.state.epoch + 1n, version: this.state.version + 1n };
    this.forgetLog();
    this.announce();
  }

  forgetLog(): void {
    this.#log = [];
    this.logFrom = this.state.version;
  }

  addToken(token: string, apis: string[] | null = null, environment = this.environmentId): void {
    this.grants.set(sha256(token).toString("hex"), { tokenId: token, group: `group of ${token}`, environment, apis });
  }

  deleteToken(token: string): void {
    this.grants.delete(sha256(token).toString("hex"));
  }

  get subscribers(): number {
    return this.#listeners.size;
  }

  async environment(id: string): Promise<EnvironmentState | undefined> {
    this.#fail();
    return id === this.environmentId ? this.state : undefined;
  }

  subscribe(_environment: string, listener: (version: bigint) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  async snapshotRead<T>(environment: string, use: (reader: FeedReader) => Promise<T>): Promise<T | undefined> {
    this.#fail();
    this.calls.snapshotRead++;
    return environment === this.environmentId ? use(this.#reader()) : undefined;
  }

  async gatewayToken(digestHex: string): Promise<GatewayGrant | undefined> {
    this.#fail();
    this.calls.gatewayToken++;
    return this.grants.get(digestHex);
  }

  async claimGateway({
    environment,
    group,
    id,
    tokenId,
    nowMs,
    heldUntilMs,
    most,
  }: GatewayClaim): Promise<ClaimOutcome> {
    this.#fail();
    const key = `${environment} ${group} ${id}`;
    const others = [...this.held].filter(([name, { untilMs }]) => name !== key && untilMs > nowMs);
    if (others.some(([, other]) => other.environment === environment && other.id === id)) return "held";
    if (others.filter(([, other]) => other.tokenId === tokenId).length >= most) return "full";
    this.held.set(key, { environment, id, tokenId, untilMs: heldUntilMs });
    return "claimed";
  }

  async recordGateway(report: GatewayReport): Promise<void> {
    this.#fail();
    this.reports.push(report);
    const { environment, group, id, tokenId, heldUntilMs: untilMs } = report;
    this.held.set(`${environment} ${group} ${id}`, { environment, id, tokenId, untilMs });
  }

  #fail(): void {
    if (this.failure !== undefined) throw this.failure;
  }

  #reader(): FeedReader {
    const { state, records, logFrom, calls } = this;
    const log = [...this.#log];
    const page = <T>(all: Iterable<T>, place: (item: T) => number, after: number, count: number): T[] =>
      [...all]
        .filter((item) => place(item) > after)
        .sort((a, b) => place(a) - place(b))
        .slice(0, count);
    const byWireId = <T extends { wireId: number }>(all: Iterable<T>): T[] =>
      page(all, (item) => item.wireId, 0, Infinity);
    const some = <T>(all: Map<string, T>, ids: readonly string[]): Map<string, T> =>
      new Map(ids.flatMap((id) => (all.has(id) ? [[id, all.get(id)!] as const] : [])));
    return {
      ...state,
      environment: this.environmentId,
      counts: async () => ({
        apis: records.apis.size,
        tiers: records.tiers.size,
        consumers: records.consumers.size,
        keys: records.keys.size,
        limits: 0,
      }),
      apis: async () => byWireId(records.apis.values()),
      tiers: async () => byWireId(records.tiers.values()),
      consumersPage: async (after, count) =>
        page(records.consumers.values(), (consumer) => consumer.wireId, after, count),
      keysPage: async (after, count) => {
        calls.keysPage++;
        await this.beforeKeysPage();
        return page(records.keys.values(), (key) => key.rowId, after, count);
      },
      changesSince: async (since, max) => {
        calls.changesSince++;
        if (since > state.version || since < logFrom) return undefined;
        const changes = inTableOrder(log.filter((change) => change.version > since));
        return changes.length > max ? undefined : changes;
      },
      apiById: async (id) => records.apis.get(id),
      tierById: async (id) => records.tiers.get(id),
      consumerById: async (id) => records.consumers.get(id),
      keyById: async (id) => records.keys.get(id),
      keyLimits: async () =>
        [...records.keys.values()].flatMap(({ limits = [], digest }) =>
          limits.map((limit) => ({ limit, digest: digest.toString("hex", 0, 16) })),
        ),
      callingKeys: async (digests) => {
        calls.callers++;
        const keys = [...records.keys.values()].map((key) => [key.digest.toString("hex", 0, 16), key] as const);
        return new Map(keys.filter(([digest]) => digests.includes(digest)));
      },
      callingConsumers: async (wireIds) => {
        const keysOf = (consumer: FeedConsumer): FeedKey[] =>
          [...records.keys.values()].filter(
            ({ consumerWireId, state: of }) => consumerWireId === consumer.wireId && of !== "revoked",
          );
        const consumers = [...records.consumers.values()].filter(({ wireId }) => wireIds.includes(wireId));
        return new Map(
          consumers.map((one) => [
            one.wireId,
            { tierWireId: one.tierWireId, keyApis: keysOf(one).map(({ apiWireIds }) => apiWireIds) },
          ]),
        );
      },
      keysByIds: async (ids) => some(records.keys, ids),
      consumersByIds: async (ids) => some(records.consumers, ids),
    };
  }
}

export class MemoryWriter {
  readonly #records: Records;
  readonly #version: bigint;
  readonly #log: FeedChange[];
  readonly #allocate: () => number;

  constructor(records: Records, version: bigint, log: FeedChange[], allocate: () => number) {
    this.#records = records;
    this.#version = version;
    this.#log = log;
    this.#allocate = allocate;
  }

  api(id: string, more: Partial<Api> = {}): void {
    const api: Api = {
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
    };
    const before = this.#records.apis.get(id);
    const limits = api.limits.map((limit) => ({ wireId: this.#allocate(), limit }));
    for (const { wireId } of before?.limits ?? []) this.#deletedLimit(wireId);
    this.#records.apis.set(id, { wireId: before?.wireId ?? this.#allocate(), api, limits });
    this.#note("api", id, this.#records.apis.get(id)!.wireId, false);
  }

  tier(id: string, apis?: string[], limits: Limit[] = []): void {
    const before = this.#records.tiers.get(id);
    const tier: Tier = { id, scopes: ["read"], limits, ...(apis === undefined ? {} : { apis }) };
    for (const { wireId } of before?.limits ?? []) this.#deletedLimit(wireId);
    this.#records.tiers.set(id, {
      wireId: before?.wireId ?? this.#allocate(),
      tier,
      limits: limits.map((limit) => ({ wireId: this.#allocate(), limit })),
      ...(apis === undefined ? {} : { apiWireIds: apis.map((api) => this.#records.apis.get(api)!.wireId) }),
    });
    this.#note("tier", id, this.#records.tiers.get(id)!.wireId, false);
  }

  consumer(id: string, more: Partial<Consumer> = {}): void {
    const consumer: Consumer = { id, claims: {}, suspended: false, ...more };
    const wireId = this.#records.consumers.get(id)?.wireId ?? this.#allocate();
    this.#records.consumers.set(id, {
      wireId,
      tierWireId: consumer.tier === undefined ? 0 : this.#records.tiers.get(consumer.tier)!.wireId,
      consumer,
    });
    this.#note("consumer", id, wireId, false);
  }

  key(id: string, consumer: string, state: KeyState = "active", digest: Buffer = sha256(id)): void {
    const before = this.#records.keys.get(id);
    if (before !== undefined && !before.digest.equals(digest))
      this.#log.push({ version: this.#version, kind: "key", id, digest: before.digest, deleted: true });
    this.#records.keys.set(id, {
      rowId: before?.rowId ?? this.#allocate(),
      id,
      digest,
      consumerWireId: this.#records.consumers.get(consumer)!.wireId,
      state,
    });
    this.#log.push({ version: this.#version, kind: "key", id, digest, deleted: false });
  }

  /** Restricts a key to APIs, by their wire ids, and gives it limits of its own. */
  restrict(id: string, apiWireIds: number[] | undefined, limits: Limit[] = []): void {
    const { apiWireIds: _before, limits: before, ...key } = this.#records.keys.get(id)!;
    for (const { wireId } of before ?? []) this.#deletedLimit(wireId);
    const own = limits.map((limit) => ({ wireId: this.#allocate(), limit }));
    this.#records.keys.set(id, {
      ...key,
      ...(apiWireIds === undefined ? {} : { apiWireIds }),
      ...(own.length === 0 ? {} : { limits: own }),
    });
    this.#log.push({ version: this.#version, kind: "key", id, digest: key.digest, deleted: false });
  }

  delete(kind: "api" | "tier" | "consumer" | "key", id: string): void {
    if (kind === "key") {
      const { digest } = this.#records.keys.get(id)!;
      this.#records.keys.delete(id);
      this.#log.push({ version: this.#version, kind, id, digest, deleted: true });
      return;
    }
    const all = { api: this.#records.apis, tier: this.#records.tiers, consumer: this.#records.consumers }[kind];
    const record = all.get(id)!;
    all.delete(id);
    if ("limits" in record) for (const { wireId } of record.limits) this.#deletedLimit(wireId);
    this.#note(kind, id, record.wireId, true);
  }

  counter(wireId: number, subject: string, generation: number): void {
    this.#log.push({ version: this.#version, kind: "counter", wireId, subject, generation, deleted: false });
  }

  #note(kind: "api" | "tier" | "consumer", id: string, wireId: number, deleted: boolean): void {
    this.#log.push({ version: this.#version, kind, id, wireId, deleted });
  }

  #deletedLimit(wireId: number): void {
    this.#log.push({ version: this.#version, kind: "limit", wireId, deleted: true });
  }
}

/** Freed digests and limits first, then what is there now with what it refers to before it, then what is gone. */
function inTableOrder(log: FeedChange[]): FeedChange[] {
  const last = new Map<string, FeedChange>();
  for (const change of log) {
    const key =
      change.kind === "counter"
        ? `counter ${change.wireId} ${change.subject}`
        : change.kind === "limit" || change.deleted
          ? JSON.stringify([change.kind, change.kind === "key" ? change.digest.toString("hex") : change.wireId])
          : `${change.kind} ${change.id}`;
    if (change.deleted && "id" in change) last.delete(`${change.kind} ${change.id}`);
    last.delete(key);
    last.set(key, change);
  }
  const rank = (change: FeedChange): number => {
    if (change.deleted) return { limit: 0, key: 0, consumer: 20, tier: 21, api: 22 }[change.kind];
    return { limit: 0, api: 10, tier: 11, consumer: 12, key: 13, counter: 14 }[change.kind];
  };
  return [...last.values()].sort((a, b) => rank(a) - rank(b));
}
