import { Manifest } from "../../../assembly/wire/frame";
import { API, CONSUMER, KEY, LIMIT, TIER } from "../../../assembly/wire/enums";
import { KEY_CLOSED, keyFlags } from "../../../assembly/wire/records";
import { methodBit } from "../../../assembly/http/methods";
import { API_FOUND, NO_API, matchedApi } from "../../../assembly/snapshot/router";
import {
  APPLIED,
  APPLY_FULL,
  APPLY_MORE,
  RECORDS_BROKEN,
  RECORDS_GOOD,
  RECORDS_NEWER,
  Table,
  applyCursor,
  checkRecords,
} from "../../../assembly/snapshot/table";
import { liveBlockBytes } from "../../../assembly/lib/blocks";
import { ascii } from "../../../assembly/lib/text";
import { ApiSpec, Payload, Writer, digestOf, keyBody } from "./wire";

function begin(keys: u32 = 16, totalBytes: u64 = 0): Table {
  const counts = changetype<Manifest>(heap.alloc(40));
  memory.fill(changetype<usize>(counts), 0, 40);
  counts.keyCount = keys;
  counts.totalBytes = totalBytes;
  const table = new Table();
  expect(table.reserve(counts, 16)).toBeTruthy();
  while (!table.clear()) {}
  return table;
}

function apply(table: Table, payload: Payload): i32 {
  expect(checkRecords(payload.start, payload.end, true)).toBe(RECORDS_GOOD);
  let at = payload.start;
  while (true) {
    const result = table.apply(at, payload.end);
    if (result != APPLY_MORE) return result;
    at = applyCursor;
  }
}

const GET = ascii("GET");

function route(table: Table, path: string): u32 {
  const p = ascii(path);
  const h = ascii("a.example.com");
  const at = changetype<usize>(GET);
  return table.router.match(changetype<usize>(h), h.length, changetype<usize>(p), p.length, methodBit(at, 3), at, 3);
}

function api(wireId: u32, path: string): ApiSpec {
  const one = new ApiSpec(wireId);
  one.paths = [path];
  return one;
}

describe("records", () => {
  it("are good as a whole, or not at all", () => {
    const payload = new Payload().tier(1, "bronze", ["read"]).consumer(1, "acme", 1).key(1, "k", 1);
    expect(checkRecords(payload.start, payload.end, false)).toBe(RECORDS_GOOD);
    expect(checkRecords(payload.start, payload.start, false)).toBe(RECORDS_GOOD, "none");
    for (let end = payload.start + 1; end < payload.end; end++) {
      const state = checkRecords(payload.start, end, false);
      // Between two records there is a good end.
      if (state == RECORDS_GOOD) expect(load<u8>(end) == CONSUMER || load<u8>(end) == KEY).toBeTruthy();
      else expect(state).toBe(RECORDS_BROKEN);
    }
  });

  it("may be deleted by a delta, not by a page", () => {
    const payload = new Payload().tier(1, "bronze", []).remove(TIER, 1);
    expect(checkRecords(payload.start, payload.end, true)).toBe(RECORDS_GOOD);
    expect(checkRecords(payload.start, payload.end, false)).toBe(RECORDS_BROKEN);
  });

  it("of types from 128 on are passed over, others that are unknown are newer", () => {
    const types: StaticArray<u32> = [128, 200, 255];
    for (let i = 0; i < types.length; i++) {
      const payload = new Payload().tier(1, "bronze", []);
      payload.record(types[i], new Writer().u32(0xffffffff));
      payload.consumer(1, "acme", 1);
      expect(checkRecords(payload.start, payload.end, false)).toBe(RECORDS_GOOD);
      const table = begin();
      expect(apply(table, payload)).toBe(APPLIED);
      expect(table.consumers.get(1)).not.toBe(0);
      table.free();
    }
    const newer: StaticArray<u32> = [0, 8, 9, 99, 127];
    for (let i = 0; i < newer.length; i++) {
      const payload = new Payload().tier(1, "bronze", []);
      payload.record(newer[i], new Writer().u64(1));
      expect(checkRecords(payload.start, payload.end, false)).toBe(RECORDS_NEWER);
    }
  });
});

