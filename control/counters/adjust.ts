/** What the admin API does to counters: reset, grant, look. Pure, as the lease decision is. */
import {
  type Changes,
  type CounterId,
  counterId,
  type Facts,
  type HeadRow,
  isWanted,
  type Wanted,
  type WindowRow,
} from "./facts.ts";
import { newWindow, remainingOf } from "./decide.ts";
import { Ledger } from "./ledger.ts";
import type { CounterGeneration, CounterRef, CounterState, WindowState } from "./model.ts";
import { covers, openWindows } from "./shares.ts";
import { windowAt } from "./windows.ts";

export interface Adjusted {
  kind: "decided";
  changes: Changes;
  generations: CounterGeneration[];
}

export interface Inspected {
  kind: "decided";
  states: CounterState[];
}

type OrWanted<D> = D | { kind: "wanted"; wanted: Wanted };

/**
 * Open windows count only what lanes hold unspent and what is in shares; extra is gone. The raised generation makes lanes return what they
 * hold, which gives the rest back.
 */
export function reset(facts: Facts, environment: string, counters: readonly CounterRef[]): OrWanted<Adjusted> {
  return adjust(facts, environment, counters, (ledger, counter, { limit }) => {
    const { current, next } = openWindows(ledger, counter, limit);
    for (const row of [current, next]) {
      if (row === undefined) continue;
      const held = ledger.holders(row).reduce((sum, { amount }) => sum + amount, 0);
      ledger.putWindow({ ...row, used: held + sharesIn(ledger, row), extra: 0, silentAskedMs: 0 });
    }
    return { ...ledger.headOrNew(counter), pendingExtra: 0 };
  });
}

/** The current window gets so much on top of its limit. With firstUse and no window open, the one that opens next gets it. */
export function grant(
  facts: Facts,
  environment: string,
  counters: readonly CounterRef[],
  amount: number,
): OrWanted<Adjusted> {
  const more = (extra: number) => Math.min(Number.MAX_SAFE_INTEGER, extra + amount);
  return adjust(facts, environment, counters, (ledger, counter, { limit }) => {
    const { current } = openWindows(ledger, counter, limit);
    const head = ledger.headOrNew(counter);
    if (current === undefined && limit.firstUse) return { ...head, pendingExtra: more(head.pendingExtra) };
    const row = current ?? newWindow(ledger, counter, limit, windowAt(limit, ledger.nowMs));
    ledger.putWindow({ ...row, extra: more(row.extra) });
    return head;
  });
}

export function inspect(facts: Facts, environment: string, counters: readonly CounterRef[]): OrWanted<Inspected> {
  const ledger = new Ledger(facts);
  const states = counters.map(({ limit, subject }): CounterState => {
    const counter = counterId(environment, limit.wireId, subject);
    const head = ledger.headOrNew(counter);
    const { current, next } = openWindows(ledger, counter, limit);
    const first =
      current ?? (limit.firstUse ? undefined : newWindow(ledger, counter, limit, windowAt(limit, ledger.nowMs)));
    const rows = [first, next].filter((row) => row !== undefined);
    return {
      wireId: limit.wireId,
      subject,
      limit: limit.limit,
      generation: head.generation,
      pendingExtra: head.pendingExtra,
      windows: rows.map((row) => windowState(ledger, row, remainingOf(limit, row))),
    };
  });
  return isWanted(ledger.wanted) ? { kind: "wanted", wanted: ledger.wanted } : { kind: "decided", states };
}

/** `edit` changes windows and gives the counter's head, whose generation is raised. */
function adjust(
  facts: Facts,
  environment: string,
  counters: readonly CounterRef[],
  edit: (ledger: Ledger, counter: CounterId, ref: CounterRef) => HeadRow,
): OrWanted<Adjusted> {
  const ledger = new Ledger(facts);
  const generations = counters.map((ref): CounterGeneration => {
    const counter = counterId(environment, ref.limit.wireId, ref.subject);
    const head = edit(ledger, counter, ref);
    const generation = head.generation + 1;
    ledger.putHead({ ...head, generation });
    return { wireId: counter.wireId, subject: counter.subject, generation };
  });
  return isWanted(ledger.wanted)
    ? { kind: "wanted", wanted: ledger.wanted }
    : { kind: "decided", changes: ledger.changes(), generations };
}

function windowState(ledger: Ledger, row: WindowRow, remaining: number): WindowState {
  const holders = row.holders === 0 ? [] : ledger.holders(row);
  return {
    startMs: row.startMs,
    endMs: row.endMs,
    used: row.used,
    extra: row.extra,
    remaining,
    shares: sharesIn(ledger, row),
    holdings: holders.map(({ lane, gateway, amount, lastMs }) => ({
      lane,
      gateway,
      held: amount,
      lastContactMs: lastMs,
    })),
  };
}

function sharesIn(ledger: Ledger, { id, startMs }: WindowRow): number {
  if ((ledger.head(id.counter)?.shares ?? 0) === 0) return 0;
  return ledger.shares(id.counter).reduce((sum, share) => (covers(share, startMs) ? sum + share.amount : sum), 0);
}
