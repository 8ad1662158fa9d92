import { API, AUTH_KEY, AUTH_LAST, CONSUMER, DELETE, KEY, LIMIT, TIER } from "../../../assembly/wire/enums";
import {
  afterAddresses,
  afterIds,
  afterTexts,
  count,
  first,
  hasId,
  hasText,
  next,
  text,
  textBytes,
} from "../../../assembly/wire/lists";
import { readRecord, recordBody, recordEnd, recordType } from "../../../assembly/wire/recordHead";
import {
  API_HAS_JWT,
  AUTH_CLOSED,
  CONSUMER_CLOSED,
  KEY_CLOSED,
  KEY_HAS_ADDRESSES,
  KEY_HAS_APIS,
  KEY_HAS_LIMITS,
  SUBJECT_CLOSED,
  TIER_CLOSED,
  apiAuthMode,
  consumerFlags,
  keyConsumer,
  keyFields,
  keyFlags,
  keyId,
  keyIdBytes,
  limitSubject,
  tierApis,
  tierFlags,
} from "../../../assembly/wire/records";
import { closeUnknown, hasUnknown, validRecord } from "../../../assembly/wire/validate";
import { ascii } from "../../../assembly/lib/text";
import {
  ApiSpec,
  CorsSpec,
  RouteSpec,
  Writer,
  consumerBody,
  deleteBody,
  deleteKeyBody,
  digestOf,
  keyBody,
  limitBody,
  textAt,
  tierBody,
} from "./wire";

function valid(type: u32, body: Writer): bool {
  return validRecord(type, body.start, body.at);
}

/** The body with every length from 0 to the whole: the shortest that is valid. */
function leastValid(type: u32, body: Writer): u32 {
  for (let bytes: u32 = 0; bytes <= body.bytes; bytes++) {
    // A copy whose end is followed by 0xff, so that counts read beyond it would be great ones.
    const copy = heap.alloc(body.bytes + 64);
    memory.fill(copy, 0xff, body.bytes + 64);
    memory.copy(copy, body.start, bytes);
    const good = validRecord(type, copy, copy + bytes);
    heap.free(copy);
    if (good) return bytes;
  }
  return 0xffffffff;
}

function fullApi(): ApiSpec {
  const api = new ApiSpec(7, "orders");
  api.hosts = ["api.example.com", "*.example.org"];
  api.paths = ["/orders", "/v2/orders"];
  api.methods = ["GET"];
  api.scopes = ["read"];
  api.routes = [new RouteSpec("/orders/search", ["POST"], ["search"], 5), new RouteSpec("/", [], [], 0)];
  api.cors = new CorsSpec(["https://a.example.com"]);
  return api;
}

const EVERY_FIELD: u32 = 4 | 8 | 16 | 32 | 64 | 128;

function fullKey(): Writer {
  const fields = new Writer().u64(1).u64(2).u32(3);
  fields.u8(2).u8(4).u8(8).u32(10).u8(6).u8(128).u64(1).u64(2);
  fields.ids([1, 2]).strs(["read"]);
  return keyBody(digestOf(1), "key", 1, EVERY_FIELD, fields);
}

function keyWithAddress(family: u32, prefixBits: u32): bool {
  const fields = new Writer().u8(1).u8(family).u8(prefixBits).u64(0).u64(0);
  return valid(KEY, keyBody(digestOf(1), "key", 1, 32, fields));
}

function withPath(path: string): bool {
  const api = new ApiSpec(1);
  api.paths = [path];
  const own = valid(API, api.body());
  api.paths = ["/"];
  api.routes = [new RouteSpec(path)];
  expect(valid(API, api.body())).toBe(own, "a route's path follows the same rules");
  return own;
}

function deep(segments: i32): string {
  return "/a".repeat(segments);
}

