/** Loaded into a process before its own code: its wall clock is ahead of the machine's by TEST_CLOCK_AHEAD_MS. */
const aheadMs = Number(process.env["TEST_CLOCK_AHEAD_MS"]);
const RealDate = Date;

globalThis.Date = class extends RealDate {
  constructor(...parts: unknown[]) {
    if (parts.length === 0) super(RealDate.now() + aheadMs);
    else super(...(parts as [number]));
  }

  static override now(): number {
    return RealDate.now() + aheadMs;
  }
} as DateConstructor;