describe("a table", () => {
  it("holds each record under what identifies it", () => {
    const table = begin();
    const payload = new Payload()
      .api(api(7, "/a"))
      .limit(3, "minute")
      .tier(2, "bronze", ["read"])
      .consumer(9, "acme", 2)
      .key(1, "k1", 9)
      .key(2, "k2", 9);
    expect(apply(table, payload)).toBe(APPLIED);
    expect(load<u32>(table.apis.get(7))).toBe(7);
    expect(load<u32>(table.limits.get(3))).toBe(3);
    expect(load<u32>(table.tiers.get(2))).toBe(2);
    expect(load<u32>(table.consumers.get(9))).toBe(9);
    expect(memory.compare(table.keys.get(digestOf(2)), digestOf(2), 16)).toBe(0);
    expect(table.keys.get(digestOf(3))).toBe(0);
    expect(table.tiers.get(9)).toBe(0, "ids are of one kind");
    table.free();
  });

  it("replaces by a later record, in the same delta too", () => {
    const table = begin();
    apply(table, new Payload().key(1, "old", 9));
    const fields = new Payload();
    fields.record(KEY, keyBody(digestOf(1), "new", 9, 1)).record(KEY, keyBody(digestOf(1), "newest", 9, 2));
    apply(table, fields);
    expect(table.keys.count).toBe(1);
    expect(keyFlags(table.keys.get(digestOf(1)))).toBe(2);
    table.free();
  });

  it("deletes each kind, and ignores what it doesn't know", () => {
    const table = begin();
    apply(table, new Payload().api(api(1, "/a")).limit(1, "l").tier(1, "t", []).consumer(1, "c", 1).key(1, "k", 1));
    apply(table, new Payload().remove(API, 2).remove(LIMIT, 2).remove(TIER, 2).remove(CONSUMER, 2).removeKey(2));
    expect(table.apis.count + table.limits.count + table.tiers.count + table.consumers.count + table.keys.count).toBe(
      5,
    );
    apply(table, new Payload().remove(API, 1).remove(LIMIT, 1).remove(TIER, 1).remove(CONSUMER, 1).removeKey(1));
    expect(table.apis.get(1)).toBe(0);
    expect(table.limits.get(1)).toBe(0);
    expect(table.tiers.get(1)).toBe(0);
    expect(table.consumers.get(1)).toBe(0);
    expect(table.keys.get(digestOf(1))).toBe(0);
    table.free();
  });

  it("comes to the same state when a delta is applied twice", () => {
    const table = begin();
    const delta = new Payload().key(1, "a", 1).removeKey(2).key(3, "c", 1).removeKey(3).tier(1, "t", []);
    apply(table, delta);
    apply(table, delta);
    expect(table.keys.count).toBe(1);
    expect(table.keys.get(digestOf(3))).toBe(0);
    expect(table.tiers.count).toBe(1);
    table.free();
  });

  it("closes keys of another digest algorithm", () => {
    const table = begin();
    const body = keyBody(digestOf(1), "imported", 1);
    store<u8>(body.start, 9, 22);
    const payload = new Payload();
    payload.record(KEY, body);
    expect(apply(table, payload)).toBe(APPLIED);
    expect(keyFlags(table.keys.get(digestOf(1)))).toBe(KEY_CLOSED);
    table.free();
  });

  it("applies 256 records at a time", () => {
    const table = begin(1000);
    const payload = new Payload();
    for (let i: u32 = 0; i < 600; i++) payload.key(i, "k", 1);
    expect(table.apply(payload.start, payload.end)).toBe(APPLY_MORE);
    expect(table.keys.count).toBe(256);
    expect(table.apply(applyCursor, payload.end)).toBe(APPLY_MORE);
    expect(table.keys.count).toBe(512);
    expect(table.apply(applyCursor, payload.end)).toBe(APPLIED);
    expect(table.keys.count).toBe(600);
    expect(applyCursor).toBe(payload.end);
    expect(table.apply(applyCursor, payload.end)).toBe(APPLIED, "nothing");
    table.free();
  });

  it("is full when an index is, and says so", () => {
    const table = begin(0);
    const payload = new Payload();
    for (let i: u32 = 0; i < 200; i++) payload.key(i, "k", 1);
    expect(apply(table, payload)).toBe(APPLY_FULL);
    expect(table.keys.get(digestOf(0))).not.toBe(0);
    table.free();
  });
});

