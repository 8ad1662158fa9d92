import { DigestIndex, IdIndex } from "../../../assembly/snapshot/recordIndex";
import { Writer } from "./wire";

/** Bodies as the index sees them: a wire id, or 16 digest bytes. */
function idBody(id: u32): usize {
  return new Writer(16).u32(id).start;
}

function digestBody(home: u32, tag: u32, rest: u64 = 0): usize {
  return new Writer(32)
    .u32(home)
    .u32(<u32>rest)
    .u32(tag)
    .u32(<u32>(rest >> 32)).start;
}

function ids(records: u32): IdIndex {
  const index = new IdIndex();
  expect(index.reserve(records)).toBeTruthy();
  while (!index.clear()) {}
  return index;
}

function digests(records: u32): DigestIndex {
  const index = new DigestIndex();
  expect(index.reserve(records)).toBeTruthy();
  while (!index.clear()) {}
  return index;
}

/** The home slot's number of an id, as the index computes it. */
function homeOf(id: u32, slots: u32): u32 {
  return <u32>((<u64>(id * 0x9e3779b1) * slots) >> 32);
}

/** An id whose home is the slot. */
function idAt(slot: u32, slots: u32, from: u32): u32 {
  let id = from;
  while (homeOf(id, slots) != slot) id++;
  return id;
}

