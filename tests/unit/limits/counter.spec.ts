import { COUNTER_BYTES, Counter, credit, holds, noteAsked, roll, wanted } from "../../../assembly/limits/counter";

const S: u64 = 1_000_000_000;

function counter(): Counter {
  const at = heap.alloc(COUNTER_BYTES);
  memory.fill(at, 0, COUNTER_BYTES);
  return changetype<Counter>(at);
}

/** Holds 5 of the window from 10 to 20 s. */
function filled(): Counter {
  const c = counter();
  c.startMs = 10_000;
  c.endMs = 20_000;
  c.endNs = 20 * S;
  c.spendEndNs = 20 * S;
  c.allowance = 5;
  c.remaining = 7;
  return c;
}

/** And 3 of the one from 20 to 30 s, which begins at 20.1 s at the latest. */
function ahead(): Counter {
  const c = filled();
  c.nextStartMs = 20_000;
  c.nextEndMs = 30_000;
  c.nextStartNs = 20 * S + S / 10;
  c.nextEndNs = 30 * S;
  c.nextSpendEndNs = 25 * S;
  c.nextAllowance = 3;
  c.nextRemaining = 9;
  return c;
}

describe("a counter", () => {
  it("holds what it was granted until its lease or its window ends", () => {
    const c = filled();
    expect(holds(c, 5, 19 * S)).toBeTruthy();
    expect(holds(c, 6, 19 * S)).toBeFalsy();
    expect(holds(c, 0, 20 * S)).toBeFalsy();
    c.spendEndNs = 15 * S;
    expect(holds(c, 1, 15 * S - 1)).toBeTruthy();
    expect(holds(c, 1, 15 * S)).toBeFalsy();
  });

  it("stays as it is while its window lasts", () => {
    const c = ahead();
    roll(c, 20 * S - 1);
    expect(c.startMs).toBe(10_000);
    expect(c.allowance).toBe(5);
    expect(c.nextAllowance).toBe(3);
  });

  it("loses what is left when its window ends", () => {
    const c = filled();
    c.debt = 4;
    roll(c, 20 * S);
    expect(c.startMs).toBe(0);
    expect(c.allowance).toBe(0);
    expect(c.remaining).toBe(0);
    expect(c.debt).toBe(0);
  });

  it("spends neither window between the earliest end of one and the latest beginning of the next", () => {
    const c = ahead();
    roll(c, 20 * S + S / 20);
    expect(holds(c, 1, 20 * S + S / 20)).toBeFalsy();
    expect(c.startMs).toBe(0);
    expect(c.nextAllowance).toBe(3);
    roll(c, 20 * S + S / 10);
    expect(c.startMs).toBe(20_000);
    expect(holds(c, 3, 21 * S)).toBeTruthy();
  });

  it("moves on to the window fetched ahead, whole", () => {
    const c = ahead();
    c.spentUntilNs = 40 * S;
    roll(c, 21 * S);
    expect(c.startMs).toBe(20_000);
    expect(c.endMs).toBe(30_000);
    expect(c.endNs).toBe(30 * S);
    expect(c.spendEndNs).toBe(25 * S);
    expect(c.allowance).toBe(3);
    expect(c.remaining).toBe(9);
    expect(c.spentUntilNs).toBe(0);
    expect(c.nextStartMs).toBe(0);
    expect(c.nextAllowance).toBe(0);
  });

  it("that was asleep over the next window too holds nothing of either", () => {
    const c = ahead();
    roll(c, 50 * S);
    expect(holds(c, 1, 50 * S)).toBeFalsy();
    roll(c, 50 * S);
    expect(c.startMs).toBe(0);
  });

  it("pays what was spent beforehand first", () => {
    const c = counter();
    c.debt = 7;
    credit(c, 5);
    expect(c.debt).toBe(2);
    expect(c.allowance).toBe(0);
    credit(c, 5);
    expect(c.debt).toBe(0);
    expect(c.allowance).toBe(3);
  });

  it("that is new pays its debt with the first grant, for it has begun no window yet", () => {
    const c = counter();
    c.debt = 2;
    roll(c, 5 * S);
    expect(c.debt).toBe(2);
  });

  it("wants at least what is needed, and more the more is spent", () => {
    const c = counter();
    c.need = 1000;
    expect(wanted(c, S)).toBe(1000);
    c.need = 0;
    const little = wanted(c, S);
    expect(little >= 1 && little < 100).toBeTruthy("it wants " + little.toString());
    noteAsked(c, S);
    c.spends = 500;
    const busy = wanted(c, 2 * S);
    expect(busy >= 1000).toBeTruthy("of 500 a second it wants " + busy.toString());
    c.waited = 300;
    expect(wanted(c, 2 * S)).toBe(busy + 300);
  });

  it("forgets an old demand little by little", () => {
    const c = counter();
    noteAsked(c, S);
    c.spends = 10_000;
    const before = wanted(c, 3 * S);
    for (let s: u64 = 10; s < 200; s += 10) noteAsked(c, s * S);
    const after = wanted(c, 200 * S);
    expect(after < before / 20).toBeTruthy(before.toString() + " became " + after.toString());
  });

  it("measured for no time at all doesn't want everything", () => {
    const c = counter();
    noteAsked(c, S);
    c.spends = 10;
    expect(wanted(c, S + 1) < 10_000).toBeTruthy();
  });
});
