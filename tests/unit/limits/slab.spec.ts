import { IN_USE } from "../../../assembly/limits/counter";
import { Slab } from "../../../assembly/limits/slab";
import { liveBlockBytes } from "../../../assembly/lib/blocks";

let state: u32 = 1;
function random(below: u32): u32 {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % below;
}

function nameOf(limit: u32, a: u64, b: u64): string {
  return limit.toString() + " " + a.toString() + " " + b.toString();
}

describe("a slab", () => {
  it("that has taken no memory finds nothing and has no places", () => {
    const slab = new Slab(1024);
    expect(slab.find(1, 2, 3) == null).toBeTruthy();
    expect(slab.add(1, 2, 3) == null).toBeTruthy();
    expect(slab.step() == null).toBeTruthy();
    expect(slab.places).toBe(0);
    expect(slab.isLow).toBeTruthy();
    slab.clear();
  });

  it("gives a cleared counter, and finds it by limit and subject", () => {
    const slab = new Slab(1024);
    slab.prepare();
    const c = slab.add(7, 8, 9)!;
    expect(c.limit).toBe(7);
    expect(c.subjectA).toBe(8);
    expect(c.subjectB).toBe(9);
    expect(c.flags).toBe(IN_USE);
    expect(c.allowance).toBe(0);
    expect(slab.find(7, 8, 9) == c).toBeTruthy();
    expect(slab.find(8, 8, 9) == null).toBeTruthy();
    expect(slab.find(7, 9, 9) == null).toBeTruthy();
    expect(slab.find(7, 8, 8) == null).toBeTruthy();
    slab.clear();
  });

  it("is as a map, over tens of thousands of steps", () => {
    state = 4711;
    const slab = new Slab(4096);
    slab.prepare();
    const model = new Map<string, u32>();
    let wrong = 0;
    for (let i = 0; i < 40_000; i++) {
      const limit = 1 + random(3);
      const a = <u64>random(1200);
      // subjects that differ in one half alone
      const b = (<u64>random(2)) << 40;
      const name = nameOf(limit, a, b);
      const found = slab.find(limit, a, b);
      if ((found != null) != model.has(name)) wrong++;
      if (found != null && found.remaining != model.get(name)) wrong++;
      if (random(3) == 0) {
        if (found == null) continue;
        slab.remove(found);
        model.delete(name);
      } else if (found == null) {
        if (slab.isLow) slab.prepare();
        const made = slab.add(limit, a, b);
        if (made == null) {
          if (model.size < 4096) wrong++;
          continue;
        }
        made.remaining = i;
        model.set(name, i);
      }
      if (slab.count != <u32>model.size) wrong++;
    }
    expect(wrong).toBe(0);
    expect(model.size > 500).toBeTruthy();
    slab.clear();
  });

  it("has no more counters than it may, and a place for one when one is gone", () => {
    const slab = new Slab(1024);
    slab.prepare();
    for (let i: u32 = 0; i < 1024; i++) {
      if (slab.isLow) slab.prepare();
      expect(slab.add(1, i, 0) == null).toBeFalsy();
    }
    expect(slab.add(1, 5000, 0) == null).toBeTruthy();
    slab.prepare();
    expect(slab.add(1, 5000, 0) == null).toBeTruthy();
    slab.remove(slab.find(1, 77, 0)!);
    expect(slab.add(1, 5000, 0) == null).toBeFalsy();
    expect(slab.count).toBe(1024);
    slab.clear();
  });

  it("raises a place's serial when it's given to another one, so that who waits for the old one knows", () => {
    const slab = new Slab(1024);
    slab.prepare();
    const c = slab.add(1, 1, 1)!;
    const serial = c.serial;
    slab.remove(c);
    const d = slab.add(2, 2, 2)!;
    expect(d == c).toBeTruthy("the place is used again");
    expect(d.serial).not.toBe(serial);
    slab.clear();
  });

  it("takes memory ahead of need, and never in add", () => {
    const slab = new Slab(100_000);
    slab.prepare();
    const before = liveBlockBytes();
    let added: u32 = 0;
    while (slab.add(1, added, 0) != null) added++;
    expect(liveBlockBytes()).toBe(before);
    expect(added >= 1024 && added <= slab.places).toBeTruthy();
    expect(slab.isLow).toBeTruthy();
    slab.prepare();
    expect(slab.isLow).toBeFalsy();
    expect(slab.add(1, added, 0) == null).toBeFalsy();
    expect(slab.find(1, 0, 0) == null).toBeFalsy("what was there is still there");
    slab.clear();
  });

  it("goes round all its places, and gives those in use", () => {
    const slab = new Slab(4096);
    slab.prepare();
    for (let i: u32 = 0; i < 300; i++) slab.add(1, i, 0);
    for (let i: u32 = 0; i < 300; i += 3) slab.remove(slab.find(1, i, 0)!);
    for (let round = 0; round < 3; round++) {
      let seen = 0;
      for (let n = slab.places; n > 0; n--) if (slab.step() != null) seen++;
      expect(seen).toBe(200);
    }
    slab.clear();
  });

  it("gives its memory back, and can begin anew", () => {
    const before = liveBlockBytes();
    const slab = new Slab(4096);
    slab.prepare();
    slab.add(1, 2, 3);
    slab.clear();
    expect(liveBlockBytes()).toBe(before);
    expect(slab.count).toBe(0);
    expect(slab.find(1, 2, 3) == null).toBeTruthy();
    slab.prepare();
    expect(slab.add(1, 2, 3) == null).toBeFalsy();
    slab.clear();
  });
});
