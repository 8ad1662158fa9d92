import { allocBlock, freeBlock, liveBlockBytes } from "../../../assembly/lib/blocks";

const MIB: u64 = 1 << 20;

describe("blocks", () => {
  it("lie apart, 16-aligned", () => {
    const a = allocBlock(100);
    const b = allocBlock(1);
    expect(a & 15).toBe(0);
    expect(b & 15).toBe(0);
    expect(a + 100 <= b || b + 1 <= a).toBeTruthy();
    memory.fill(a, 0xaa, 100);
    memory.fill(b, 0xbb, 1);
    expect(load<u8>(a + 99)).toBe(0xaa);
    freeBlock(a);
    freeBlock(b);
  });

  it("are counted while they live", () => {
    const before = liveBlockBytes();
    const a = allocBlock(1000);
    const b = allocBlock(0);
    expect(b).not.toBe(0);
    expect(liveBlockBytes()).toBe(before + 1000);
    freeBlock(a);
    freeBlock(b);
    expect(liveBlockBytes()).toBe(before);
  });

  it("that would pass the bound are refused, and nothing traps", () => {
    const before = liveBlockBytes();
    expect(allocBlock(448 * MIB + 1)).toBe(0);
    expect(allocBlock(4096 * MIB)).toBe(0);
    expect(allocBlock(u64.MAX_VALUE)).toBe(0);
    const most = allocBlock(300 * MIB);
    expect(most).not.toBe(0);
    expect(allocBlock(149 * MIB)).toBe(0);
    expect(allocBlock(u64.MAX_VALUE - 300 * MIB + 1)).toBe(0);
    freeBlock(most);
    expect(liveBlockBytes()).toBe(before);
    freeBlock(allocBlock(100 * MIB));
    expect(liveBlockBytes()).toBe(before);
  });

  it("are reused after they were freed", () => {
    const pages = memory.size();
    for (let i = 0; i < 100; i++) freeBlock(allocBlock(50 * MIB));
    expect(memory.size() - pages).toBeLessThan(2000);
  });

  it("of address 0 may be freed: there is none", () => {
    const before = liveBlockBytes();
    freeBlock(0);
    expect(liveBlockBytes()).toBe(before);
  });
});
