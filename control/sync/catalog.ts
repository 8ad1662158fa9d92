/**
 * What gateways name by wire id, as far as it decides what they may ask and report: an environment's APIs, tiers and limits, brought up to
 * date with each version before a call is judged by it; and callers, read when a call names them.
 */
import type { LimitShape } from "../counters/model.ts";
import { type Api, type Subject, takesTokens } from "../domain/model.ts";
import type {
  CallingConsumer,
  CallingKey,
  FeedApi,
  FeedChange,
  FeedKey,
  FeedKeyLimit,
  FeedLimit,
  FeedReader,
  FeedSource,
  FeedTier,
} from "../store/feedSource.ts";
import { shapeOf } from "../counters/limitShape.ts";
import type { View } from "./view.ts";

export interface KnownApi {
  wireId: number;
  api: Api;
  /** names of the limits that stand in place of a tier's */
  limitNames: ReadonlySet<string>;
  /** what one call costs at most, by any version of the API that was seen */
  maxCost: number;
  /** deleted: usage of it may still be on its way */
  gone: boolean;
}

type LimitOwner = { kind: "api"; api: number } | { kind: "tier"; tier: number } | { kind: "key"; digest: string };

export interface KnownLimit {
  shape: LimitShape;
  name: string;
  subject: Subject;
  owner: LimitOwner;
}

/** Where a view's gateways can meet a limit. */
export interface Places {
  /** wire ids of APIs */
  apis: ReadonlySet<number>;
  /** at some of them callers come without a key: by a token or a certificate */
  keylessCallers: boolean;
  /** some of them have failureMode local */
  local: boolean;
}

interface Owned {
  limit: FeedLimit;
  owner: LimitOwner;
}

/** What a look at the store brings. */
interface News {
  epoch: bigint;
  version: bigint;
  /** whatever isn't among the rest is gone */
  whole: boolean;
  changes: readonly FeedChange[];
  apis: FeedApi[];
  tiers: FeedTier[];
  keys: FeedKey[];
  keyLimits: FeedKeyLimit[];
}

/** After more changes than this all is read again. */
const mostChanges = 2000;
/** Of each kind of callers; beyond, all are read anew. */
const rememberedMost = 200_000;
const placesOfViews = 100;

export class Catalog {
  readonly #source: FeedSource;
  readonly #environment: string;
  #epoch = 0n;
  #version = -1n;
  #apis = new Map<number, KnownApi>();
  /** APIs that each tier allows; undefined: all */
  #tiers = new Map<number, ReadonlySet<number> | undefined>();
  #limits = new Map<number, KnownLimit>();
  /** by digest, by wire id; undefined: there is none */
  readonly #keys = new Map<string, CallingKey | undefined>();
  readonly #consumers = new Map<number, CallingConsumer | undefined>();
  /** by view, by limit */
  readonly #places = new Map<string, Map<number, Places>>();
  readonly #visible = new Map<string, readonly Api[]>();
  #maxCost = 1;
  #reading: Promise<void> | undefined;

  constructor(source: FeedSource, environment: string) {
    this.#source = source;
    this.#environment = environment;
  }