describe("a record's head", () => {
  it("is a type, a length and the body", () => {
    const w = new Writer().u8(4).u8(3).u8(9).u8(9).u8(9);
    expect(readRecord(w.start, w.at)).toBeTruthy();
    expect(recordType).toBe(4);
    expect(recordBody).toBe(w.start + 2);
    expect(recordEnd).toBe(w.at);
  });

  it("may have lengths of up to five bytes, also longer than needed", () => {
    const w = new Writer().u8(1).varint(300);
    w.take(300);
    expect(readRecord(w.start, w.at)).toBeTruthy();
    expect(recordEnd - recordBody).toBe(300);

    const padded = new Writer().u8(1).u8(0x81).u8(0x80).u8(0x80).u8(0x80).u8(0).u8(7);
    expect(readRecord(padded.start, padded.at)).toBeTruthy();
    expect(recordBody).toBe(padded.start + 6);
    expect(recordEnd).toBe(padded.at);
  });

  it("is refused when it or its body isn't there", () => {
    const w = new Writer().u8(4).u8(3).u8(9).u8(9).u8(9);
    for (let bytes: u32 = 0; bytes < w.bytes; bytes++) expect(readRecord(w.start, w.start + bytes)).toBeFalsy();
    const cut = new Writer().u8(4).u8(0x80).u8(0x80);
    expect(readRecord(cut.start, cut.at)).toBeFalsy();
  });

  it("is refused with a length of more than 32 bits or six bytes", () => {
    const endless = new Writer().u8(4).u8(0x80).u8(0x80).u8(0x80).u8(0x80).u8(0x80).u8(0).u8(0);
    expect(readRecord(endless.start, endless.at)).toBeFalsy();
    const great = new Writer().u8(4).u8(0x80).u8(0x80).u8(0x80).u8(0x80).u8(0x10).u8(0);
    expect(readRecord(great.start, great.at)).toBeFalsy();
    const greatest = new Writer().u8(4).u8(0xff).u8(0xff).u8(0xff).u8(0xff).u8(0x0f).u8(0);
    expect(readRecord(greatest.start, greatest.at)).toBeFalsy();
  });
});

describe("lists", () => {
  it("of texts are walked, searched and passed over", () => {
    const w = new Writer().strs(["read", "", "écrit", "read"]).u8(0x77);
    const list = w.start;
    expect(count(list)).toBe(4);
    let item = first(list);
    expect(textAt(text(item), textBytes(item))).toBe("read");
    item = next(item);
    expect(textBytes(item)).toBe(0);
    item = next(item);
    expect(textAt(text(item), textBytes(item))).toBe("écrit");
    expect(load<u8>(afterTexts(list))).toBe(0x77);
    expect(hasText(list, changetype<usize>(ascii("read")), 4)).toBeTruthy();
    expect(hasText(list, changetype<usize>(ascii("rea")), 3)).toBeFalsy();
    expect(hasText(list, changetype<usize>(ascii("reads")), 5)).toBeFalsy();
    expect(hasText(list, changetype<usize>(ascii("")), 0)).toBeTruthy();
    const none = new Writer().strs([]).u8(0x78);
    expect(hasText(none.start, 0, 0)).toBeFalsy();
    expect(load<u8>(afterTexts(none.start))).toBe(0x78);
  });

  it("of ids are searched and passed over", () => {
    const w = new Writer().ids([1, 0xffffffff, 7]).u8(0x77);
    expect(hasId(w.start, 7)).toBeTruthy();
    expect(hasId(w.start, 0xffffffff)).toBeTruthy();
    expect(hasId(w.start, 2)).toBeFalsy();
    expect(load<u8>(afterIds(w.start))).toBe(0x77);
    const none = new Writer().ids([]).u8(0x78);
    expect(hasId(none.start, 0)).toBeFalsy();
    expect(load<u8>(afterIds(none.start))).toBe(0x78);
  });

  it("of addresses are passed over", () => {
    const w = new Writer().u8(3).u8(4).u8(8).u32(10).u8(6).u8(64).u64(1).u64(2).u8(4).u8(0).u32(0).u8(0x77);
    expect(load<u8>(afterAddresses(w.start))).toBe(0x77);
  });
});

