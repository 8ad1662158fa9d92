import { OWNER_API, OWNER_ROUTE, OWNER_TIER } from "../../../assembly/wire/enums";
import { limitId, limitOwner } from "../../../assembly/wire/records";
import { OwnerIndex, keyOwnerHash, ownerHash } from "../../../assembly/snapshot/limitOwners";
import { digestOf } from "../core/wire";
import { LimitSpec } from "./records";

const NO_ROUTE: u32 = 0xffffffff;

/** The wire ids of an owner's limits, in any order. */
function idsOf(index: OwnerIndex, hash: u32, owner: u32): u32[] {
  const ids: u32[] = [];
  for (let record = index.first(hash); record != 0; record = index.next())
    if (limitOwner(record) == owner) ids.push(limitId(record));
  return ids.sort((a, b) => <i32>a - <i32>b);
}

function tiersOf(index: OwnerIndex, tier: u32): u32[] {
  return idsOf(index, ownerHash(OWNER_TIER, tier, NO_ROUTE), tier);
}

function indexOf(records: u32): OwnerIndex {
  const index = new OwnerIndex();
  expect(index.reserve(records)).toBeTruthy();
  return index;
}

describe("an index of limits by their owner", () => {
  it("gives all limits of an owner, and none of another", () => {
    const index = indexOf(16);
    index.put(new LimitSpec(1, "a").ofTier(5).at(), 0);
    index.put(new LimitSpec(2, "b").ofTier(5).at(), 0);
    index.put(new LimitSpec(3, "c").ofTier(6).at(), 0);
    index.put(new LimitSpec(4, "d").ofApi(5).at(), 0);
    expect(tiersOf(index, 5)).toStrictEqual([1, 2]);
    expect(tiersOf(index, 6)).toStrictEqual([3]);
    expect(tiersOf(index, 7)).toStrictEqual([]);
    expect(idsOf(index, ownerHash(OWNER_API, 5, NO_ROUTE), 5)).toStrictEqual([4]);
    expect(index.count).toBe(4);
    index.free();
  });

  it("tells an API's routes apart from it and from each other", () => {
    const index = indexOf(16);
    index.put(new LimitSpec(1, "a").ofApi(5).at(), 0);
    index.put(new LimitSpec(2, "a").ofRoute(5, 0).at(), 0);
    index.put(new LimitSpec(3, "a").ofRoute(5, 1).at(), 0);
    expect(idsOf(index, ownerHash(OWNER_API, 5, NO_ROUTE), 5)).toStrictEqual([1]);
    expect(idsOf(index, ownerHash(OWNER_ROUTE, 5, 0), 5)).toStrictEqual([2]);
    expect(idsOf(index, ownerHash(OWNER_ROUTE, 5, 1), 5)).toStrictEqual([3]);
    index.free();
  });

  it("finds a key's by its digest", () => {
    const index = indexOf(16);
    index.put(new LimitSpec(1, "a").ofKey(3).at(), 0);
    index.put(new LimitSpec(2, "a").ofKey(4).at(), 0);
    const record = index.first(keyOwnerHash(digestOf(4)));
    expect(limitId(record)).toBe(2);
    expect(index.next()).toBe(0);
    index.free();
  });

  it("puts a newer record in place of the one of its wire id, whoever owned that", () => {
    const index = indexOf(16);
    const old = new LimitSpec(1, "a").ofTier(5).at();
    index.put(old, 0);
    index.put(new LimitSpec(1, "a").ofTier(6).at(), old);
    expect(tiersOf(index, 5)).toStrictEqual([]);
    expect(tiersOf(index, 6)).toStrictEqual([1]);
    expect(index.count).toBe(1);
    index.free();
  });

  it("without memory, or with nothing in it, finds nothing", () => {
    const index = new OwnerIndex();
    expect(index.first(ownerHash(OWNER_TIER, 1, NO_ROUTE))).toBe(0);
    index.reserve(4);
    expect(index.first(ownerHash(OWNER_TIER, 1, NO_ROUTE))).toBe(0);
    index.remove(new LimitSpec(1, "a").at());
    expect(index.count).toBe(0);
    index.free();
  });

  it("is as a map of lists, through thousands of additions, replacements and removals", () => {
    let state: u32 = 99;
    const index = indexOf(2000);
    const records = new Map<u32, usize>();
    let wrong = 0;
    for (let i = 0; i < 6000 && wrong == 0; i++) {
      state ^= state << 13;
      state ^= state >> 17;
      state ^= state << 5;
      const id = 1 + (state % 400);
      const tier = 1 + ((state >> 12) % 20);
      const old: usize = records.has(id) ? records.get(id) : 0;
      if ((state >> 20) % 4 == 0) {
        if (old != 0) index.remove(old);
        records.delete(id);
      } else {
        const record = new LimitSpec(id, "n").ofTier(tier).at();
        if (!index.put(record, old)) break;
        records.set(id, record);
      }
      if (i % 500 != 0) continue;
      for (let t: u32 = 1; t <= 20; t++) {
        const expected: u32[] = [];
        const ids = records.keys();
        for (let k = 0; k < ids.length; k++) if (limitOwner(records.get(ids[k])) == t) expected.push(ids[k]);
        expected.sort((a, b) => <i32>a - <i32>b);
        const got = tiersOf(index, t);
        if (got.length != expected.length) wrong++;
        for (let k = 0; k < got.length && k < expected.length; k++) if (got[k] != expected[k]) wrong++;
      }
    }
    expect(wrong).toBe(0);
    expect(index.count).toBe(records.size);
    index.free();
  });

  it("refuses more than it has room for, and keeps what it has", () => {
    const index = indexOf(10);
    let put: u32 = 0;
    while (index.put(new LimitSpec(put + 1, "a").ofTier(1).at(), 0)) put++;
    expect(put >= 10).toBeTruthy();
    expect(<u32>tiersOf(index, 1).length).toBe(put);
    index.free();
  });
});
