/**
 * The state that a decision works on: loaded rows, with what the decision has changed so far laid over them. Facts are never touched, so
 * that a decision can be made again. A look at something that wasn't loaded finds nothing and is noted in `wanted`; the decision is then
 * worthless, and is made again once that was loaded.
 */
import {
  type Changes,
  counterKey,
  type CounterId,
  type Facts,
  type HeadRow,
  type Holder,
  holdingKey,
  type HoldingRow,
  type LaneId,
  laneKey,
  type LaneRow,
  nothingWanted,
  type ShareRow,
  windowKey,
  type WindowId,
  type WindowRow,
} from "./facts.ts";

export class Ledger {
  readonly wanted = nothingWanted();
  private readonly facts: Facts;
  private readonly lanes = new Map<string, LaneRow>();
  private readonly heads = new Map<string, HeadRow>();
  private readonly windows = new Map<string, WindowRow>();
  /** by the window's key and the lane */
  private readonly holdings = new Map<string, Map<string, HoldingRow>>();
  private readonly shareRows = new Map<string, Map<string, ShareRow>>();

  constructor(facts: Facts) {
    this.facts = facts;
  }

  get nowMs(): number {
    return this.facts.nowMs;
  }

  lane(id: LaneId): LaneRow | null {
    const key = laneKey(id);
    const row = this.lanes.get(key) ?? this.facts.lanes.get(key);
    if (row === undefined) this.wanted.lanes.set(key, id);
    return row ?? null;
  }

  putLane(row: LaneRow): void {
    this.lanes.set(laneKey(row), row);
  }

  head(id: CounterId): HeadRow | null {
    const key = counterKey(id);
    const row = this.heads.get(key) ?? this.facts.heads.get(key);
    if (row === undefined) this.wanted.heads.set(key, id);
    return row ?? null;
  }

  headOrNew({ environment, wireId, subject }: CounterId): HeadRow {
    const id = { environment, wireId, subject };
    return this.head(id) ?? { ...id, generation: 0, pendingExtra: 0, shares: 0 };
  }

  putHead(row: HeadRow): void {
    this.heads.set(counterKey(row), row);
  }

  window(id: WindowId): WindowRow | null {
    const key = windowKey(id);
    const row = this.windows.get(key) ?? this.facts.windows.get(key);
    if (row === undefined) this.wanted.windows.set(key, id);
    return row ?? null;
  }

  putWindow(row: WindowRow): void {
    this.windows.set(windowKey(row), row);
  }

  /** What a lane holds of a window, at most. */
  held(window: WindowRow, lane: string): number {
    const { environment, wireId, subject, span } = window;
    const id = { environment, wireId, subject, span, lane };
    const key = holdingKey(id);
    const row = this.holdings.get(windowKey(window))?.get(lane) ?? this.facts.holdings.get(key);
    if (row === undefined) this.wanted.holdings.set(key, id);
    return row?.startMs === window.startMs ? row.amount : 0;
  }

  /** Notes what a lane holds, in its row and in the window's number of holders. Gives the window as it is then. */
  putHeld(window: WindowRow, lane: string, amount: number): WindowRow {
    const before = this.held(window, lane);
    if (before === amount) return window;
    const { environment, wireId, subject, span, startMs, endMs } = window;
    const key = windowKey(window);
    let rows = this.holdings.get(key);
    if (rows === undefined) this.holdings.set(key, (rows = new Map()));
    rows.set(lane, { environment, wireId, subject, span, lane, startMs, endMs, amount });
    const holders = window.holders + (before === 0 ? 1 : amount === 0 ? -1 : 0);
    const changed = { ...window, holders };
    this.putWindow(changed);
    return changed;
  }

  /** Every lane that holds something of a window. */
  holders(window: WindowRow): Holder[] {
    const key = windowKey(window);
    const loaded = this.facts.holders.get(key);
    if (loaded === undefined) {
      const { environment, wireId, subject, span } = window;
      this.wanted.holders.set(key, { environment, wireId, subject, span });
    }
    const changed = this.holdings.get(key);
    const kept = (loaded ?? []).filter((holder) => holder.startMs === window.startMs && changed?.has(holder.lane) !== true).map((holder) => this.withContact(window.environment, holder));
    for (const row of changed?.values() ?? []) {
      if (row.startMs === window.startMs && row.amount > 0) kept.push(this.withContact(window.environment, { ...row, gateway: "", lastMs: 0 }));
    }
    return kept;
  }

  /** Every share of a counter. */
  shares(id: CounterId): ShareRow[] {
    const key = counterKey(id);
    const loaded = this.facts.shares.get(key);
    if (loaded === undefined) this.wanted.shares.set(key, { environment: id.environment, wireId: id.wireId, subject: id.subject });
    const changed = this.shareRows.get(key);
    if (changed === undefined) return loaded ?? [];
    return [...(loaded ?? []).filter(({ lane }) => !changed.has(lane)), ...changed.values()];
  }

  sharesLoaded(id: CounterId): boolean {
    return this.facts.shares.has(counterKey(id));
  }

  putShare(row: ShareRow): void {
    const key = counterKey(row);
    const rows = this.shareRows.get(key);
    if (rows === undefined) this.shareRows.set(key, new Map([[row.lane, row]]));
    else rows.set(row.lane, row);
  }

  /** How many lanes of an environment had called lately when the facts were loaded. */
  lanesAlive(environment: string): number {
    const count = this.facts.lanesAlive.get(environment);
    if (count === undefined) this.wanted.lanesAlive.add(environment);
    return count ?? 0;
  }

  changes(): Changes {
    return {
      lanes: [...this.lanes.values()],
      heads: [...this.heads.values()],
      windows: [...this.windows.values()],
      holdings: [...this.holdings.values()].flatMap((rows) => [...rows.values()]),
      shares: [...this.shareRows.values()].flatMap((rows) => [...rows.values()]),
    };
  }

  /** A lane that has called in the same transaction is known better than when its row was loaded. */
  private withContact(environment: string, holder: Holder): Holder {
    const row = this.lanes.get(laneKey({ environment, lane: holder.lane }));
    return row === undefined ? holder : { ...holder, gateway: row.gateway, lastMs: row.lastMs };
  }
}