describe("a key's fixed fields", () => {
  it("are where the wire has them", () => {
    const body = keyBody(digestOf(1), "acme-1", 0xfffffffe, 0x83, new Writer().strs([]));
    expect(keyConsumer(body.start)).toBe(0xfffffffe);
    expect(keyFlags(body.start)).toBe(0x83);
    expect(textAt(keyId(body.start), keyIdBytes(body.start))).toBe("acme-1");
    expect(keyFields(body.start)).toBe(body.start + 30);
  });
});

describe("a valid record", () => {
  it("of each type, with all fields, is valid as a whole and with more behind it", () => {
    const bodies: Writer[] = [
      fullApi().body(),
      tierBody(1, "bronze", ["read"], [1, 2]),
      consumerBody(1, "acme", 1, ["org", "acme", "plan", "gold"]),
      fullKey(),
      deleteBody(TIER, 1),
      limitBody(1, "minute"),
    ];
    for (let i = 0; i < bodies.length; i++) {
      const type = API + i;
      expect(valid(type, bodies[i])).toBeTruthy(`type ${type}`);
      expect(leastValid(type, bodies[i])).toBe(bodies[i].bytes, `type ${type} cut off`);
      bodies[i].u32(0xffffffff).u32(0xffffffff);
      expect(valid(type, bodies[i])).toBeTruthy(`type ${type} with more behind it`);
    }
    expect(leastValid(DELETE, deleteKeyBody(digestOf(1)))).toBe(17);
  });

  it("of each type, with as little as can be", () => {
    const api = new ApiSpec(1, "");
    api.hosts = [];
    api.paths = [];
    expect(valid(API, api.body())).toBeTruthy();
    expect(valid(TIER, tierBody(1, "", []))).toBeTruthy();
    expect(valid(CONSUMER, consumerBody(1, "", 0))).toBeTruthy();
    expect(valid(KEY, keyBody(digestOf(0), "", 1))).toBeTruthy();
    expect(valid(LIMIT, limitBody(1, ""))).toBeTruthy();
  });

  it("with each optional field of a key alone ends with it", () => {
    const fields: Writer[] = [
      new Writer().u64(1),
      new Writer().u64(1),
      new Writer().u32(1),
      new Writer().u8(1).u8(4).u8(8).u32(10),
      new Writer().ids([1, 2, 3]),
      new Writer().strs(["a", "bc"]),
    ];
    for (let i = 0; i < fields.length; i++) {
      const body = keyBody(digestOf(1), "k", 1, 4 << i, fields[i]);
      expect(leastValid(KEY, body)).toBe(body.bytes, `bit ${i + 2}`);
    }
  });
});