describe("an index by id", () => {
  it("that has no memory yet finds nothing and takes nothing", () => {
    const index = new IdIndex();
    expect(index.get(1)).toBe(0);
    index.remove(1);
    expect(index.put(idBody(1))).toBeFalsy();
    index.free();
  });

  it("finds what was put in, and nothing else", () => {
    const index = ids(1000);
    const bodies = new StaticArray<usize>(1000);
    let wrong = 0;
    for (let i: u32 = 0; i < 1000; i++) {
      bodies[i] = idBody(i * 7 + 1);
      if (!index.put(bodies[i])) wrong++;
    }
    expect(index.count).toBe(1000);
    for (let i: u32 = 0; i < 1000; i++) if (index.get(i * 7 + 1) != bodies[i] || index.get(i * 7 + 2) != 0) wrong++;
    expect(wrong).toBe(0);
    expect(index.get(0)).toBe(0);
    index.free();
  });

  it("knows the greatest id", () => {
    const index = ids(4);
    const body = idBody(0xffffffff);
    index.put(body);
    expect(index.get(0xffffffff)).toBe(body);
    expect(index.get(0xfffffffe)).toBe(0);
    index.free();
  });

  it("replaces", () => {
    const index = ids(4);
    index.put(idBody(5));
    const newer = idBody(5);
    expect(index.put(newer)).toBeTruthy();
    expect(index.get(5)).toBe(newer);
    expect(index.count).toBe(1);
    expect(index.used).toBe(1);
    index.free();
  });

  it("removes, and ignores what isn't there", () => {
    const index = ids(4);
    index.put(idBody(5));
    index.put(idBody(6));
    index.remove(5);
    index.remove(5);
    index.remove(7);
    expect(index.get(5)).toBe(0);
    expect(index.get(6)).not.toBe(0);
    expect(index.count).toBe(1);
    const again = idBody(5);
    index.put(again);
    expect(index.get(5)).toBe(again);
    expect(index.count).toBe(2);
    index.free();
  });

  it("finds what lies behind a removed one, and takes its place again", () => {
    const index = ids(0);
    const slots = index.slots;
    const a = idAt(10, slots, 1);
    const b = idAt(10, slots, a + 1);
    const c = idAt(10, slots, b + 1);
    index.put(idBody(a));
    index.put(idBody(b));
    const last = idBody(c);
    index.put(last);
    expect(index.used).toBe(3);
    index.remove(a);
    index.remove(b);
    expect(index.get(c)).toBe(last);
    // a record behind a removed slot is replaced where it is, not entered twice
    const newer = idBody(c);
    index.put(newer);
    expect(index.get(c)).toBe(newer);
    expect(index.count).toBe(1);
    index.put(idBody(a));
    index.put(idBody(b));
    expect(index.used).toBe(3);
    expect(index.count).toBe(3);
    index.remove(c);
    expect(index.get(c)).toBe(0);
    index.free();
  });

  it("goes on at the beginning when the end is reached", () => {
    const index = ids(0);
    const slots = index.slots;
    const bodies: usize[] = [];
    let id: u32 = 1;
    for (let i = 0; i < 5; i++) {
      id = idAt(slots - 2, slots, id);
      bodies.push(idBody(id++));
      index.put(bodies[i]);
    }
    for (let i = 0; i < 5; i++) expect(index.get(load<u32>(bodies[i]))).toBe(bodies[i]);
    expect(index.record(slots - 2)).toBe(bodies[0]);
    expect(index.record(slots - 1)).toBe(bodies[1]);
    expect(index.record(0)).toBe(bodies[2]);
    expect(index.record(2)).toBe(bodies[4]);
    expect(index.get(idAt(slots - 2, slots, id))).toBe(0);
    index.free();
  });

  it("is full while a tenth is free, and still replaces", () => {
    const index = ids(100);
    let entered: u32 = 0;
    while (index.put(idBody(entered + 1))) entered++;
    expect(entered).toBe((index.slots * 9 + 9) / 10);
    expect(index.full).toBeTruthy();
    expect(index.get(entered + 1)).toBe(0);
    const newer = idBody(50);
    expect(index.put(newer)).toBeTruthy();
    expect(index.get(50)).toBe(newer);
    for (let i: u32 = 1; i <= entered; i++) expect(index.get(i)).not.toBe(0);
    index.free();
  });

  it("counts removed slots as used: it stays full until it's built anew", () => {
    const index = ids(0);
    let entered: u32 = 0;
    while (index.put(idBody(entered + 1))) entered++;
    for (let i: u32 = 1; i <= entered; i++) index.remove(i);
    expect(index.count).toBe(0);
    expect(index.put(idBody(1))).toBeFalsy();
    for (let i: u32 = 1; i <= entered; i++) expect(index.get(i)).toBe(0);
    index.free();
  });

  it("walks all records", () => {
    const index = ids(50);
    for (let i: u32 = 1; i <= 50; i++) index.put(idBody(i));
    for (let i: u32 = 1; i <= 50; i += 2) index.remove(i);
    let sum: u32 = 0;
    let found = 0;
    for (let n: u32 = 0; n < index.slots; n++) {
      const record = index.record(n);
      if (record == 0) continue;
      found++;
      sum += load<u32>(record);
    }
    expect(found).toBe(25);
    expect(sum).toBe(650);
    index.free();
  });

  it("survives long churn", () => {
    const index = ids(200);
    const there = new StaticArray<bool>(300);
    let seed: u32 = 12345;
    let refused = 0;
    let wrong = 0;
    for (let i = 0; i < 20000; i++) {
      seed = seed * 1664525 + 1013904223;
      const id = (seed >> 8) % 300;
      if (seed >> 31) {
        if (index.put(idBody(id + 1))) there[id] = true;
        else refused++;
      } else {
        index.remove(id + 1);
        there[id] = false;
      }
      if (i % 500) continue;
      let count: u32 = 0;
      for (let n: u32 = 0; n < 300; n++) {
        if ((index.get(n + 1) != 0) != there[n]) wrong++;
        if (there[n]) count++;
      }
      expect(index.count).toBe(count);
    }
    expect(wrong).toBe(0);
    expect(refused).toBeLessThan(20000);
    index.free();
  });
});

