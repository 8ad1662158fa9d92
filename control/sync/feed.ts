/**
 * One environment as gateways get it: a base snapshot, encoded once, and deltas on top of it.
 *
 * The newest version comes with the store's notifications. Everything sent is read in one consistent view of the store and labelled
 * with that view's version. A delta is encoded once for all gateways that stand at the same version and see the same APIs.
 */
import type { Recall } from "../counters/model.ts";
import type { EnvironmentState, FeedSource } from "../store/feedSource.ts";
import { Base } from "./base.ts";
import { type Delta, type DeltaBounds, readDelta } from "./delta.ts";
import { heartbeatFrame } from "./frames.ts";
import { SyncProblem } from "./problems.ts";
import { recallFrame } from "./recallFrame.ts";
import type { View } from "./view.ts";

export interface FeedBounds {
  /** of one delta; beyond, a gateway gets a snapshot */
  delta: DeltaBounds;
  /** a log longer than this makes a new base; must be below `delta`, or who loads the base would be sent to it again */
  rebuild: DeltaBounds;
  /** between two looks at the log's length, and so between two rebuilds that nobody waits for */
  rebuildEveryMs: number;
  /** a superseded base is kept until it wasn't used for so long */
  retireAfterMs: number;
  /** encoded deltas kept for gateways that ask for the same */
  cachedBytes: number;
}

export const feedBounds: FeedBounds = {
  delta: { maxRecords: 50_000, maxBytes: 4 << 20 },
  rebuild: { maxRecords: 20_000, maxBytes: 2 << 20 },
  rebuildEveryMs: 10_000,
  retireAfterMs: 30_000,
  cachedBytes: 32 << 20,
};

export interface FeedEvents {
  /** a newer version, or another epoch, is there */
  moved(): void;
  built(base: Base, tookMs: number): void;
  encoded(delta: Delta, tookMs: number): void;
}

export interface Answer {
  kind: "delta" | "manifest" | "heartbeat" | "recall";
  bytes: Buffer;
  /** the environment's version that this leads to */
  version: bigint;
}

export class EnvironmentFeed {
  readonly environment: string;
  readonly #source: FeedSource;
  readonly #bounds: FeedBounds;
  readonly #events: FeedEvents;
  readonly #now: () => number;
  readonly #stopped = new AbortController();
  #unsubscribe: (() => void) | undefined;
  #known: EnvironmentState | undefined;
  /** the newest version that was told, perhaps before anything was read */
  #heard = 0n;
  #base: Base | undefined;
  #previous: Base | undefined;
  #building: Promise<Base> | undefined;
  #checkedMs = 0;
  #checkedVersion = 0n;
  #rebuildWanted = false;
  #deltas = new Map<string, Promise<Delta | undefined>>();
  #deltaBytes = 0;

  constructor(
    source: FeedSource,
    environment: string,
    events: FeedEvents,
    bounds: FeedBounds = feedBounds,
    now: () => number = Date.now,
  ) {
    this.#source = source;
    this.environment = environment;
    this.#events = events;
    this.#bounds = bounds;
    this.#now = now;
  }

  /** Follows the environment and builds the base. Throws when the store fails; may be called again then. */
  async start(): Promise<void> {
    this.#subscribe();
    await this.#baseFrom(0n);
  }

