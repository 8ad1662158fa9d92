import {
  addresses,
  addressesEnd,
  expiresAtMs,
  notBeforeMs,
  openKey,
  ownApis,
  ownScopes,
  ownTier,
} from "../../../assembly/wire/keyFields";
import { count } from "../../../assembly/wire/lists";
import { Writer, digestOf, keyBody } from "./wire";

function open(flags: u32, fields: Writer): usize {
  const body = keyBody(digestOf(1), "acme-1", 1, flags, fields);
  openKey(body.start);
  return body.start + 30;
}

describe("a key's optional fields", () => {
  it("are none in a plain key, whatever its state is, and whatever the key before it had", () => {
    open(0xfc, new Writer().u64(1).u64(2).u32(3).u8(1).u8(4).u8(8).u32(10).ids([1]).strs(["a"]));
    for (let state: u32 = 0; state < 3; state++) {
      open(state, new Writer().u64(u64.MAX_VALUE).u64(u64.MAX_VALUE));
      expect(notBeforeMs).toBe(0);
      expect(expiresAtMs).toBe(0);
      expect(ownTier).toBe(0);
      expect(addresses).toBe(0);
      expect(ownApis).toBe(0);
      expect(ownScopes).toBe(0);
    }
  });

  it("are all read, in the order of their flags", () => {
    const at = open(
      0xfe,
      new Writer()
        .u64(1)
        .u64(u64.MAX_VALUE)
        .u32(3)
        .u8(2)
        .u8(4)
        .u8(8)
        .u32(10)
        .u8(6)
        .u8(1)
        .u64(0)
        .u64(0)
        .ids([5, 6])
        .strs(["a", "b", "c"]),
    );
    expect(notBeforeMs).toBe(1);
    expect(expiresAtMs).toBe(u64.MAX_VALUE);
    expect(ownTier).toBe(3);
    expect(addresses).toBe(at + 20);
    expect(addressesEnd).toBe(at + 20 + 25);
    expect(ownApis).toBe(at + 45);
    expect(count(ownApis)).toBe(2);
    expect(ownScopes).toBe(at + 45 + 10);
    expect(count(ownScopes)).toBe(3);
  });

  it("are read one by one, in any combination", () => {
    for (let set: u32 = 0; set < 64; set++) {
      const fields = new Writer();
      if (set & 1) fields.u64(11);
      if (set & 2) fields.u64(12);
      if (set & 4) fields.u32(13);
      if (set & 8) fields.u8(1).u8(4).u8(8).u32(10);
      if (set & 16) fields.ids([14]);
      if (set & 32) fields.strs(["x"]);
      open(set << 2, fields);
      expect(notBeforeMs).toBe(set & 1 ? 11 : 0);
      expect(expiresAtMs).toBe(set & 2 ? 12 : 0);
      expect(ownTier).toBe(set & 4 ? 13 : 0);
      expect(addresses != 0).toBe((set & 8) != 0);
      if (set & 8) expect(load<u8>(addresses, 1)).toBe(4);
      expect(ownApis != 0).toBe((set & 16) != 0);
      if (set & 16) expect(load<u32>(ownApis, 2)).toBe(14);
      expect(ownScopes != 0).toBe((set & 32) != 0);
      if (set & 32) expect(load<u8>(ownScopes, 4)).toBe(0x78);
    }
  });

  it("may be empty lists, which are not the same as none", () => {
    open(0xe0, new Writer().u8(0).ids([]).strs([]));
    expect(addresses).not.toBe(0);
    expect(addressesEnd).toBe(addresses + 1);
    expect(count(ownApis)).toBe(0);
    expect(count(ownScopes)).toBe(0);
  });
});
