import {
  FRAME_BROKEN,
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  FRAME_MAX_BYTES,
  FRAME_NEWER,
  checkFrame,
  frameBase,
  frameBytes,
  frameEpoch,
  frameHasMore,
  frameType,
  frameVersion,
  manifestOf,
  pageCount,
  pageIndex,
} from "../../../assembly/wire/frame";
import { Payload, Writer, flipBit, frame, manifest, page, sealFrame } from "./wire";

const EPOCH: u64 = 0xfedcba9876543210;
const VERSION: u64 = 0xffffffff00000001;

function heartbeat(): Writer {
  return frame(new Writer(), 4, 0, EPOCH, VERSION, 0, new Writer(16));
}

function smallPage(): Writer {
  return page(new Writer(), EPOCH, VERSION, 3, 9, new Payload().tier(1, "bronze", ["read"]));
}

describe("a frame", () => {
  it("of every type is good", () => {
    const beat = heartbeat();
    expect(checkFrame(beat.start, beat.bytes)).toBe(FRAME_GOOD);
    expect(frameType(beat.start)).toBe(4);
    expect(frameBytes(beat.start)).toBe(FRAME_HEAD_BYTES);

    const one = smallPage();
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_GOOD);
    expect(frameType(one.start)).toBe(2);
    expect(frameBytes(one.start)).toBe(one.bytes);
    expect(frameEpoch(one.start)).toBe(EPOCH);
    expect(frameVersion(one.start)).toBe(VERSION);
    expect(pageIndex(one.start)).toBe(3);
    expect(pageCount(one.start)).toBe(9);

    const delta = frame(new Writer(), 3, 1, EPOCH, VERSION, 7, new Payload().remove(1, 2));
    expect(checkFrame(delta.start, delta.bytes)).toBe(FRAME_GOOD);
    expect(frameType(delta.start)).toBe(3);
    expect(frameBase(delta.start)).toBe(7);
    expect(frameHasMore(delta.start)).toBeTruthy();
    expect(frameHasMore(one.start)).toBeFalsy();
  });

  it("may be followed by others", () => {
    const two = heartbeat();
    frame(two, 4, 0, EPOCH, VERSION, 0, new Writer(16));
    expect(checkFrame(two.start, two.bytes)).toBe(FRAME_GOOD);
    expect(frameBytes(two.start)).toBe(48);
    expect(checkFrame(two.start + 48, two.bytes - 48)).toBe(FRAME_GOOD);
  });

  it("has a manifest's counts", () => {
    const one = manifest(new Writer(), EPOCH, VERSION, 1, 2, 3, 4, 5, 6, 0x123456789);
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_GOOD);
    const counts = manifestOf(one.start);
    expect(counts.pageCount).toBe(1);
    expect(counts.keyCount).toBe(2);
    expect(counts.consumerCount).toBe(3);
    expect(counts.tierCount).toBe(4);
    expect(counts.apiCount).toBe(5);
    expect(counts.limitCount).toBe(6);
    expect(counts.totalBytes).toBe(0x123456789);
  });

  it("that is cut off anywhere is broken", () => {
    const one = smallPage();
    for (let bytes: u32 = 0; bytes < one.bytes; bytes++) expect(checkFrame(one.start, bytes)).toBe(FRAME_BROKEN);
  });

  it("with any bit flipped isn't good", () => {
    const one = smallPage();
    for (let bit: u32 = 0; bit < one.bytes * 8; bit++) {
      flipBit(one.start, bit);
      expect(checkFrame(one.start, one.bytes)).not.toBe(FRAME_GOOD, `bit ${bit}`);
      flipBit(one.start, bit);
    }
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_GOOD);
  });

  it("of another format is newer, or broken when the format never was", () => {
    const one = smallPage();
    store<u16>(one.start, 2, 4);
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_NEWER);
    store<u16>(one.start, 0xffff, 4);
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_NEWER);
    store<u16>(one.start, 0, 4);
    expect(checkFrame(one.start, one.bytes)).toBe(FRAME_BROKEN);
  });

  it("of an unknown type is newer, if it is whole", () => {
    const one = heartbeat();
    const types: StaticArray<u8> = [0, 12, 99, 255];
    for (let i = 0; i < types.length; i++) {
      store<u8>(one.start, types[i], 6);
      expect(checkFrame(one.start, one.bytes)).toBe(FRAME_BROKEN, "the checksum is wrong");
      sealFrame(one.start);
      expect(checkFrame(one.start, one.bytes)).toBe(FRAME_NEWER);
    }
  });

  it("may have 1 MiB and no more, whatever its length says", () => {
    const room = heap.alloc(FRAME_MAX_BYTES + 64);
    const one = heartbeat();
    memory.copy(room, one.start, 48);
    store<u32>(room, FRAME_MAX_BYTES - 48, 8);
    sealFrame(room);
    expect(checkFrame(room, FRAME_MAX_BYTES)).toBe(FRAME_GOOD);
    expect(checkFrame(room, FRAME_MAX_BYTES - 1)).toBe(FRAME_BROKEN);
    store<u32>(room, FRAME_MAX_BYTES - 47, 8);
    sealFrame(room);
    expect(checkFrame(room, FRAME_MAX_BYTES + 64)).toBe(FRAME_BROKEN);
    const lengths: StaticArray<u32> = [0xffffffff, 0xffffffd0, 0xffffffcf, 0x80000000, 0x7fffffff, 0x00100000];
    for (let i = 0; i < lengths.length; i++) {
      store<u32>(room, lengths[i], 8);
      expect(checkFrame(room, 0xffffffff)).toBe(FRAME_BROKEN);
    }
    heap.free(room);
  });

  it("that is a manifest has 40 bytes at least", () => {
    const short = frame(
      new Writer(),
      1,
      0,
      EPOCH,
      VERSION,
      0,
      new Writer().u64(1).u64(0).u64(0).u64(0).u32(0).u16(0).u8(0),
    );
    expect(short.bytes).toBe(48 + 39);
    expect(checkFrame(short.start, short.bytes)).toBe(FRAME_BROKEN);
    const long = frame(new Writer(), 1, 0, EPOCH, VERSION, 0, new Writer().u64(1).u64(0).u64(0).u64(0).u64(0).u64(0));
    expect(checkFrame(long.start, long.bytes)).toBe(FRAME_GOOD);
  });
});
