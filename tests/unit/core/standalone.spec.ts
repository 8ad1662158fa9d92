import { liveBlockBytes } from "../../../assembly/lib/blocks";
import { methodBit } from "../../../assembly/http/methods";
import { API_FOUND, matchedApi } from "../../../assembly/snapshot/router";
import { loadStandalone, standaloneError } from "../../../assembly/snapshot/standalone";
import { at, rawBytes } from "../helpers";
import { ApiSpec, Payload, Writer, digestOf, flipBit, frame, manifest, page, sealFrame } from "./wire";

const EPOCH: u64 = 7;
const DAMAGED = "not a snapshot, or a damaged one: compile it again";
const NEWER = "of a newer format: upgrade the plugin, or compile it with this version";
const MISCOUNTED = "its manifest counts less than its pages hold: compile it again";
const NO_MEMORY = "no memory for it";

function firstPage(): Payload {
  return new Payload().api(new ApiSpec(1)).tier(1, "bronze", ["read"]).consumer(1, "acme", 1).key(1, "k1", 1);
}

function secondPage(): Payload {
  return new Payload().key(2, "k2", 1).key(3, "k3", 1);
}

function snapshot(): Writer {
  const pages = new Writer();
  page(pages, EPOCH, 1, 0, 2, firstPage());
  page(pages, EPOCH, 1, 1, 2, secondPage());
  const all = manifest(new Writer(), EPOCH, 1, 2, 3, 1, 1, 1, 0, pages.bytes);
  return all.raw(pages.start, pages.bytes);
}

/** Why the bytes are refused, or nothing; "leaks" when memory was not given back. */
function errorOf(bytes: Writer, size: u32 = bytes.bytes): string {
  const before = liveBlockBytes();
  const copy = new StaticArray<u8>(size);
  memory.copy(changetype<usize>(copy), bytes.start, size);
  const table = loadStandalone(copy);
  if (table != null) table.free();
  if (liveBlockBytes() != before || (table == null) != standaloneError().length > 0) return "leaks";
  return standaloneError();
}

describe("a snapshot in the configuration", () => {
  it("becomes a table", () => {
    const bytes = snapshot();
    const copy = new StaticArray<u8>(bytes.bytes);
    memory.copy(changetype<usize>(copy), bytes.start, bytes.bytes);
    const table = loadStandalone(copy)!;
    // The table doesn't need the configuration's bytes any more.
    memory.fill(changetype<usize>(copy), 0xff, bytes.bytes);
    expect(table.epoch).toBe(EPOCH);
    expect(table.version).toBe(1);
    for (let n: u32 = 1; n <= 3; n++) expect(memory.compare(table.keys.get(digestOf(n)), digestOf(n), 16)).toBe(0);
    expect(table.consumers.get(1)).not.toBe(0);
    const host = rawBytes("a");
    const path = rawBytes("/x");
    const get = rawBytes("GET");
    expect(table.router.match(at(host), 1, at(path), 2, methodBit(at(get), 3), at(get), 3)).toBe(API_FOUND);
    expect(load<u32>(matchedApi)).toBe(1);
    table.free();
  });

  it("may hold nothing", () => {
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 0, 0, 0, 0, 0, 48);
    page(bytes, EPOCH, 1, 0, 1, new Payload());
    expect(errorOf(bytes)).toBe("");
  });

  it("may hold more records than one step applies", () => {
    const keys = new Payload();
    for (let n: u32 = 0; n < 2000; n++) keys.key(n, "k" + n.toString(), 1);
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 2000, 0, 0, 0, 0, keys.bytes + 48);
    page(bytes, EPOCH, 1, 0, 1, keys);
    expect(errorOf(bytes)).toBe("");
  });
});

