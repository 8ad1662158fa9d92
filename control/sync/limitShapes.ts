/** The limits of an environment by wire id, as counting needs them; read anew with each version. */
import type { LimitShape } from "../counters/model.ts";
import type { FeedLimit, FeedSource } from "../store/feedSource.ts";
import { parsePeriod } from "../domain/period.ts";
import type { View } from "./view.ts";

interface Known {
  shape: LimitShape;
  /** the API that it belongs to, itself or by a route; absent: of a tier or a key */
  api?: string;
}

export class LimitShapes {
  readonly #source: FeedSource;
  readonly #environment: string;
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
    const read = await this.#source.snapshotRead(this.#environment, async (reader) => {
      const known = new Map<number, Known>();
      const add = (limits: readonly FeedLimit[], api?: string): void => {
        for (const { wireId, limit } of limits) if (limit.enforcement === "global") known.set(wireId, { shape: shapeOf({ wireId, limit }), ...(api === undefined ? {} : { api }) });
      };
      for (const { api, limits } of await reader.apis()) add(limits, api.id);
      for (const { limits } of await reader.tiers()) add(limits);
      add(await reader.keyLimits());
      return { known, version: reader.version };
    });
    if (read === undefined) throw new Error(`there is no environment "${this.#environment}"`);
    if (read.version < this.#version) return;
    this.#known = read.known;
    this.#version = read.version;
  }
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