describe("a record is refused", () => {
  it("of an unknown type", () => {
    const body = new Writer().u64(1).u64(1).u64(1).u64(1).u64(1).u64(1).u64(1).u64(1);
    expect(valid(0, body)).toBeFalsy();
    expect(valid(8, body)).toBeFalsy();
    expect(valid(128, body)).toBeFalsy();
    expect(valid(0xffffffff, body)).toBeFalsy();
  });

  it("with a wire id of 0", () => {
    expect(valid(API, new ApiSpec(0).body())).toBeFalsy();
    expect(valid(TIER, tierBody(0, "t", []))).toBeFalsy();
    expect(valid(CONSUMER, consumerBody(0, "c", 1))).toBeFalsy();
    expect(valid(LIMIT, limitBody(0, "l"))).toBeFalsy();
    expect(valid(KEY, keyBody(digestOf(1), "k", 0))).toBeFalsy();
    expect(valid(DELETE, deleteBody(API, 0))).toBeFalsy();
    expect(valid(CONSUMER, consumerBody(1, "c", 0))).toBeTruthy("no tier is a tier of 0");
  });

  it("with a path that can't be routed", () => {
    expect(withPath("/")).toBeTruthy();
    expect(withPath("/a/b")).toBeTruthy();
    expect(withPath(deep(48))).toBeTruthy();
    expect(withPath(deep(49))).toBeFalsy();
    expect(withPath("")).toBeFalsy();
    expect(withPath("a")).toBeFalsy();
    expect(withPath("/a/")).toBeFalsy();
    expect(withPath("//")).toBeFalsy();
    expect(withPath("*")).toBeFalsy();
  });

  it("with an address that is none", () => {
    expect(keyWithAddress(4, 0)).toBeTruthy();
    expect(keyWithAddress(4, 32)).toBeTruthy();
    expect(keyWithAddress(4, 33)).toBeFalsy();
    expect(keyWithAddress(6, 0)).toBeTruthy();
    expect(keyWithAddress(6, 128)).toBeTruthy();
    expect(keyWithAddress(6, 129)).toBeFalsy();
  });

  it("that deletes a key by less than its digest", () => {
    expect(valid(DELETE, deleteBody(KEY, 1))).toBeFalsy();
  });

  it("whatever count or length in it is the greatest", () => {
    const bodies: Writer[] = [
      fullApi().body(),
      tierBody(1, "b", ["r"], [1]),
      consumerBody(1, "a", 1, ["o", "a"]),
      fullKey(),
    ];
    for (let i = 0; i < bodies.length; i++) {
      const body = bodies[i];
      // Never a trap; and where two bytes are a count or a length, 0xffff of them aren't there.
      for (let at = body.start; at + 1 < body.at; at++) {
        const was = load<u16>(at);
        store<u16>(at, 0xffff);
        valid(API + i, body);
        store<u16>(at, was);
      }
      expect(valid(API + i, body)).toBeTruthy();
    }
    const scopes = tierBody(1, "b", ["r"], [1]);
    store<u16>(scopes.start + 11, 0xffff);
    expect(valid(TIER, scopes)).toBeFalsy();
    const id = tierBody(1, "b", ["r"], [1]);
    store<u16>(id.start + 8, 0xffff);
    expect(valid(TIER, id)).toBeFalsy();
    const apis = tierBody(1, "b", ["r"], [1]);
    store<u16>(apis.start + 16, 0xffff);
    expect(valid(TIER, apis)).toBeFalsy();
  });
});

/** Closes a valid record; whether it had a value that isn't known. */
function closes(type: u32, body: Writer): bool {
  expect(valid(type, body)).toBeTruthy("it's no reason to refuse the frame");
  const unknown = hasUnknown(type, body.start);
  closeUnknown(type, body.start);
  return unknown;
}

