/** The windows of a limit: fixed, numbered by their start, the same for everyone who looks at the same clock. */
import type { LimitShape } from "./model.ts";

export interface Window {
  startMs: number;
  endMs: number;
}

const dayMs = 86_400_000;
/** Weeks begin on Monday; 1 January 1970 was a Thursday. */
const mondayOffsetDays = 3;

function lengthMs(limit: LimitShape): number {
  return limit.windowSeconds * 1000;
}

/** The window that contains a time. With firstUse: the one that a grant at that time opens. */
export function windowAt(limit: LimitShape, timeMs: number): Window {
  if (limit.period === "none") {
    const length = lengthMs(limit);
    const startMs = limit.firstUse ? timeMs : Math.floor(timeMs / length) * length;
    return { startMs, endMs: startMs + length };
  }
  if (limit.period === "month") {
    const date = new Date(timeMs);
    const [year, month] = [date.getUTCFullYear(), date.getUTCMonth()];
    return { startMs: Date.UTC(year, month), endMs: Date.UTC(year, month + 1) };
  }
  const day = Math.floor(timeMs / dayMs);
  if (limit.period === "day") return { startMs: day * dayMs, endMs: (day + 1) * dayMs };
  const monday = Math.floor((day + mondayOffsetDays) / 7) * 7 - mondayOffsetDays;
  return { startMs: monday * dayMs, endMs: (monday + 7) * dayMs };
}

/** The window after the one that contains a time; there is none to name ahead with firstUse. */
export function windowAfter(limit: LimitShape, timeMs: number): Window {
  return windowAt(limit, windowAt(limit, timeMs).endMs);
}

/** The limit's window that starts at exactly this time. `undefined`: it has none. */
export function windowFrom(limit: LimitShape, startMs: number): Window | undefined {
  const window = windowAt(limit, startMs);
  return window.startMs === startMs ? window : undefined;
}

/**
 * The name under which a window's row is kept. A window of another length has another name, so that it never counts for this one. With
 * firstUse there is one row for each length, which is the newest window; nobody could name it by its start before having read it.
 * Names sort by the windows' ends, those of firstUse last.
 */
export function spanOf(limit: LimitShape, window: Window): string {
  return limit.firstUse ? `first-${limit.windowSeconds}` : `${window.endMs}-${window.startMs}`;
}
