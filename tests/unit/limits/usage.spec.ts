import { ENTRY_MOST, Usage, hasLooks, noteLook, written } from "../../../assembly/usage/usageCells";
import { USAGE_LOCAL, USAGE_OBSERVED, USAGE_OVERSHOOT, USAGE_REFUSED } from "../../../assembly/wire/enums";
import { clock, startHost } from "../core/host";
import { digestOf } from "../core/wire";

const ROOM: u32 = 1 << 20;
const room = heap.alloc(ROOM);
const NO_ROUTE: u32 = 0xffffffff;
const MINUTE_MS: u64 = 60_000;

function begin(): Usage {
  startHost();
  clock(1000 * MINUTE_MS, 0);
  const usage = new Usage();
  expect(usage.begin()).toBeTruthy();
  return usage;
}

/** Reads entries as docs/internals/protocol.md lays them out: one text each, `minute api route consumer digest: metric=count …`. */
function entries(at: usize, bytes: u32, count: u32): string[] {
  const end = at + bytes;
  const out: string[] = [];
  for (let i: u32 = 0; i < count; i++) {
    const route = load<u32>(at, 8);
    let text =
      load<u32>(at).toString() +
      " " +
      load<u32>(at, 4).toString() +
      " " +
      (route == NO_ROUTE ? "-" : route.toString()) +
      " " +
      load<u32>(at, 12).toString() +
      " " +
      load<u64>(at, 16).toString(16) +
      ":";
    let pairs = <u32>load<u8>(at, 32);
    at += 33;
    for (; pairs > 0; pairs--) {
      const metric = load<u8>(at++);
      let value: u64 = 0;
      let shift: u64 = 0;
      while (true) {
        const b = <u64>load<u8>(at++);
        value |= (b & 127) << shift;
        shift += 7;
        if (b < 128) break;
      }
      text += " " + metric.toString() + "=" + value.toString();
    }
    out.push(text);
  }
  expect(at).toBe(end);
  return out;
}

function drained(usage: Usage, max: u32 = ROOM): string[] {
  const bytes = usage.drain(room, max);
  expect(bytes <= max).toBeTruthy();
  return entries(room, bytes, written);
}

function hexOf(n: u32): string {
  return load<u64>(digestOf(n)).toString(16);
}