describe("a broken snapshot", () => {
  it("is refused with a bit of any byte flipped", () => {
    const bytes = snapshot();
    for (let bit: u32 = 0; bit < bytes.bytes * 8; bit += 7) {
      flipBit(bytes.start, bit);
      const error = errorOf(bytes);
      if (error != DAMAGED && error != NEWER) expect(`bit ${bit}: ${error}`).toBe("");
      flipBit(bytes.start, bit);
    }
    expect(errorOf(bytes)).toBe("");
  });

  it("is refused wherever it's cut off", () => {
    const bytes = snapshot();
    for (let size: u32 = 0; size < bytes.bytes; size++) expect(errorOf(bytes, size)).toBe(DAMAGED, `${size} bytes`);
  });

  it("is refused with more behind it", () => {
    expect(errorOf(snapshot().u8(0))).toBe(DAMAGED);
    const twice = snapshot();
    const again = snapshot();
    expect(errorOf(twice.raw(again.start, again.bytes))).toBe(DAMAGED);
  });

  it("is refused with any byte changed and the checksums made right again, or gives a table: never a trap", () => {
    const bytes = snapshot();
    const manifestBytes: u32 = 88;
    const firstBytes = load<u32>(bytes.start + manifestBytes, 8) + 48;
    const values: StaticArray<u8> = [0, 2, 5, 0x80, 0xff];
    let accepted = 0;
    for (let place: u32 = 0; place < bytes.bytes; place++) {
      const inFrame =
        place < manifestBytes ? 0 : place < manifestBytes + firstBytes ? manifestBytes : manifestBytes + firstBytes;
      // A frame's own length decides what the checksum covers: that case is the flipped bits'.
      if (place - inFrame >= 8 && place - inFrame < 16) continue;
      const was = load<u8>(bytes.start + place);
      for (let i = 0; i < values.length; i++) {
        store<u8>(bytes.start + place, values[i]);
        sealFrame(bytes.start + inFrame);
        const error = errorOf(bytes);
        if (error == "leaks") expect(`byte ${place}: ${error}`).toBe("");
        if (error == "") accepted++;
      }
      store<u8>(bytes.start + place, was);
      sealFrame(bytes.start + inFrame);
    }
    expect(errorOf(bytes)).toBe("");
    expect(accepted).toBeGreaterThan(100);
  });

  it("is refused when a page is of another place, number, epoch or version", () => {
    for (let turn = 0; turn < 5; turn++) {
      const bytes = manifest(new Writer(), EPOCH, 1, 1, 3, 1, 1, 1, 0, 0);
      page(bytes, turn == 0 ? EPOCH + 1 : EPOCH, turn == 1 ? 2 : 1, turn == 2 ? 1 : 0, turn == 3 ? 2 : 1, firstPage());
      expect(errorOf(bytes)).toBe(turn == 4 ? "" : DAMAGED);
    }
  });

  it("is refused when it doesn't begin with a manifest, or has another frame among its pages", () => {
    expect(errorOf(page(new Writer(), EPOCH, 1, 0, 1, firstPage()))).toBe(DAMAGED);
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 3, 1, 1, 1, 0, 0);
    expect(errorOf(frame(bytes, 3, 0, EPOCH, 1, 0, firstPage()))).toBe(DAMAGED);
  });

  it("is refused when it deletes", () => {
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 3, 1, 1, 1, 0, 0);
    expect(errorOf(page(bytes, EPOCH, 1, 0, 1, firstPage().removeKey(1)))).toBe(DAMAGED);
  });

  it("of a newer format is called so", () => {
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 3, 1, 1, 1, 0, 0);
    const newer = firstPage();
    newer.record(99, new Writer().u32(1));
    expect(errorOf(page(bytes, EPOCH, 1, 0, 1, newer))).toBe(NEWER);
    const format = snapshot();
    store<u16>(format.start, 2, 4);
    expect(errorOf(format)).toBe(NEWER);
  });

  it("whose manifest counts too little is refused where the table is full", () => {
    const keys = new Payload();
    for (let n: u32 = 0; n < 500; n++) keys.key(n, "k", 1);
    const bytes = manifest(new Writer(), EPOCH, 1, 1, 1, 0, 0, 0, 0, 0);
    expect(errorOf(page(bytes, EPOCH, 1, 0, 1, keys))).toBe(MISCOUNTED);
  });

  it("whose manifest counts more than there is memory for, or pages than there are bytes, is refused", () => {
    expect(
      errorOf(page(manifest(new Writer(), EPOCH, 1, 1, 60_000_000, 0, 0, 0, 0, 0), EPOCH, 1, 0, 1, firstPage())),
    ).toBe(NO_MEMORY);
    expect(
      errorOf(page(manifest(new Writer(), EPOCH, 1, 1_000_000, 1, 0, 0, 0, 0, 0), EPOCH, 1, 0, 1_000_000, firstPage())),
    ).toBe(NO_MEMORY);
    const counts: StaticArray<u32> = [0xffffffff, 0x80000000, 0x7fffffff];
    for (let i = 0; i < counts.length; i++) {
      const bytes = manifest(
        new Writer(),
        EPOCH,
        1,
        1,
        counts[i],
        counts[i],
        counts[i],
        counts[i],
        counts[i],
        u64.MAX_VALUE,
      );
      errorOf(page(bytes, EPOCH, 1, 0, 1, firstPage()));
    }
  });
});