  /** Follows the environment, so that its epoch and version are known: all that lanes need. Throws as `start` does. */
  async follow(): Promise<void> {
    this.#subscribe();
    if (this.#known !== undefined) return;
    await this.recheck();
    if (this.#known === undefined) throw new SyncProblem("not_ready", `there is no environment "${this.environment}"`);
  }

  /** Whether gateways can be answered. */
  get ready(): boolean {
    return this.#base !== undefined;
  }

  /** The newest version known. */
  get state(): EnvironmentState | undefined {
    return this.#known;
  }

  get base(): Base | undefined {
    return this.#base;
  }

  /**
   * What brings a gateway at `epoch` and `version` on: a delta, or a manifest when its epoch is another or it is too far behind.
   * Undefined: it has the newest version. Throws SyncProblem when the store can't be read.
   */
  async catchUp(view: View, epoch: bigint, version: bigint): Promise<Answer | undefined> {
    let known = this.#mustKnow();
    if (version > known.version || (epoch !== 0n && epoch !== view.epoch(known.epoch))) {
      // it may have heard of it from another replica, before the notification came here
      await this.recheck();
      known = this.#mustKnow();
    }
    if (epoch !== view.epoch(known.epoch)) return this.#manifest(view, 0n);
    if (version === known.version) return undefined;
    if (version > known.version) return this.#manifest(view, 0n);
    const delta = await this.#delta(view, version);
    // the environment's epoch may have been renewed meanwhile
    if (delta === undefined || view.epoch(delta.epoch) !== epoch) return this.#manifest(view, version + 1n);
    return delta.version === version ? undefined : { kind: "delta", bytes: delta.bytes, version: delta.version };
  }

  /** Whether this is the epoch as gateways with this view know it, so that wire ids mean what they mean now. */
  async isCurrent(view: View, epoch: bigint): Promise<boolean> {
    if (epoch === view.epoch(this.#mustKnow().epoch)) return true;
    // it may have heard of a newer one from another replica, before the notification came here
    await this.recheck();
    return epoch === view.epoch(this.#mustKnow().epoch);
  }

  /** Nothing new but recalls. */
  recall(view: View, recalls: readonly Recall[]): Answer {
    const { epoch, version } = this.#mustKnow();
    return {
      kind: "recall",
      bytes: recallFrame({ epoch: view.epoch(epoch), version, timeMs: this.#now() }, recalls),
      version,
    };
  }

  /** Nothing new. */
  heartbeat(view: View): Answer {
    const { epoch, version } = this.#mustKnow();
    return {
      kind: "heartbeat",
      bytes: heartbeatFrame({ epoch: view.epoch(epoch), version, timeMs: this.#now() }),
      version,
    };
  }

  /** Header and payload of a page frame. Throws SyncProblem: the snapshot is gone, or never had the page. */
  page(view: View, epoch: bigint, version: bigint, index: number): [Buffer, Buffer] {
    for (const base of [this.#base, this.#previous]) {
      if (base === undefined || base.version !== version || view.epoch(base.epoch) !== epoch) continue;
      base.usedMs = this.#now();
      const page = base.page(view, index);
      if (page === undefined) throw new SyncProblem("parameter_invalid", `the snapshot has no page ${index}`);
      return page;
    }
    throw new SyncProblem("snapshot_gone", "watch again for a newer one");
  }

  /** Looks whether a notification was lost. */
  async recheck(): Promise<void> {
    const state = await this.#source.environment(this.environment);
    if (state !== undefined) this.#observe(state);
  }

  /** Lets go of what is no longer used, and begins a new base when the log since this one has grown long. Call about once a second. */
  async tidy(): Promise<void> {
    const nowMs = this.#now();
    if (this.#previous !== undefined && nowMs - this.#previous.usedMs > this.#bounds.retireAfterMs)
      this.#previous = undefined;
    const base = this.#base;
    const known = this.#known;
    if (
      base === undefined ||
      known === undefined ||
      this.#building !== undefined ||
      nowMs - this.#checkedMs < this.#bounds.rebuildEveryMs
    )
      return;
    this.#checkedMs = nowMs;
    if (!this.#rebuildWanted && known.version !== this.#checkedVersion) {
      this.#checkedVersion = known.version;
      this.#rebuildWanted = await this.#logIsLong(base);
    }
    if (this.#rebuildWanted) await this.#build();
  }

  /** Ends the subscription and a build that is under way. */
  async stop(): Promise<void> {
    this.#unsubscribe?.();
    this.#unsubscribe = undefined;
    this.#stopped.abort(new SyncProblem("not_ready", "control is stopping"));
    await this.#building?.catch(() => undefined);
    this.#deltas.clear();
  }

  #subscribe(): void {
    this.#unsubscribe ??= this.#source.subscribe(this.environment, (version) => this.#hear(version));
  }

  #mustKnow(): EnvironmentState {
    if (this.#known === undefined) throw new SyncProblem("not_ready", "the environment is being read; try again soon");
    return this.#known;
  }

  #hear(version: bigint): void {
    if (version > this.#heard) this.#heard = version;
    // the epoch may be new as well: whatever is read next tells
    if (this.#known !== undefined) this.#observe({ epoch: this.#known.epoch, version });
  }

  /** Takes note of a state that was read. Versions only grow, so an older reading counts for nothing. */
  #observe(state: EnvironmentState): void {
    const known = this.#known;
    if (
      known !== undefined &&
      (state.version < known.version || (state.version === known.version && state.epoch === known.epoch))
    )
      return;
    this.#known = { epoch: state.epoch, version: state.version > this.#heard ? state.version : this.#heard };
    this.#deltas = new Map();
    this.#deltaBytes = 0;
    this.#events.moved();
  }

  /** A manifest of a base at `least` or newer. */
  async #manifest(view: View, least: bigint): Promise<Answer> {
    const base = await this.#baseFrom(least, view);
    base.usedMs = this.#now();
    return { kind: "manifest", bytes: base.manifest(view, this.#current(base), this.#now()), version: base.version };
  }

  /** The newest version known; a gateway that starts from `base` must reach it before it decides. */
  #current(base: Base): bigint {
    const known = this.#known;
    return known !== undefined && known.epoch === base.epoch && known.version > base.version
      ? known.version
      : base.version;
  }

  /** The base, renewed when it is older than `least`, or of another epoch, or when no delta leads on from it. */
  async #baseFrom(least: bigint, view?: View): Promise<Base> {
    for (let builds = 0; ; builds++) {
      const base = this.#base;
      if (
        base !== undefined &&
        base.epoch === this.#known?.epoch &&
        base.version >= least &&
        (view === undefined || (await this.#leadsOn(base, view)))
      )
        return base;
      // a build that was under way may have begun too early; two after it can't have
      if (builds === 3)
        throw new SyncProblem("not_ready", "the environment changes faster than it can be read; try again soon");
      await this.#build();
    }
  }

  async #leadsOn(base: Base, view: View): Promise<boolean> {
    if (base.version === this.#known?.version) return true;
    const delta = await this.#delta(view, base.version);
    return delta !== undefined && delta.epoch === base.epoch;
  }

  #build(): Promise<Base> {
    this.#building ??= this.#read().finally(() => {
      this.#building = undefined;
    });
    return this.#building;
  }

  async #read(): Promise<Base> {
    const startedMs = performance.now();
    const base = await this.#source.snapshotRead(this.environment, (reader) =>
      Base.read(reader, this.#now(), this.#stopped.signal),
    );
    if (base === undefined) throw new SyncProblem("not_ready", `there is no environment "${this.environment}"`);
    this.#previous = this.#base;
    this.#base = base;
    this.#rebuildWanted = false;
    this.#checkedMs = this.#now();
    this.#checkedVersion = base.version;
    this.#observe(base);
    this.#events.built(base, performance.now() - startedMs);
    return base;
  }

  #delta(view: View, since: bigint): Promise<Delta | undefined> {
    const key = `${view.key} ${since}`;
    const deltas = this.#deltas;
    let delta = deltas.get(key);
    if (delta === undefined) {
      delta = this.#encode(view, since);
      deltas.set(key, delta);
      // a failure isn't kept
      delta.catch(() => deltas.delete(key));
    }
    return delta;
  }

  async #encode(view: View, since: bigint): Promise<Delta | undefined> {
    const startedMs = performance.now();
    const deltas = this.#deltas;
    const delta = await this.#source.snapshotRead(this.environment, (reader) =>
      readDelta(reader, view, since, this.#bounds.delta, this.#now()),
    );
    if (delta === undefined) return undefined;
    this.#events.encoded(delta, performance.now() - startedMs);
    if (deltas === this.#deltas) {
      this.#deltaBytes += delta.bytes.length;
      if (this.#deltaBytes > this.#bounds.cachedBytes) {
        this.#deltas = new Map();
        this.#deltaBytes = 0;
      }
    }
    const base = this.#base;
    const { maxBytes, maxRecords } = this.#bounds.rebuild;
    if (since === base?.version && (delta.bytes.length > maxBytes || delta.records > maxRecords))
      this.#rebuildWanted = true;
    this.#observe(delta);
    return delta;
  }

  async #logIsLong(base: Base): Promise<boolean> {
    const short = await this.#source.snapshotRead(this.environment, async (reader) => {
      return (
        reader.epoch === base.epoch &&
        (await reader.changesSince(base.version, this.#bounds.rebuild.maxRecords)) !== undefined
      );
    });
    return short !== true;
  }
}
