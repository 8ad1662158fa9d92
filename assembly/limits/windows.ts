/** Windows of limits that an Envoy counts by itself, in Unix milliseconds. Control numbers those of global limits. */
import { PERIOD_DAY, PERIOD_MONTH, PERIOD_WEEK } from "../wire/enums";
import { isFirstUse, limitPeriod, windowSeconds } from "../wire/records";

const DAY_MS: u64 = 86_400_000;
const WEEK_MS: u64 = 7 * DAY_MS;
/** 1970-01-01 was a Thursday; weeks begin on Mondays. */
const MONDAY_MS: u64 = 3 * DAY_MS;

export let windowStartMs: u64 = 0;
export let windowEndMs: u64 = 0;

/** Sets `windowStartMs` and `windowEndMs` to the window of `limit` that `nowMs` lies in; one from first use begins now. */
export function windowAt(limit: usize, nowMs: u64): void {
  const period = limitPeriod(limit);
  if (period == PERIOD_DAY) fixed(nowMs, DAY_MS, 0);
  else if (period == PERIOD_WEEK) fixed(nowMs, WEEK_MS, MONDAY_MS);
  else if (period == PERIOD_MONTH) month(nowMs);
  else {
    const length = <u64>windowSeconds(limit) * 1000;
    if (isFirstUse(limit) || length == 0) {
      windowStartMs = nowMs;
      windowEndMs = nowMs + length;
    } else fixed(nowMs, length, 0);
  }
}

function fixed(nowMs: u64, length: u64, shift: u64): void {
  const start = ((nowMs + shift) / length) * length;
  windowStartMs = start < shift ? 0 : start - shift;
  windowEndMs = start + length - shift;
}

function month(nowMs: u64): void {
  const days = <i64>(nowMs / DAY_MS);
  // Howard Hinnant, chrono-compatible low-level date algorithms: civil_from_days
  const z = days + 719468;
  const era = z / 146097;
  const doe = z - era * 146097;
  const yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const mp = (5 * doy + 2) / 153;
  const m = mp < 10 ? mp + 3 : mp - 9;
  const y = yoe + era * 400 + (m <= 2 ? 1 : 0);
  windowStartMs = <u64>daysFromCivil(y, m) * DAY_MS;
  windowEndMs = <u64>(m == 12 ? daysFromCivil(y + 1, 1) : daysFromCivil(y, m + 1)) * DAY_MS;
}

/** Days since 1970-01-01 of a month's first day. */
function daysFromCivil(year: i64, m: i64): i64 {
  const y = m <= 2 ? year - 1 : year;
  const era = y / 400;
  const yoe = y - era * 400;
  const doy = (153 * (m > 2 ? m - 3 : m + 9) + 2) / 5;
  const doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
  return era * 146097 + doe - 719468;
}
