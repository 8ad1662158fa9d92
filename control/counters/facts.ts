/** What a store keeps, as rows, and the part of it that was loaded for a decision. */

export interface LaneId {
  environment: string;
  /** 16 lower-case hex digits */
  lane: string;
  key: string;
}

export interface CounterId {
  environment: string;
  wireId: number;
  /** 32 lower-case hex digits */
  subject: string;
  key: string;
}

export interface WindowId {
  counter: CounterId;
  span: string;
  key: string;
}

export interface LaneRow {
  id: LaneId;
  gateway: string;
  seq: bigint;
  /** the answer to `seq`, as `encodeAnswer` made it; "": no longer kept; null: not loaded */
  answer: string | null;
  /** the last call */
  lastMs: number;
}

/** What outlives a counter's windows. Most counters have none. */
export interface HeadRow {
  id: CounterId;
  generation: number;
  /** granted while no window was open; with firstUse only */
  pendingExtra: number;
  /** how many share rows there are */
  shares: number;
}

export interface WindowRow {
  id: WindowId;
  startMs: number;
  endMs: number;
  /** charged when granted */
  used: number;
  /** granted on top of the limit */
  extra: number;
  /** how many lanes have a holding */
  holders: number;
  /** when silent holders were last asked to return what they hold; 0: never */
  silentAskedMs: number;
}

export interface HoldingRow {
  window: WindowId;
  lane: string;
  /** of the window: with firstUse the row may be left from an older one, and then says nothing */
  startMs: number;
  endMs: number;
  /** at most so much is unspent; 0 deletes the row */
  amount: number;
}

/** A lane's standing reservation in every window, to be spent while control is away. */
export interface ShareRow {
  counter: CounterId;
  lane: string;
  amount: number;
  /** the first window that it's charged to starts here */
  fromMs: number;
  /** the lane spends it in windows that start before this time */
  untilMs: number;
  /** when the last window that it may be charged to has ended */
  keepMs: number;
}

/** A holding as whoever is starved of it must see it. */
export interface Holder {
  lane: string;
  /** of the window that it's a holding of; see HoldingRow */
  startMs: number;
  gateway: string;
  amount: number;
  lastMs: number;
}

/** What was loaded, by the ids' keys. `null`: there is no such row. A key that is missing wasn't loaded. */
export interface Facts {
  /** the store's clock */
  nowMs: number;
  lanes: Map<string, LaneRow | null>;
  heads: Map<string, HeadRow | null>;
  windows: Map<string, WindowRow | null>;
  /** by window, then by lane */
  holdings: Map<string, Map<string, HoldingRow | null>>;
  /** every holding of a window */
  holders: Map<string, Holder[]>;
  /** every share of a counter */
  shares: Map<string, ShareRow[]>;
  /** how many lanes of an environment called within `aliveMs` */
  lanesAlive: Map<string, number>;
}

/** What a decision must know and wasn't loaded, by the ids' keys. */
export interface Wanted {
  /** lanes without their answers */
  lanes: Map<string, LaneId>;
  /** lanes, loaded already, with their answers */
  answers: Map<string, LaneId>;
  heads: Map<string, CounterId>;
  windows: Map<string, WindowId>;
  holdings: Map<string, { window: WindowId; lanes: Set<string> }>;
  holders: Map<string, WindowId>;
  shares: Map<string, CounterId>;
  lanesAlive: Set<string>;
}

/** Rows to write. A holding of 0 is deleted. */
export interface Changes {
  lanes: LaneRow[];
  heads: HeadRow[];
  windows: WindowRow[];
  holdings: HoldingRow[];
  shares: ShareRow[];
}

/** A lane counts as alive for so long after a call. */
export const aliveMs = 5000;

export function laneText(lane: bigint): string {
  return lane.toString(16).padStart(16, "0");
}

export function laneId(environment: string, lane: string): LaneId {
  return { environment, lane, key: `${environment}/${lane}` };
}

export function counterId(environment: string, wireId: number, subject: string): CounterId {
  return { environment, wireId, subject, key: `${environment}/${wireId}/${subject}` };
}

export function windowId(counter: CounterId, span: string): WindowId {
  return { counter, span, key: `${counter.key}/${span}` };
}

export function noFacts(nowMs: number): Facts {
  return {
    nowMs,
    lanes: new Map(),
    heads: new Map(),
    windows: new Map(),
    holdings: new Map(),
    holders: new Map(),
    shares: new Map(),
    lanesAlive: new Map(),
  };
}

export function nothingWanted(): Wanted {
  return {
    lanes: new Map(),
    answers: new Map(),
    heads: new Map(),
    windows: new Map(),
    holdings: new Map(),
    holders: new Map(),
    shares: new Map(),
    lanesAlive: new Set(),
  };
}

export function isWanted(wanted: Wanted): boolean {
  return Object.values(wanted).some(({ size }) => size > 0);
}

export function wantHolding(wanted: Wanted, window: WindowId, lane: string): void {
  const known = wanted.holdings.get(window.key);
  if (known === undefined) wanted.holdings.set(window.key, { window, lanes: new Set([lane]) });
  else known.lanes.add(lane);
}

export function noteHolding(facts: Facts, window: WindowId, lane: string, row: HoldingRow | null): void {
  const known = facts.holdings.get(window.key);
  if (known === undefined) facts.holdings.set(window.key, new Map([[lane, row]]));
  else known.set(lane, row);
}
