import { liveBlockBytes } from "../../../assembly/lib/blocks";
import { ANSWER_NONE, ANSWER_TOKEN, ASKED, TokenCache, TokenEntry } from "../../../assembly/tokens/cache";

const PLACES: u32 = 16384;
const text = memory.data(8192);

function keep(cache: TokenCache, entry: TokenEntry, byte: u8, bytes: u32): bool {
  memory.fill(text, byte, bytes);
  if (!cache.keep(entry, text, bytes)) return false;
  entry.answer = ANSWER_TOKEN;
  return true;
}

function filled(): TokenCache {
  const cache = new TokenCache();
  cache.prepare();
  for (let i: u32 = 0; i < PLACES; i++) cache.add(i, 7, i);
  return cache;
}

describe("the cache of tokens", () => {
  it("has no places before it took its memory, and gives all of it back", () => {
    const before = liveBlockBytes();
    const cache = new TokenCache();
    expect(cache.add(1, 2, 0) == null).toBeTruthy();
    expect(cache.find(1, 2) == null).toBeTruthy();
    cache.prepare();
    cache.prepare();
    const entry = cache.add(1, 2, 0)!;
    expect(keep(cache, entry, 0x61, 700)).toBeTruthy();
    expect(liveBlockBytes() > before).toBeTruthy();
    cache.free();
    expect(liveBlockBytes()).toBe(before);
    cache.free();
    expect(liveBlockBytes()).toBe(before);
  });

  it("finds callers by both halves of their id", () => {
    const cache = new TokenCache();
    cache.prepare();
    const one = cache.add(1, 2, 0)!;
    const two = cache.add(1, 3, 0)!;
    expect(cache.find(1, 2)! == one).toBeTruthy();
    expect(cache.find(1, 3)! == two).toBeTruthy();
    expect(cache.find(2, 1) == null).toBeTruthy();
    expect(cache.count).toBe(2);
    cache.free();
  });

  it("gives a new caller a clean place, whatever its room held", () => {
    const cache = filled();
    for (let i: u32 = 0; i < 64; i++) {
      const old = cache.find(i, 7)!;
      keep(cache, old, 0x61, 500);
      old.endNs = 99;
      old.print = 5;
    }
    const entry = cache.add(1_000_000, 7, 1_000_000)!;
    expect(entry.answer).toBe(ANSWER_NONE);
    expect(entry.bytes).toBe(0);
    expect(entry.endNs).toBe(0);
    expect(entry.print).toBe(0);
    expect(cache.count).toBe(PLACES);
    cache.free();
  });

  it("makes room by the callers that were not seen for longest, and never by one who is being asked for", () => {
    const cache = filled();
    for (let i: u32 = 0; i < PLACES; i++) if (i % 16 != 5) cache.find(i, 7)!.usedNs = 1_000_000;
    for (let i: u32 = 0; i < 100; i++) expect(cache.add(2_000_000 + i, 7, 2_000_000) != null).toBeTruthy();
    let gone = 0;
    for (let i: u32 = 0; i < PLACES; i++) {
      if (cache.find(i, 7) != null) continue;
      gone++;
      expect(i % 16).toBe(5);
    }
    expect(gone).toBe(100);
    for (let i: u32 = 0; i < PLACES; i++) {
      const entry = cache.find(i, 7);
      if (entry != null) entry.flags |= ASKED;
    }
    for (let i: u32 = 0; i < 100; i++) cache.find(2_000_000 + i, 7)!.flags |= ASKED;
    expect(cache.add(3_000_000, 7, 3_000_000) == null).toBeTruthy();
    cache.free();
  });

  it("keeps tokens of any length, and takes memory only for longer ones", () => {
    const cache = new TokenCache();
    cache.prepare();
    const entry = cache.add(1, 2, 0)!;
    keep(cache, entry, 0x61, 500);
    const before = liveBlockBytes();
    keep(cache, entry, 0x62, 512);
    expect(liveBlockBytes()).toBe(before);
    expect(entry.bytes).toBe(512);
    expect(load<u8>(<usize>entry.room + 511)).toBe(0x62);
    keep(cache, entry, 0x63, 8192);
    expect(entry.bytes).toBe(8192);
    expect(load<u8>(<usize>entry.room + 8191)).toBe(0x63);
    cache.free();
  });

  it("bounds what all tokens take together: others make room for a new one", () => {
    const cache = filled();
    const before = liveBlockBytes();
    for (let i: u32 = 0; i < 6000; i++)
      expect(keep(cache, cache.find(i, 7)!, <u8>(0x41 + (i % 26)), 8192)).toBeTruthy();
    expect(liveBlockBytes() - before <= (32 << 20) + 4096 * 16).toBeTruthy();
    const last = cache.find(5999, 7)!;
    expect(last.answer).toBe(ANSWER_TOKEN);
    expect(load<u8>(<usize>last.room + 8191)).toBe(<u8>(0x41 + (5999 % 26)));
    let kept = 0;
    for (let i: u32 = 0; i < PLACES; i++) {
      const entry = cache.find(i, 7)!;
      if (entry.answer == ANSWER_TOKEN) kept++;
      else expect(entry.bytes).toBe(0);
    }
    expect(kept).toBe(4096);
    cache.free();
  });

  it("forgets all callers at once, and serves new ones from the same memory", () => {
    const cache = filled();
    keep(cache, cache.find(3, 7)!, 0x61, 300);
    const before = liveBlockBytes();
    cache.clear();
    expect(cache.count).toBe(0);
    expect(cache.find(3, 7) == null).toBeTruthy();
    for (let i: u32 = 0; i < PLACES; i++) expect(cache.add(i, 8, 0) != null).toBeTruthy();
    expect(liveBlockBytes()).toBe(before);
    cache.free();
  });
});
