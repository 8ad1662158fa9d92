/**
 * The state that a decision works on: loaded rows, with what the decision has changed so far laid over them. Facts are never touched, so
 * that a decision can be made again. A look at something that wasn't loaded finds nothing and is noted in `wanted`; the decision is then
 * worthless, and is made again once that was loaded.
 */
import {
  type Changes,
  type CounterId,
  type Facts,
  type HeadRow,
  type Holder,
  type HoldingRow,
  type LaneId,
  laneId,
  type LaneRow,
  nothingWanted,
  type ShareRow,
  wantHolding,
  type WindowId,
  type WindowRow,
} from "./facts.ts";

export class Ledger {
  readonly wanted = nothingWanted();
  private readonly facts: Facts;
  private readonly lanes = new Map<string, LaneRow>();
  private readonly heads = new Map<string, HeadRow>();
  private readonly windows = new Map<string, WindowRow>();
  /** by window, then by lane */
  private readonly holdings = new Map<string, Map<string, HoldingRow>>();
  /** by counter, then by lane */
  private readonly shareRows = new Map<string, Map<string, ShareRow>>();

  constructor(facts: Facts) {
    this.facts = facts;
  }

  get nowMs(): number {
    return this.facts.nowMs;
  }

  lane(id: LaneId): LaneRow | null {
    const row = this.lanes.get(id.key) ?? this.facts.lanes.get(id.key);
    if (row === undefined) this.wanted.lanes.set(id.key, id);
    return row ?? null;
  }

  /** The lane's last answer; null while it isn't loaded. */
  answer({ id, answer }: LaneRow): string | null {
    if (answer === null) this.wanted.answers.set(id.key, id);
    return answer;
  }

  putLane(row: LaneRow): void {
    this.lanes.set(row.id.key, row);
  }

  head(id: CounterId): HeadRow | null {
    const row = this.heads.get(id.key) ?? this.facts.heads.get(id.key);
    if (row === undefined) this.wanted.heads.set(id.key, id);
    return row ?? null;
  }

  headOrNew(id: CounterId): HeadRow {
    return this.head(id) ?? { id, generation: 0, pendingExtra: 0, shares: 0 };
  }

  putHead(row: HeadRow): void {
    this.heads.set(row.id.key, row);
  }

  window(id: WindowId): WindowRow | null {
    const row = this.windows.get(id.key) ?? this.facts.windows.get(id.key);
    if (row === undefined) this.wanted.windows.set(id.key, id);
    return row ?? null;
  }

  putWindow(row: WindowRow): void {
    this.windows.set(row.id.key, row);
  }

  /** What a lane holds of a window, at most. */
  held({ id, startMs }: WindowRow, lane: string): number {
    const row = this.holdings.get(id.key)?.get(lane) ?? this.facts.holdings.get(id.key)?.get(lane);
    if (row === undefined) wantHolding(this.wanted, id, lane);
    return row?.startMs === startMs ? row.amount : 0;
  }

  /** Notes what a lane holds, which was `before`, and what is used of the window then. Gives the window as it is then. */
  putHeld(
    { id, startMs, endMs, extra, holders, silentAskedMs }: WindowRow,
    used: number,
    lane: string,
    before: number,
    amount: number,
  ): WindowRow {
    if (before !== amount) {
      let rows = this.holdings.get(id.key);
      if (rows === undefined) this.holdings.set(id.key, (rows = new Map()));
      rows.set(lane, { window: id, lane, startMs, endMs, amount });
    }
    const changed = {
      id,
      startMs,
      endMs,
      used,
      extra,
      holders: holders + (amount === 0 ? 0 : 1) - (before === 0 ? 0 : 1),
      silentAskedMs,
    };
    this.windows.set(id.key, changed);
    return changed;
  }

  /** Every lane that holds something of a window. */
  holders({ id, startMs }: WindowRow): Holder[] {
    const loaded = this.facts.holders.get(id.key);
    if (loaded === undefined) this.wanted.holders.set(id.key, id);
    const changed = this.holdings.get(id.key);
    const { environment } = id.counter;
    const kept = (loaded ?? [])
      .filter((holder) => holder.startMs === startMs && changed?.has(holder.lane) !== true)
      .map((holder) => this.withContact(environment, holder));
    for (const row of changed?.values() ?? []) {
      if (row.startMs === startMs && row.amount > 0)
        kept.push(
          this.withContact(environment, { lane: row.lane, startMs, amount: row.amount, gateway: "", lastMs: 0 }),
        );
    }
    return kept;
  }

  /** Every share of a counter. */
  shares(id: CounterId): ShareRow[] {
    const loaded = this.facts.shares.get(id.key);
    if (loaded === undefined) this.wanted.shares.set(id.key, id);
    const changed = this.shareRows.get(id.key);
    if (changed === undefined) return loaded ?? [];
    return [...(loaded ?? []).filter(({ lane }) => !changed.has(lane)), ...changed.values()];
  }

  sharesLoaded(id: CounterId): boolean {
    return this.facts.shares.has(id.key);
  }

  putShare(row: ShareRow): void {
    const rows = this.shareRows.get(row.counter.key);
    if (rows === undefined) this.shareRows.set(row.counter.key, new Map([[row.lane, row]]));
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
    const row = this.lanes.get(laneId(environment, holder.lane).key);
    return row === undefined ? holder : { ...holder, gateway: row.gateway, lastMs: row.lastMs };
  }
}
