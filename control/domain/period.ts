const namedPeriods = ["day", "week", "month"] as const;
export type Period = { named: (typeof namedPeriods)[number] } | { seconds: number };

const maxSeconds = 366 * 86_400;

/** Reads a quota's period: day, week, month (UTC), or a length of whole hours or days up to 366 days. `undefined`: not one. */
export function parsePeriod(text: string): Period | undefined {
  const named = namedPeriods.find((name) => name === text);
  if (named !== undefined) return { named };
  const match = /^([1-9]\d{0,3})([hd])$/.exec(text);
  if (match === null) return undefined;
  const seconds = Number(match[1]) * (match[2] === "d" ? 86_400 : 3600);
  return seconds <= maxSeconds ? { seconds } : undefined;
}