describe("a value that isn't known closes the record that has it:", () => {
  it("an API's auth mode stays for the ladder to refuse, its other values make it refuse everyone", () => {
    for (let mode: u8 = 0; mode < 12; mode++) {
      const body = new ApiSpec(1).body();
      store<u8>(body.start, mode, 4);
      expect(closes(API, body)).toBe(mode > AUTH_LAST);
      expect(apiAuthMode(body.start)).toBe(mode);
    }
    for (let mode: u8 = 0; mode < 6; mode++) {
      const body = new ApiSpec(1).body();
      store<u8>(body.start, mode, 5);
      expect(closes(API, body)).toBe(mode > 2);
      expect(apiAuthMode(body.start)).toBe(mode > 2 ? AUTH_CLOSED : AUTH_KEY);
    }
  });

  it("an API's flags, one by one", () => {
    for (let bit: u32 = 0; bit < 16; bit++) {
      if (bit == 0 || bit == 4) continue;
      const body = new ApiSpec(1).body();
      store<u16>(body.start, <u16>((<u32>1) << bit), 6);
      expect(closes(API, body)).toBe(bit > 4);
      expect(apiAuthMode(body.start)).toBe(bit > 4 ? AUTH_CLOSED : AUTH_KEY);
    }
    const legacy = new ApiSpec(1).body();
    store<u16>(legacy.start, 12, 6);
    expect(closes(API, legacy)).toBeTruthy();
  });

  it("an API's flags of tokens", () => {
    for (let flags: u8 = 0; flags < 4; flags++) {
      const body = new ApiSpec(1).body();
      store<u16>(body.start, <u16>API_HAS_JWT, 6);
      body.strs(["https://login.example.com"]).u16(1).strs([]).strs(["sub"]).str("").str("").u8(flags);
      expect(closes(API, body)).toBe(flags > 1);
    }
  });

  it("a tier's flags leave it no API", () => {
    const body = tierBody(1, "b", ["r"], [7]);
    expect(closes(TIER, body)).toBeFalsy();
    store<u32>(body.start, 2, 4);
    expect(closes(TIER, body)).toBeTruthy();
    expect(tierFlags(body.start)).toBe(TIER_CLOSED);
    expect(count(tierApis(body.start))).toBe(0);
  });

  it("a consumer's flags suspend it, and what it has stays readable", () => {
    const body = consumerBody(1, "c", 1, ["org", "acme"]);
    expect(closes(CONSUMER, body)).toBeFalsy();
    store<u16>(body.start, 4, 8);
    expect(closes(CONSUMER, body)).toBeTruthy();
    expect(consumerFlags(body.start) & CONSUMER_CLOSED).toBe(CONSUMER_CLOSED);
    expect(valid(CONSUMER, body)).toBeTruthy();
  });

  it("a key's state, flags and digest algorithm", () => {
    for (let state: u32 = 0; state < 4; state++)
      expect(closes(KEY, keyBody(digestOf(1), "k", 1, state))).toBe(state == 3);
    for (let bit: u32 = 8; bit < 16; bit++) {
      const body = keyBody(digestOf(1), "k", 1, 1 << bit);
      expect(closes(KEY, body)).toBe(bit > 8);
      expect(keyFlags(body.start)).toBe(bit > 8 ? KEY_CLOSED : KEY_HAS_LIMITS);
    }
    const imported = keyBody(digestOf(1), "k", 1);
    store<u8>(imported.start, 9, 22);
    expect(closes(KEY, imported)).toBeTruthy();
  });

  it("a key's networks, behind which nothing can be read any more", () => {
    for (let family: u32 = 0; family < 10; family++) {
      // Further fields are announced, and are not there.
      const body = keyBody(
        digestOf(1),
        "k",
        1,
        KEY_HAS_ADDRESSES | (family == 4 || family == 6 ? 0 : KEY_HAS_APIS),
        new Writer().u8(1).u8(family).u8(8).u64(0).u64(0),
      );
      expect(closes(KEY, body)).toBe(family != 4 && family != 6);
      if (family != 4 && family != 6) expect(keyFlags(body.start)).toBe(KEY_CLOSED);
    }
  });

  it("a limit's owner, kind, subject, flags and period", () => {
    for (let place: u32 = 4; place < 8; place++) {
      const body = limitBody(1, "minute");
      expect(closes(LIMIT, body)).toBeFalsy();
      store<u8>(body.start + place, 0x60);
      expect(closes(LIMIT, body)).toBeTruthy();
      expect(limitSubject(body.start)).toBe(SUBJECT_CLOSED);
    }
    const month = limitBody(1, "minute");
    store<u8>(month.start, 4, 28);
    expect(closes(LIMIT, month)).toBeTruthy();
    const none = limitBody(1, "minute");
    store<u8>(none.start, 0, 6);
    expect(closes(LIMIT, none)).toBeTruthy();
  });

  it("a DELETE of an unknown kind concerns nothing that is here", () => {
    for (let kind: u32 = 0; kind < 40; kind++) {
      const body = new Writer().u8(kind).raw(digestOf(1), 16);
      store<u32>(body.start, 1, 1);
      expect(closes(DELETE, body)).toBe(
        kind != API && kind != TIER && kind != CONSUMER && kind != KEY && kind != LIMIT,
        `kind ${kind}`,
      );
    }
    expect(closes(DELETE, new Writer().u8(7))).toBeTruthy();
  });
});