  /** Brings it to `version` or a newer one. Throws when the store can't be read. */
  async reach(version: bigint): Promise<void> {
    while (this.#version < version) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
  }

  api(wireId: number): KnownApi | undefined {
    return this.#apis.get(wireId);
  }

  /** The highest cost that a call of any API was seen to have. */
  get maxCost(): number {
    return this.#maxCost;
  }

  /** The limit, when it's counted by the control plane. */
  limit(wireId: number): KnownLimit | undefined {
    return this.#limits.get(wireId);
  }

  /** APIs that a tier allows; undefined: all. */
  tierApis(tier: number): ReadonlySet<number> | undefined {
    return this.#tiers.get(tier);
  }

  key(digest: string): CallingKey | undefined {
    return this.#keys.get(digest);
  }

  consumer(wireId: number): CallingConsumer | undefined {
    return this.#consumers.get(wireId);
  }

  visibleApis(view: View): readonly Api[] {
    let apis = this.#visible.get(view.key);
    if (apis === undefined) {
      apis = [...this.#apis.values()].flatMap(({ api, gone }) => (!gone && view.sees(api.id) ? [api] : []));
      this.#visible.set(view.key, apis);
    }
    return apis;
  }

  /** Where gateways with this view can meet the limit; worked out once for each view and version of APIs and tiers. */
  places(limit: KnownLimit, view: View): Places {
    let ofView = this.#places.get(view.key);
    if (ofView === undefined) {
      if (this.#places.size >= placesOfViews) this.#places.clear();
      this.#places.set(view.key, (ofView = new Map()));
    }
    const { wireId } = limit.shape;
    let places = ofView.get(wireId);
    if (places === undefined) ofView.set(wireId, (places = this.#placesOf(limit, view)));
    return places;
  }

  /** Reads callers that aren't remembered. Throws when the store can't be read. */
  async loadCallers(digests: Iterable<string>, consumers: Iterable<number>): Promise<void> {
    for (;;) {
      if (this.#keys.size > rememberedMost) this.#keys.clear();
      if (this.#consumers.size > rememberedMost) this.#consumers.clear();
      const missingKeys = [...new Set(digests)].filter((digest) => !this.#keys.has(digest));
      const missingConsumers = [...new Set(consumers)].filter((wireId) => !this.#consumers.has(wireId));
      if (missingKeys.length + missingConsumers.length === 0) return;
      const read = await this.#source.snapshotRead(this.#environment, async (reader) => {
        const keys = await reader.callingKeys(missingKeys);
        const more = [...keys.values()]
          .map(({ consumerWireId }) => consumerWireId)
          .filter((wireId) => !this.#consumers.has(wireId));
        const ids = [...new Set([...missingConsumers, ...more])];
        return { version: reader.version, keys, ids, consumers: await reader.callingConsumers(ids) };
      });
      if (read === undefined) throw new Error(`there is no environment "${this.#environment}"`);
      // What has changed since is forgotten already: it would be remembered for good.
      if (read.version < this.#version) continue;
      for (const digest of missingKeys) this.#keys.set(digest, read.keys.get(digest));
      for (const wireId of read.ids) this.#consumers.set(wireId, read.consumers.get(wireId));
      return;
    }
  }

  #placesOf({ name, owner }: KnownLimit, view: View): Places {
    const tierApis = owner.kind === "tier" ? this.#tiers.get(owner.tier) : undefined;
    const places = [...this.#apis.values()].filter((known) => {
      if (known.gone || !view.sees(known.api.id)) return false;
      if (owner.kind === "api") return known.wireId === owner.api;
      if (known.api.auth.mode === "none") return false;
      if (owner.kind === "key") return true;
      return (tierApis?.has(known.wireId) ?? true) && !known.limitNames.has(name);
    });
    return {
      apis: new Set(places.map(({ wireId }) => wireId)),
      keylessCallers: places.some(({ api }) => takesTokens(api.auth.mode) || api.auth.mode === "mtls"),
      local: places.some(({ api }) => api.failureMode === "local"),
    };
  }

  async #read(): Promise<void> {
    const news = await this.#source.snapshotRead(this.#environment, async (reader): Promise<News> => {
      const { epoch, version } = reader;
      const changes = epoch === this.#epoch ? await reader.changesSince(this.#version, mostChanges) : undefined;
      if (changes !== undefined) return { epoch, version, whole: false, changes, ...(await changed(reader, changes)) };
      return {
        epoch,
        version,
        whole: true,
        changes: [],
        apis: await reader.apis(),
        tiers: await reader.tiers(),
        keys: [],
        keyLimits: await reader.keyLimits(),
      };
    });
    if (news === undefined) throw new Error(`there is no environment "${this.#environment}"`);
    this.#take(news);
    this.#epoch = news.epoch;
    this.#version = news.version;
  }

  #take({ epoch, whole, changes, apis, tiers, keys, keyLimits }: News): void {
    if (whole) {
      // Of another epoch, wire ids mean something else.
      if (epoch !== this.#epoch) this.#apis = new Map();
      for (const known of this.#apis.values()) known.gone = true;
      this.#tiers = new Map();
      this.#limits = new Map();
      this.#keys.clear();
      this.#consumers.clear();
    }
    for (const change of changes) this.#forget(change);
    for (const api of apis) {
      const known = knownApi(api, this.#apis.get(api.wireId));
      this.#apis.set(api.wireId, known);
      this.#maxCost = Math.max(this.#maxCost, known.maxCost);
    }
    for (const { wireId, apiWireIds } of tiers)
      this.#tiers.set(wireId, apiWireIds === undefined ? undefined : new Set(apiWireIds));
    for (const { consumerWireId } of keys) this.#consumers.delete(consumerWireId);
    for (const owned of [
      ...apis.flatMap(ofApi),
      ...tiers.flatMap(ofTier),
      ...keys.flatMap(ofKey),
      ...keyLimits.map(ofKeyLimit),
    ])
      this.#keep(owned);
    if (
      !whole &&
      apis.length + tiers.length === 0 &&
      changes.every(({ kind }) => kind === "consumer" || kind === "counter" || kind === "key")
    )
      return;
    this.#places.clear();
    this.#visible.clear();
  }

  #forget(change: FeedChange): void {
    if (change.kind === "limit") this.#limits.delete(change.wireId);
    else if (change.kind === "key") this.#keys.delete(change.digest.toString("hex", 0, 16));
    else if (change.kind === "consumer") this.#consumers.delete(change.wireId);
    else if (change.kind === "tier" && change.deleted) this.#tiers.delete(change.wireId);
    else if (change.kind === "api" && change.deleted) {
      const known = this.#apis.get(change.wireId);
      if (known !== undefined) known.gone = true;
    }
  }

  #keep({ limit, owner }: Owned): void {
    const {
      wireId,
      limit: { name, subject, enforcement },
    } = limit;
    if (enforcement === "global") this.#limits.set(wireId, { shape: shapeOf(limit), name, subject, owner });
    else this.#limits.delete(wireId);
  }
}

/** Records change with their owner; limits that are gone are in the log by themselves. */
async function changed(
  reader: FeedReader,
  changes: readonly FeedChange[],
): Promise<Pick<News, "apis" | "tiers" | "keys" | "keyLimits">> {
  const ids = (kind: "api" | "tier" | "key"): string[] =>
    changes.flatMap((change) => (change.kind === kind && !change.deleted ? [change.id] : []));
  const [apiIds, tierIds, keyIds] = [ids("api"), ids("tier"), ids("key")];
  return {
    apis: apiIds.length === 0 ? [] : await reader.apis(),
    tiers: tierIds.length === 0 ? [] : await reader.tiers(),
    keys: keyIds.length === 0 ? [] : [...(await reader.keysByIds(keyIds)).values()],
    keyLimits: [],
  };
}

function knownApi({ wireId, api, limits }: FeedApi, before: KnownApi | undefined): KnownApi {
  const names = limits.flatMap(({ limit, routeIndex }) => (routeIndex === undefined ? [limit.name] : []));
  const maxCost = Math.max(1, before?.maxCost ?? 1, ...api.routes.map(({ cost }) => cost));
  return { wireId, api, limitNames: new Set(names), maxCost, gone: false };
}

function ofApi({ wireId, limits }: FeedApi): Owned[] {
  return limits.map((limit) => ({ limit, owner: { kind: "api", api: wireId } }));
}

function ofTier({ wireId, limits }: FeedTier): Owned[] {
  return limits.map((limit) => ({ limit, owner: { kind: "tier", tier: wireId } }));
}

function ofKey({ digest, limits = [] }: FeedKey): Owned[] {
  return limits.map((limit) => ofKeyLimit({ limit, digest: digest.toString("hex", 0, 16) }));
}

function ofKeyLimit({ limit, digest }: FeedKeyLimit): Owned {
  return { limit, owner: { kind: "key", digest } };
}
