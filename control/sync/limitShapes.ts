/** The limits of an environment by wire id, as counting needs them: brought up to date with each version, before a call is decided by it. */
import type { LimitShape } from "../counters/model.ts";
import { parsePeriod } from "../domain/period.ts";
import type { FeedApi, FeedChange, FeedKey, FeedLimit, FeedReader, FeedSource, FeedTier } from "../store/feedSource.ts";
import type { View } from "./view.ts";

interface Known {
  shape: LimitShape;
  /** the API that it belongs to, itself or by a route; absent: of a tier or a key */
  api?: string;
}

interface Owned {
  limit: FeedLimit;
  api?: string;
}

/** What a look at the store brings: limits that were added or changed, and the wire ids of those that are gone. */
interface News {
  epoch: bigint;
  version: bigint;
  /** whatever isn't among `present` is gone */
  whole: boolean;
  present: Owned[];
  gone: number[];
}

/** After more changes than this all limits are read again. */
const mostChanges = 2000;

export class LimitShapes {
  readonly #source: FeedSource;
  readonly #environment: string;
  #epoch = 0n;
  #version = -1n;
  #known = new Map<number, Known>();
  #reading: Promise<void> | undefined;

  constructor(source: FeedSource, environment: string) {
    this.#source = source;
    this.#environment = environment;
  }

  /** Brings the limits to `version` or a newer one. Throws when the store can't be read. */
  async reach(version: bigint): Promise<void> {
    while (this.#version < version) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
  }

  /** The limit, when it's counted by control and visible. */
  get(wireId: number, view: View): LimitShape | undefined {
    const known = this.#known.get(wireId);
    return known === undefined || (known.api !== undefined && !view.sees(known.api)) ? undefined : known.shape;
  }

  async #read(): Promise<void> {
    const news = await this.#source.snapshotRead(this.#environment, async (reader): Promise<News> => {
      const changes = reader.epoch === this.#epoch ? await reader.changesSince(this.#version, mostChanges) : undefined;
      const { epoch, version } = reader;
      return { epoch, version, whole: changes === undefined, ...(changes === undefined ? { present: await allLimits(reader), gone: [] } : await changedLimits(reader, changes)) };
    });
    if (news === undefined) throw new Error(`there is no environment "${this.#environment}"`);
    if (news.whole) this.#known = new Map();
    for (const wireId of news.gone) this.#known.delete(wireId);
    for (const { limit, api } of news.present) {
      if (limit.limit.enforcement === "global") this.#known.set(limit.wireId, { shape: shapeOf(limit), ...(api === undefined ? {} : { api }) });
      else this.#known.delete(limit.wireId);
    }
    this.#epoch = news.epoch;
    this.#version = news.version;
  }
}

async function allLimits(reader: FeedReader): Promise<Owned[]> {
  return [...(await reader.apis()).flatMap(ofApi), ...(await reader.tiers()).flatMap(ofOther), ...(await reader.keyLimits()).map((limit) => ({ limit }))];
}

/** Limits change with their owner; those that are gone are in the log by themselves. */
async function changedLimits(reader: FeedReader, changes: readonly FeedChange[]): Promise<Pick<News, "present" | "gone">> {
  const ids = (kind: "api" | "tier" | "key"): string[] => changes.flatMap((change) => (change.kind === kind && !change.deleted ? [change.id] : []));
  const [apiIds, tierIds, keyIds] = [ids("api"), ids("tier"), ids("key")];
  const apis = apiIds.length === 0 ? [] : await reader.apis();
  const tiers = tierIds.length === 0 ? [] : await reader.tiers();
  const keys: FeedKey[] = keyIds.length === 0 ? [] : [...(await reader.keysByIds(keyIds)).values()];
  return {
    present: [...apis.flatMap(ofApi), ...tiers.flatMap(ofOther), ...keys.flatMap(ofOther)],
    gone: changes.flatMap((change) => (change.kind === "limit" ? [change.wireId] : [])),
  };
}

function ofApi({ api, limits }: FeedApi): Owned[] {
  return limits.map((limit) => ({ limit, api: api.id }));
}

function ofOther({ limits = [] }: FeedTier | FeedKey): Owned[] {
  return limits.map((limit) => ({ limit }));
}

/** A limit as counting needs it. */
export function shapeOf({ wireId, limit }: Pick<FeedLimit, "wireId" | "limit">): LimitShape {
  const period = limit.period === undefined ? undefined : parsePeriod(limit.period);
  return {
    wireId,
    kind: limit.kind,
    limit: limit.limit,
    windowSeconds: limit.windowSeconds ?? (period !== undefined && "seconds" in period ? period.seconds : 0),
    period: period !== undefined && "named" in period ? period.named : "none",
    firstUse: limit.anchor === "firstUse",
  };
}