describe("a table's memory", () => {
  it("takes records to stay, one after another", () => {
    const table = begin();
    const a = new Payload().key(1, "a", 1);
    const b = new Payload().key(2, "b", 1);
    const atA = table.append(a.start, a.bytes);
    const atB = table.append(b.start, b.bytes);
    expect(atB).toBe(atA + a.bytes);
    expect(memory.compare(atA, a.start, a.bytes)).toBe(0);
    expect(memory.compare(atB, b.start, b.bytes)).toBe(0);
    table.free();
  });

  it("gives larger records a region of their own", () => {
    const table = begin(16, 64 << 20);
    const large = heap.alloc(1 << 20);
    memory.fill(large, 0x5a, 1 << 20);
    const before = liveBlockBytes();
    const at = table.append(large, 1 << 20);
    expect(liveBlockBytes() - before).toBe(1 << 20);
    expect(load<u8>(at + (1 << 20) - 1)).toBe(0x5a);
    heap.free(large);
    table.free();
  });

  it("takes 8 MiB of changes and a quarter of the snapshot's size, then no more", () => {
    const chunk = heap.alloc(1 << 20);
    for (let share: u64 = 0; share < 3; share++) {
      const table = begin(16, share * (16 << 20));
      let taken: u64 = 0;
      while (table.append(chunk, 1 << 20) != 0) taken++;
      expect(taken).toBe(8 + share * 4);
      expect(table.append(chunk, 1)).toBe(0);
      table.free();
    }
    heap.free(chunk);
  });

  it("discards the last region, and only that", () => {
    const table = begin();
    const before = liveBlockBytes();
    const first = table.region(1000);
    const last = table.region(500);
    table.discard(first);
    expect(liveBlockBytes()).toBe(before + 1500);
    table.discard(last);
    expect(liveBlockBytes()).toBe(before + 1000);
    table.discard(first);
    expect(liveBlockBytes()).toBe(before);
    table.discard(first);
    table.free();
  });

  it("is all given back", () => {
    const before = liveBlockBytes();
    const table = begin(1000);
    const payload = new Payload().api(api(1, "/a")).key(1, "k", 1);
    const at = table.append(payload.start, payload.bytes);
    table.apply(at, at + payload.bytes);
    expect(table.refreshRouter()).toBeTruthy();
    table.region(100);
    table.free();
    expect(liveBlockBytes()).toBe(before);
  });

  it("isn't reserved for counts that don't fit, and what was reserved is given back", () => {
    const before = liveBlockBytes();
    const counts = changetype<Manifest>(heap.alloc(40));
    const greatest: StaticArray<u32> = [0xffffffff, 0x7fffffff, 0x80000000, 0x10000000];
    for (let i = 0; i < greatest.length; i++) {
      memory.fill(changetype<usize>(counts), 0, 40);
      counts.keyCount = 1000;
      counts.limitCount = greatest[i];
      const table = new Table();
      if (greatest[i] == 0x10000000) expect(table.reserve(counts, 0)).toBeFalsy();
      else table.reserve(counts, 0);
      table.free();
      expect(liveBlockBytes()).toBe(before);
    }
  });
});

describe("a table's router", () => {
  it("is empty at first", () => {
    const table = begin();
    expect(route(table, "/a")).toBe(NO_API);
    table.free();
  });

  it("follows APIs that come, change and go, when it is refreshed", () => {
    const table = begin();
    apply(table, new Payload().api(api(1, "/a")));
    expect(route(table, "/a")).toBe(NO_API);
    expect(table.refreshRouter()).toBeTruthy();
    expect(route(table, "/a")).toBe(API_FOUND);
    expect(load<u32>(matchedApi)).toBe(1);

    apply(table, new Payload().api(api(1, "/b")).api(api(2, "/c")));
    expect(route(table, "/a")).toBe(API_FOUND, "the old state stays whole until the refresh");
    table.refreshRouter();
    expect(route(table, "/a")).toBe(NO_API);
    expect(route(table, "/b")).toBe(API_FOUND);
    expect(route(table, "/c")).toBe(API_FOUND);

    apply(table, new Payload().remove(API, 1));
    table.refreshRouter();
    expect(route(table, "/b")).toBe(NO_API);
    expect(route(table, "/c")).toBe(API_FOUND);
    table.free();
  });

  it("isn't built anew when no API has changed", () => {
    const table = begin();
    apply(table, new Payload().api(api(1, "/a")));
    table.refreshRouter();
    const router = table.router;
    apply(table, new Payload().key(1, "k", 1).tier(1, "t", []));
    expect(table.refreshRouter()).toBeTruthy();
    expect(table.router == router).toBeTruthy();
    apply(table, new Payload().api(api(1, "/a")));
    table.refreshRouter();
    expect(table.router == router).toBeFalsy();
    table.free();
  });

  it("that would be too large is refused, and the old one stays", () => {
    const table = begin();
    apply(table, new Payload().api(api(1, "/a")));
    table.refreshRouter();
    const huge = new ApiSpec(2);
    for (let i = 0; i < 3000; i++) {
      huge.hosts.push("h" + i.toString());
      huge.paths.push("/p" + i.toString());
    }
    const w = new Payload();
    const body = new Writer()
      .u32(2)
      .u8(1)
      .u8(0)
      .u16(0)
      .str("huge")
      .strs(huge.hosts)
      .strs(huge.paths)
      .strs([])
      .strs([])
      .u16(0);
    w.record(API, body);
    expect(apply(table, w)).toBe(APPLIED);
    expect(table.refreshRouter()).toBeFalsy();
    expect(route(table, "/a")).toBe(API_FOUND);
    table.free();
  });
});