describe("usage", () => {
  it("counts what belongs together in one entry", () => {
    const usage = begin();
    usage.admit(1, 2, 3, digestOf(4), 5, 0);
    usage.admit(1, 2, 3, digestOf(4), 5, USAGE_OVERSHOOT);
    usage.admit(1, 2, 3, digestOf(4), 0, USAGE_LOCAL);
    usage.shadowed(1, 2, 3, digestOf(4), 7);
    expect(drained(usage)).toStrictEqual(["1000 1 2 3 " + hexOf(4) + ": 0=3 1=10 2=1 3=7 4=1"]);
    usage.free();
  });

  it("tells apart API, route, consumer, key and minute", () => {
    const usage = begin();
    usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    usage.admit(2, NO_ROUTE, 3, digestOf(4), 1, 0);
    usage.admit(1, 0, 3, digestOf(4), 1, 0);
    usage.admit(1, NO_ROUTE, 4, digestOf(4), 1, 0);
    usage.admit(1, NO_ROUTE, 3, digestOf(5), 1, 0);
    usage.admit(1, NO_ROUTE, 0, 0, 1, 0);
    clock(1001 * MINUTE_MS, 0);
    usage.tick();
    usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    expect(drained(usage)).toStrictEqual([
      "1000 1 - 3 " + hexOf(4) + ": 0=1 1=1",
      "1000 2 - 3 " + hexOf(4) + ": 0=1 1=1",
      "1000 1 0 3 " + hexOf(4) + ": 0=1 1=1",
      "1000 1 - 4 " + hexOf(4) + ": 0=1 1=1",
      "1000 1 - 3 " + hexOf(5) + ": 0=1 1=1",
      "1000 1 - 0 0: 0=1 1=1",
      "1001 1 - 3 " + hexOf(4) + ": 0=1 1=1",
    ]);
    usage.free();
  });

  it("counts refusals by their reason, beside the admissions", () => {
    const usage = begin();
    usage.refuse(1, NO_ROUTE, 3, digestOf(4), USAGE_REFUSED + 24);
    usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    usage.refuse(1, NO_ROUTE, 3, digestOf(4), USAGE_REFUSED + 24);
    usage.refuse(0, NO_ROUTE, 0, 0, USAGE_OBSERVED + 7);
    expect(drained(usage)).toStrictEqual([
      "1000 1 - 3 " + hexOf(4) + ": 88=2",
      "1000 1 - 3 " + hexOf(4) + ": 0=1 1=1",
      "1000 0 - 0 0: 135=1",
    ]);
    usage.free();
  });

  it("counts responses by status class and by time", () => {
    const usage = begin();
    const statuses: u32[] = [100, 200, 204, 301, 404, 503, 599, 0, 999];
    for (let i = 0; i < statuses.length; i++) usage.respond(1, NO_ROUTE, 3, digestOf(4), statuses[i], 0);
    expect(drained(usage)[0]).toBe("1000 1 - 3 " + hexOf(4) + ": 8=1 9=2 10=1 11=1 12=2 16=9");
    const bounds: u64[] = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000];
    for (let i = 0; i < bounds.length; i++) {
      usage.respond(1, NO_ROUTE, 3, digestOf(4), 0, bounds[i] * 1_000_000);
      usage.respond(1, NO_ROUTE, 3, digestOf(4), 0, bounds[i] * 1_000_000 + 1);
    }
    expect(drained(usage)[0]).toBe(
      "1000 1 - 3 " + hexOf(4) + ": 16=1 17=2 18=2 19=2 20=2 21=2 22=2 23=2 24=2 25=2 26=2 27=2 28=2 29=1",
    );
    usage.free();
  });

  it("tells how many responses weren't looked at", () => {
    const usage = begin();
    const cell = usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    expect(hasLooks(cell)).toBeFalsy();
    noteLook(cell, true);
    expect(hasLooks(cell)).toBeTruthy();
    usage.respond(1, NO_ROUTE, 3, digestOf(4), 503, 3_000_000);
    for (let i = 0; i < 10; i++) noteLook(cell, false);
    expect(drained(usage)[0]).toBe("1000 1 - 3 " + hexOf(4) + ": 0=1 1=1 12=1 18=1 5=10");
    usage.free();
  });

  it("writes counts of every size", () => {
    const usage = begin();
    const sizes: u32[] = [127, 128, 16383, 16384, 2097151, 2097152, 268435456];
    for (let i = 0; i < sizes.length; i++) usage.shadowed(<u32>i + 1, NO_ROUTE, 0, 0, sizes[i]);
    const got = drained(usage);
    for (let i = 0; i < sizes.length; i++)
      expect(got[i]).toBe("1000 " + (i + 1).toString() + " - 0 0: 3=" + sizes[i].toString());
    usage.free();
  });

  it("is empty when it was drained", () => {
    const usage = begin();
    usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    drained(usage);
    expect(usage.used).toBe(0);
    expect(drained(usage).length).toBe(0);
    usage.admit(1, NO_ROUTE, 3, digestOf(4), 1, 0);
    expect(drained(usage)).toStrictEqual(["1000 1 - 3 " + hexOf(4) + ": 0=1 1=1"]);
    usage.free();
  });

  it("is drained in parts: what is left is counted on in its cells", () => {
    const usage = begin();
    for (let key: u32 = 1; key <= 300; key++) usage.admit(1, NO_ROUTE, 3, digestOf(key), 1, 0);
    let seen = new Map<string, u32>();
    let parts = 0;
    while (usage.used > 0) {
      const left = usage.used;
      const got = drained(usage, ENTRY_MOST * 40);
      parts++;
      expect(got.length > 0).toBeTruthy();
      for (let i = 0; i < got.length; i++) seen.set(got[i], 1 + (seen.has(got[i]) ? seen.get(got[i]) : 0));
      // the rest is counted again before the next part
      if (parts == 1) for (let key: u32 = 1; key <= 300; key++) usage.admit(1, NO_ROUTE, 3, digestOf(key), 1, 0);
      else expect(usage.used < left).toBeTruthy();
    }
    let total: u32 = 0;
    const texts = seen.keys();
    for (let i = 0; i < texts.length; i++) total += seen.get(texts[i]) * (texts[i].endsWith("0=2 1=2") ? 2 : 1);
    expect(total).toBe(600);
    expect(parts > 2).toBeTruthy();
    usage.free();
  });

  it("of more than it has cells for keeps its sums, by API, and at last without", () => {
    const usage = begin();
    for (let key: u32 = 1; key <= 12_000; key++) usage.admit(1 + (key % 3000), NO_ROUTE, 3, digestOf(key), 2, 0);
    expect(usage.crowded).toBeTruthy();
    let admitted: u32 = 0;
    let cost: u32 = 0;
    let nobodys: u32 = 0;
    while (usage.used > 0) {
      const got = drained(usage);
      for (let i = 0; i < got.length; i++) {
        const counts = got[i].split(": ")[1].split(" ");
        const n = <u32>parseInt(counts[0].split("=")[1]);
        admitted += n;
        cost += <u32>parseInt(counts[1].split("=")[1]);
        if (got[i].indexOf(" - 0 0:") > 0) nobodys += n;
      }
    }
    expect(admitted).toBe(12_000);
    expect(cost).toBe(24_000);
    expect(nobodys > 0 && nobodys < 5000).toBeTruthy("without detail: " + nobodys.toString());
    usage.free();
  });

  it("goes on counting in the last minute that it has cells for, in an outage without end", () => {
    const usage = begin();
    for (let minute: u64 = 0; minute < 600; minute++) {
      clock((1000 + minute) * MINUTE_MS, 0);
      usage.tick();
      for (let metric: u32 = 0; metric < 40; metric++) usage.refuse(1, 0, 1, 0, USAGE_REFUSED + metric);
    }
    let refused: u32 = 0;
    while (usage.used > 0) {
      const got = drained(usage);
      for (let i = 0; i < got.length; i++) refused += <u32>parseInt(got[i].split("=")[1]);
    }
    expect(refused).toBe(600 * 40);
    usage.free();
  });

  it("that is disowned keeps its sums, its minutes and its keys' digests, and no wire id", () => {
    const usage = begin();
    usage.admit(1, 2, 3, digestOf(4), 5, 0);
    usage.admit(2, NO_ROUTE, 3, digestOf(4), 1, 0);
    usage.admit(2, NO_ROUTE, 0, 0, 1, 0);
    usage.refuse(1, NO_ROUTE, 3, 0, USAGE_REFUSED + 8);
    usage.disown();
    expect(drained(usage)).toStrictEqual([
      "1000 0 - 0 " + hexOf(4) + ": 0=2 1=6",
      "1000 0 - 0 0: 0=1 1=1",
      "1000 0 - 0 0: 72=1",
    ]);
    usage.free();
  });

  it("counts nothing before it has memory, and doesn't mind", () => {
    startHost();
    const usage = new Usage();
    usage.admit(1, NO_ROUTE, 3, 0, 1, 0);
    usage.refuse(1, NO_ROUTE, 3, 0, USAGE_REFUSED);
    usage.respond(1, NO_ROUTE, 3, 0, 200, 0);
    usage.shadowed(1, NO_ROUTE, 3, 0, 1);
    expect(usage.used).toBe(0);
    expect(drained(usage).length).toBe(0);
  });
});
