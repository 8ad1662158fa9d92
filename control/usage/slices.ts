/** From which tables a stretch of time is read: the longest spans that lie in it as a whole and are complete, shorter ones at its ends. */
import { daySpan, hourSpan, minuteSpan, type RolledUp } from "./tally.ts";

export type Span = typeof minuteSpan | typeof hourSpan | typeof daySpan;
export const intervals = ["minute", "hour", "day", "total"] as const;
export type Interval = (typeof intervals)[number];

/** Unix minutes; `to` is outside. */
export interface Stretch {
  from: number;
  to: number;
}

export interface Slice extends Stretch {
  span: Span;
}

/** An interval's length in minutes; of `total`, none. */
export const intervalSpan: Record<Interval, Span | undefined> = {
  minute: minuteSpan,
  hour: hourSpan,
  day: daySpan,
  total: undefined,
};

/** The stretch widened to whole intervals; to whole hours where minutes are kept no longer. */
export function widened({ from, to }: Stretch, interval: Interval, oldestMinute: number): Stretch {
  const unit = intervalSpan[interval] ?? minuteSpan;
  const floor = (at: number, span: number) => at - (at % span);
  const unitOf = (at: number) => (at < oldestMinute ? Math.max(unit, hourSpan) : unit);
  return { from: floor(from, unitOf(from)), to: floor(to + unitOf(to) - 1, unitOf(to)) };
}

/** In the order of time. */
export function slicesOf(
  stretch: Stretch,
  interval: Interval,
  rolledUp: Record<typeof minuteSpan | typeof hourSpan, RolledUp>,
): Slice[] {
  const longest = intervalSpan[interval] ?? daySpan;
  const completeUntil = {
    [minuteSpan]: Number.MAX_SAFE_INTEGER,
    [hourSpan]: rolledUp[minuteSpan].at,
    [daySpan]: rolledUp[hourSpan].at,
  };
  const cut = ({ from, to }: Stretch, spans: readonly Span[]): Slice[] => {
    if (from >= to) return [];
    const [span, ...shorter] = spans;
    if (span === undefined) return [];
    if (span === minuteSpan) return [{ span, from, to }];
    const end = Math.min(to, completeUntil[span]);
    const wholeFrom = Math.ceil(from / span) * span;
    const wholeTo = Math.floor(end / span) * span;
    if (wholeFrom >= wholeTo) return cut({ from, to }, shorter);
    return [
      ...cut({ from, to: wholeFrom }, shorter),
      { span, from: wholeFrom, to: wholeTo },
      ...cut({ from: wholeTo, to }, shorter),
    ];
  };
  return cut(
    stretch,
    ([daySpan, hourSpan, minuteSpan] as const).filter((span) => span <= longest),
  );
}
