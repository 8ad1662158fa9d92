import { PERIOD_DAY, PERIOD_MONTH, PERIOD_WEEK } from "../../../assembly/wire/enums";
import { windowAt, windowEndMs, windowStartMs } from "../../../assembly/limits/windows";
import { CALENDAR } from "./calendar";
import { LimitSpec } from "./records";

const FIRST_USE: u32 = 4;

/** How many rows of the calendar a period's windows don't agree with, whose start stands at `column`. */
function disagreements(period: u32, column: i32): i32 {
  const limit = new LimitSpec(1, "l").each(period).at();
  let wrong = 0;
  for (let row = 0; row < CALENDAR.length; row += 7) {
    windowAt(limit, CALENDAR[row]);
    if (windowStartMs != CALENDAR[row + column] || windowEndMs != CALENDAR[row + column + 1]) wrong++;
  }
  return wrong;
}

describe("a window", () => {
  it("of a day is JavaScript's UTC day", () => {
    expect(disagreements(PERIOD_DAY, 1)).toBe(0);
  });

  it("of a week begins on Monday", () => {
    expect(disagreements(PERIOD_WEEK, 3)).toBe(0);
  });

  it("of a month is the calendar's", () => {
    expect(disagreements(PERIOD_MONTH, 5)).toBe(0);
  });

  it("of a length is numbered from 1970 on", () => {
    let wrong = 0;
    const lengths: u64[] = [1, 2, 7, 60, 3600, 86400, 2592000];
    for (let i = 0; i < lengths.length; i++) {
      const limit = new LimitSpec(1, "l").every(<u32>lengths[i]).at();
      const lengthMs = lengths[i] * 1000;
      for (let row = 0; row < CALENDAR.length; row += 7) {
        const nowMs = CALENDAR[row];
        windowAt(limit, nowMs);
        if (
          windowStartMs % lengthMs != 0 ||
          windowEndMs - windowStartMs != lengthMs ||
          nowMs < windowStartMs ||
          nowMs >= windowEndMs
        )
          wrong++;
      }
    }
    expect(wrong).toBe(0);
  });

  it("ends where the next one begins", () => {
    const periods: u32[] = [PERIOD_DAY, PERIOD_WEEK, PERIOD_MONTH];
    let wrong = 0;
    for (let p = 0; p < periods.length; p++) {
      const limit = new LimitSpec(1, "l").each(periods[p]).at();
      for (let row = 0; row < CALENDAR.length; row += 7) {
        windowAt(limit, CALENDAR[row]);
        const start = windowStartMs;
        const end = windowEndMs;
        windowAt(limit, end - 1);
        if (windowStartMs != start) wrong++;
        windowAt(limit, end);
        if (windowStartMs != end) wrong++;
      }
    }
    expect(wrong).toBe(0);
  });

  it("from first use begins now", () => {
    const limit = new LimitSpec(1, "l").every(3600).flagged(FIRST_USE).at();
    windowAt(limit, 1234567);
    expect(windowStartMs).toBe(1234567);
    expect(windowEndMs).toBe(1234567 + 3600000);
  });
});