describe("an index by digest", () => {
  it("finds what was put in, and nothing else", () => {
    const index = digests(500);
    const bodies = new StaticArray<usize>(500);
    let wrong = 0;
    for (let i: u32 = 0; i < 500; i++) {
      bodies[i] = digestBody(i * 0x9e3779b1, i);
      if (!index.put(bodies[i])) wrong++;
    }
    for (let i: u32 = 0; i < 500; i++) {
      const home = i * 0x9e3779b1;
      if (index.get(digestBody(home, i)) != bodies[i]) wrong++;
      if (
        index.get(digestBody(home, i + 1)) != 0 ||
        index.get(digestBody(home, i, 1)) != 0 ||
        index.get(digestBody(home, i, (<u64>1) << 32)) != 0
      )
        wrong++;
    }
    expect(wrong).toBe(0);
    expect(index.count).toBe(500);
    index.free();
  });

  it("compares every bit of the digest", () => {
    const index = digests(4);
    const body = digestBody(0x01020304, 0x05060708, 0x1112131415161718);
    index.put(body);
    for (let bit: u32 = 0; bit < 128; bit++) {
      const other = heap.alloc(16);
      memory.copy(other, body, 16);
      store<u8>(other + (bit >> 3), <u8>(<u32>load<u8>(other + (bit >> 3)) ^ ((<u32>1) << (bit & 7))));
      expect(index.get(other)).toBe(0);
      heap.free(other);
    }
    expect(index.get(body)).toBe(body);
    index.free();
  });

  it("holds digests of one home and one tag, up to the last that fits", () => {
    const index = digests(100);
    let entered: u64 = 0;
    while (index.put(digestBody(0xffffffff, 7, entered))) entered++;
    expect(entered).toBe((index.slots * 9 + 9) / 10);
    for (let i: u64 = 0; i < entered; i++) expect(index.get(digestBody(0xffffffff, 7, i))).not.toBe(0);
    expect(index.get(digestBody(0xffffffff, 7, entered))).toBe(0);
    expect(index.get(digestBody(0xffffffff, 8, 0))).toBe(0);
    // removed from the front, from the back and in between
    for (let i: u64 = 0; i < entered; i += 3) index.remove(digestBody(0xffffffff, 7, i));
    for (let i: u64 = 0; i < entered; i++) expect(index.get(digestBody(0xffffffff, 7, i)) != 0).toBe(i % 3 != 0);
    index.free();
  });

  it("replaces and removes", () => {
    const index = digests(4);
    index.put(digestBody(1, 2));
    const newer = digestBody(1, 2);
    index.put(newer);
    expect(index.get(digestBody(1, 2))).toBe(newer);
    expect(index.count).toBe(1);
    index.remove(digestBody(1, 2));
    index.remove(digestBody(1, 2));
    expect(index.get(newer)).toBe(0);
    expect(index.count).toBe(0);
    index.free();
  });

  it("takes digests that are all zeros and all ones", () => {
    const index = digests(4);
    const zeros = digestBody(0, 0);
    const ones = digestBody(0xffffffff, 0xffffffff, u64.MAX_VALUE);
    expect(index.get(zeros)).toBe(0);
    index.put(zeros);
    index.put(ones);
    expect(index.get(zeros)).toBe(zeros);
    expect(index.get(ones)).toBe(ones);
    index.remove(zeros);
    expect(index.get(zeros)).toBe(0);
    index.free();
  });
});

describe("an index's memory", () => {
  it("is refused beyond the bound, and nothing traps", () => {
    const counts: StaticArray<u32> = [100_000_000, 0x7fffffff, 0x80000000];
    for (let i = 0; i < counts.length; i++) {
      const index = new DigestIndex();
      expect(index.reserve(counts[i])).toBeFalsy(`${counts[i]}`);
      index.free();
    }
  });

  it("is cleared in steps", () => {
    const index = new DigestIndex();
    index.reserve(100_000);
    let steps = 1;
    while (!index.clear()) steps++;
    expect(steps).toBe(<i32>((index.slots + 32767) / 32768));
    expect(index.get(digestBody(0xffffffff, 1))).toBe(0);
    index.free();
  });

  it("of a count that overflows is none, or an index that is soon full", () => {
    const counts: StaticArray<u32> = [0xffffffff, 2863311488, 2863311487, 2863311489, 0xaaaaaaaa];
    for (let i = 0; i < counts.length; i++) {
      const index = new IdIndex();
      if (!index.reserve(counts[i])) continue;
      while (!index.clear()) {}
      for (let id: u32 = 1; id < 300; id++) if (!index.put(idBody(id))) break;
      expect(index.get(0x12345678)).toBe(0);
      index.free();
    }
  });
});
