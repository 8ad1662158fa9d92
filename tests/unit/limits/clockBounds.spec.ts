import { ClockBounds } from "../../../assembly/limits/clockBounds";

const MS: u64 = 1_000_000;
const START: u64 = 1_800_000_000_000;

let state: u32 = 1;
function random(below: u64): u64 {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return <u64>state % below;
}

describe("what is known of the clock", () => {
  it("is nothing before the first answer", () => {
    const clock = new ClockBounds();
    expect(clock.earliestMs(5 * MS)).toBe(0);
    expect(clock.latestMs(5 * MS)).toBe(0);
  });

  it("bounds the moment at which it shows a time, by how long the answer took", () => {
    const clock = new ClockBounds();
    clock.learn(START, 1000 * MS, 1030 * MS);
    // the clock showed START, cut to milliseconds, between these
    expect(clock.earliestNs(START + 5000)).toBe(5999 * MS);
    expect(clock.latestNs(START + 5000)).toBe(6030 * MS);
    expect(clock.earliestMs(1030 * MS)).toBe(START);
    expect(clock.latestMs(1030 * MS)).toBe(START + 31);
  });

  it("always holds, over thousands of answers that take any time in either direction", () => {
    state = 77;
    let wrong = 0;
    for (let run = 0; run < 40; run++) {
      const clock = new ClockBounds();
      // control's clock in nanoseconds at monotonic 0, and how far it drifts: up to 150 ppm either way
      const offset = START * MS + random(1_000_000_000);
      const drift = <i64>random(301) - 150;
      let now: u64 = 1_000_000_000;
      for (let i = 0; i < 60; i++) {
        const sent = now;
        const seen = sent + random(400) * MS + random(MS);
        const received = seen + random(400) * MS + random(MS);
        const shown = offset + seen + <u64>(<i64>(seen / 1_000_000) * drift);
        clock.learn(shown / MS, sent, received);
        now = received + random(20_000) * MS;
        // when does it show a time that lies ahead?
        const ahead = now + random(3000) * MS;
        const aheadMs = (offset + ahead + <u64>(<i64>(ahead / 1_000_000) * drift)) / MS;
        // the drift of the time from now on is not in the bounds yet: 150 ppm of at most 23 s
        const slack: u64 = 4 * MS;
        if (clock.earliestNs(aheadMs) > ahead + slack || clock.latestNs(aheadMs) + slack < ahead - MS) wrong++;
      }
    }
    expect(wrong).toBe(0);
  });

  it("becomes narrower with each answer, and is as narrow as the quickest", () => {
    const clock = new ClockBounds();
    clock.learn(START, 0, 500 * MS);
    clock.learn(START + 1000, 1000 * MS, 1002 * MS);
    const width = clock.latestNs(START + 5000) - clock.earliestNs(START + 5000);
    expect(width <= 3 * MS + MS / 2).toBeTruthy("it is " + width.toString());
    clock.learn(START + 2000, 1900 * MS, 2400 * MS);
    expect(clock.latestNs(START + 5000) - clock.earliestNs(START + 5000) <= 4 * MS).toBeTruthy(
      "a slow answer widens by the drift alone",
    );
  });

  it("begins anew when the clock was set", () => {
    const clock = new ClockBounds();
    clock.learn(START, 1000 * MS, 1001 * MS);
    clock.learn(START + 60_000, 2000 * MS, 2001 * MS);
    expect(clock.earliestNs(START + 60_000)).toBe(1999 * MS);
    clock.learn(START - 60_000, 3000 * MS, 3001 * MS);
    expect(clock.latestNs(START - 60_000)).toBe(3001 * MS);
  });

  it("never gives a moment before the process began", () => {
    const clock = new ClockBounds();
    clock.learn(START, 1000 * MS, 1001 * MS);
    expect(clock.earliestNs(START - 100_000)).toBe(0);
    expect(clock.latestNs(START - 100_000)).toBe(0);
  });
});
