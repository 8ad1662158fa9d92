/** The filter's reader against the golden fixtures, and against bytes that no codec would write. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { before, describe, test } from "node:test";
import fc from "fast-check";
import { decodeFrames, type DecodedFrame, type DecodeReason } from "../../control/sync/reader.ts";
import type { WireRecord } from "../../control/sync/generated/records.ts";
import { HEADER_BYTES } from "../../control/sync/wire.ts";
import { AssemblyReader, compileReader, type Verdict } from "./assemblyReader.ts";
import { encodeFrame } from "./encode.ts";
import { fixtureFolder, specFromJson } from "./golden.ts";

let reader: AssemblyReader;
before(async () => {
  reader = new AssemblyReader(await compileReader());
});

const read = (name: string): Buffer => readFileSync(new URL(name, fixtureFolder));
const names = readdirSync(fixtureFolder)
  .filter((file) => file.endsWith(".bin"))
  .map((file) => file.slice(0, -4));
const withoutBytes = ({ frameBytes: _, ...frame }: DecodedFrame) => frame;

/** What the filter makes of what the codec's reader finds. */
function verdictOf(reason: DecodeReason | undefined): Verdict {
  if (reason === undefined) return "good";
  return reason === "format" || reason === "frame_type" || reason === "record_type" ? "newer" : "broken";
}

describe("golden fixtures", () => {
  for (const name of names.filter((each) => each !== "compiled")) {
    test(name, () => {
      const golden = JSON.parse(read(`${name}.json`).toString()) as {
        frames: unknown[];
        error?: { reason: DecodeReason };
      };
      const bytes = read(`${name}.bin`);
      const { frames, verdict } = reader.decode(bytes);
      assert.deepEqual(frames.map(withoutBytes), golden.frames.map(specFromJson));
      assert.equal(verdict, verdictOf(golden.error?.reason));
      reader.assertUntouched(bytes);
    });
  }

  test("compiled, as the codec's reader reads it, and loaded as a snapshot", () => {
    const bytes = read("compiled.bin");
    const decoded = decodeFrames(bytes);
    assert.ok(decoded.ok);
    assert.deepEqual(reader.decode(bytes), { frames: decoded.frames, verdict: "good" });
    const { wasm } = reader;
    assert.equal(wasm.acceptsStandalone(reader.put(bytes), bytes.length), 1);
    assert.equal(route("api.example.com", "/search", "POST"), API_FOUND);
    assert.equal(reader.text(wasm.apiId(wasm.matchedApi.value)), "echo");
    assert.equal(reader.text(wasm.routePath(wasm.matchedRoute.value)), "/search");
    assert.equal(route("api.example.com", "/public/a", "POST"), METHOD_REFUSED);
  });
});

const sound = names
  .map((name) => read(`${name}.bin`))
  .flatMap((bytes) => {
    let offset = 0;
    return decodeFrames(bytes).frames.map(({ frameBytes }) => bytes.subarray(offset, (offset += frameBytes)));
  });
const anyFrame = fc.constantFrom(...sound);
/** Places in a frame, the head as likely as all the rest. */
const anyPlace = fc.oneof(fc.nat(HEADER_BYTES - 1), fc.nat());

describe("frames", () => {
  test("with every single bit of the head flipped are refused", () => {
    for (const frame of sound) {
      for (let bit = 0; bit < HEADER_BYTES * 8; bit++) {
        const flipped = Buffer.from(frame);
        flipped[bit >> 3]! ^= 1 << (bit & 7);
        assert.notEqual(reader.checkFrame(flipped), "good", `bit ${bit}`);
      }
    }
  });

  test("with one to three bits flipped are refused", () => {
    const flips = fc.array(fc.tuple(anyPlace, fc.nat(7)), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(anyFrame, flips, (frame, places) => {
        const flipped = Buffer.from(frame);
        for (const [place, bit] of places) flipped[place % frame.length]! ^= 1 << bit;
        fc.pre(!flipped.equals(frame));
        assert.notEqual(reader.checkFrame(flipped), "good");
        reader.assertUntouched(flipped);
      }),
      { numRuns: 3000 },
    );
  });

  test("cut off anywhere are refused", () => {
    for (const frame of sound.filter(({ length }) => length < 400)) {
      for (let bytes = 0; bytes < frame.length; bytes++)
        assert.equal(reader.checkFrame(frame.subarray(0, bytes)), "broken");
    }
    fc.assert(
      fc.property(anyFrame, fc.nat(), (frame, bytes) =>
        assert.equal(reader.checkFrame(frame.subarray(0, bytes % frame.length)), "broken"),
      ),
    );
  });

  test("are no random bytes, whatever head they have", () => {
    const head = fc.constantFrom(
      Buffer.alloc(0),
      Buffer.from("TGW1"),
      Buffer.from("TGW1\x01\0"),
      Buffer.from("TGW1\x01\0\x02\0\x08\0\0\0"),
    );
    fc.assert(
      fc.property(head, fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        const bytes = Buffer.concat([start, rest]);
        assert.notEqual(reader.checkFrame(bytes), "good");
        reader.assertUntouched(bytes);
      }),
      { numRuns: 3000 },
    );
  });
});

const API_FOUND = 1;
const METHOD_REFUSED = 2;

/** Routes a request by the table of the reader. */
function route(host: string, path: string, method: string): number {
  const [hostAt, hostBytes, pathAt, pathBytes, methodAt, methodBytes] = reader.putAside(host, path, method) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return reader.wasm.match(hostAt, hostBytes, pathAt, pathBytes, methodAt, methodBytes);
}

interface RawRecord {
  type: number;
  body: Uint8Array;
}

/** The records of the fixtures, as bytes. */
const rawRecords: RawRecord[] = sound
  .filter((frame) => frame[6] === 2 || frame[6] === 3)
  .flatMap((frame) => {
    const records: RawRecord[] = [];
    for (let at = HEADER_BYTES; at < frame.length; ) {
      const type = frame[at++]!;
      let bytes = 0;
      for (let shift = 0, more = true; more; shift += 7) {
        bytes |= (frame[at]! & 127) << shift;
        more = frame[at++]! > 127;
      }
      records.push({ type, body: frame.subarray(at, (at += bytes)) });
    }
    return records;
  });

function payloadOf(records: RawRecord[]): Buffer {
  return Buffer.concat(
    records.map(({ type, body }) => {
      const length: number[] = [];
      let rest = body.length;
      for (; rest > 127; rest >>>= 7) length.push((rest & 127) | 128);
      return Buffer.concat([Buffer.from([type, ...length, rest]), body]);
    }),
  );
}

/** A record of a fixture with some of its bytes changed, its end cut off or something appended. */
const changedRecord: fc.Arbitrary<RawRecord> = fc
  .record({
    record: fc.constantFrom(...rawRecords),
    type: fc.option(fc.constantFrom(1, 2, 3, 4, 5, 6), { freq: 12 }),
    changes: fc.array(
      fc.tuple(
        fc.nat(),
        fc.oneof(fc.constantFrom(0, 1, 2, 3, 4, 6, 47, 127, 128, 255), fc.integer({ min: 0, max: 255 })),
      ),
      { maxLength: 3 },
    ),
    cutBytes: fc.oneof({ weight: 4, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(40) }),
    tail: fc.oneof(
      { weight: 4, arbitrary: fc.constant(new Uint8Array()) },
      { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }) },
    ),
  })
  .map(({ record, type, changes, cutBytes, tail }) => {
    const body = Buffer.concat([record.body.subarray(0, Math.max(0, record.body.length - cutBytes)), tail]);
    for (const [place, value] of changes) if (body.length > 0) body[place % body.length] = value;
    return { type: type ?? record.type, body };
  });

/** Bytes that are mostly small, as counts and lengths are. */
const randomRecord: fc.Arbitrary<RawRecord> = fc.record({
  type: fc.integer({ min: 0, max: 8 }),
  body: fc
    .array(fc.oneof({ weight: 3, arbitrary: fc.nat(3) }, { weight: 1, arbitrary: fc.nat(255) }), { maxLength: 90 })
    .map((bytes) => Uint8Array.from(bytes)),
});

const anyPayload = fc
  .array(fc.oneof({ weight: 3, arbitrary: changedRecord }, { weight: 1, arbitrary: randomRecord }), {
    minLength: 1,
    maxLength: 4,
  })
  .map(payloadOf);

/** Reads, applies, looks up and uses what the filter accepts; gives its verdict. The payload lies where the memory ends. */
function live(payload: Uint8Array): Verdict {
  const { wasm } = reader;
  const at = reader.put(payload);
  const end = at + payload.length;
  const verdict = reader.checkRecords(at, end, true);
  reader.assertUntouched(payload);
  if (verdict === "good") {
    const records = reader.records(at, end);
    assert.equal(wasm.beginTable(), 1);
    assert.equal(wasm.apply(at, end), wasm.APPLIED.value);
    // What has a value that isn't known is closed where it lies; nothing else is written to, and nothing in front of it.
    const closed = records.some(({ type }) => type === "closed");
    reader.assertUntouched(closed ? reader.bytes(at, payload.length) : payload);
    assert.equal(wasm.refreshRouter(), 1);
    for (const record of closed ? reader.records(at, end) : records) use(record);
  }
  return verdict;
}

/** Does with a record what requests do, unless a later record has replaced or removed it. */
function use(record: WireRecord): void {
  const { wasm } = reader;
  if (record.type === "api") {
    const api = wasm.api(record.wireId);
    if (api !== 0) wasm.useApi(api, wasm.tier(1));
    for (const host of [...record.hosts, "none.example.com"].map((each) => each.replace("*", "any"))) {
      for (const path of [...record.paths, ...record.routes.map((each) => each.path), "/", "/orders/search/x/"]) {
        for (const method of [...record.methods, "HEAD", "REPORT"]) {
          const found = route(host, path, method);
          if (found === METHOD_REFUSED)
            assert.ok(wasm.allowedMethods(reader.putAside("x".repeat(512))[0]!, 512) <= 512);
          if (found !== API_FOUND) continue;
          reader.texts(wasm.apiScopes(wasm.matchedApi.value));
          if (wasm.matchedRoute.value !== 0) reader.texts(wasm.routeScopes(wasm.matchedRoute.value));
        }
      }
    }
  } else if (record.type === "key") {
    const [digest] = reader.putAside("0123456789abcdef") as [number];
    reader.memory.set(record.digest, digest);
    const key = wasm.key(digest);
    const consumer = wasm.consumer(record.consumer);
    const tier = wasm.tier(record.tier ?? 1);
    if (key === 0 || consumer === 0 || tier === 0) return;
    reader.claims.length = 0;
    wasm.useKey(key, consumer, tier);
    assert.deepEqual(
      reader.claims.slice(0, 3).map(([name]) => name),
      ["x-tollgate-consumer", "x-tollgate-tier", "x-tollgate-key-id"],
    );
  } else if (record.type === "limit") {
    wasm.limit(record.wireId);
  }
}

/** The router takes only paths that begin with a slash, don't end with one and have at most 48 segments. */
function routable(record: WireRecord): boolean {
  if (record.type !== "api") return true;
  const paths = [...record.paths, ...record.routes.map(({ path }) => path)];
  return paths.every(
    (path) => path === "/" || (path.startsWith("/") && !path.endsWith("/") && path.split("/").length <= 49),
  );
}

describe("records", () => {
  test("of the fixtures, each by itself where the memory ends, can be used", () => {
    for (const record of rawRecords) assert.equal(live(payloadOf([record])), "good");
  });

  test("of the fixtures, cut off anywhere, are refused", () => {
    for (const { type, body } of rawRecords.filter((each) => each.type < 128)) {
      // "longer-bodies" has one whose last bytes belong to no field
      // of a DELETE of a kind that isn't known nothing more is looked at
      const least = body.length === 29 && type === 4 ? 25 : type === 5 && body[0] === 5 ? 1 : body.length;
      for (let bytes = 0; bytes < least; bytes++)
        assert.equal(
          live(payloadOf([{ type, body: body.subarray(0, bytes) }])),
          "broken",
          `type ${type}, ${bytes} bytes`,
        );
    }
  });

  test("of which the last is cut off are refused", () => {
    for (const record of rawRecords) {
      const payload = payloadOf([record]);
      for (let bytes = 1; bytes < payload.length; bytes++) assert.equal(live(payload.subarray(0, bytes)), "broken");
    }
  });

  test("with paths that the router has no room for are refused", () => {
    const api = (path: string): Verdict => {
      const frame = encodeFrame({
        epoch: 1n,
        version: 1n,
        timeMs: 0,
        type: "page",
        index: 0,
        pageCount: 1,
        records: [
          {
            type: "api",
            wireId: 1,
            id: "deep",
            authMode: "key",
            failureMode: "closed",
            hosts: ["*"],
            paths: [path],
            methods: [],
            scopes: [],
            routes: [],
          },
        ],
      });
      return live(frame.subarray(HEADER_BYTES));
    };
    assert.equal(api("/a".repeat(48)), "good");
    assert.equal(api("/a".repeat(49)), "broken");
    for (const path of ["", "a", "a/b", "/a/"]) assert.equal(api(path), "broken", path);
  });

  test("that are accepted can be used, whatever their bytes are", () => {
    let accepted = 0;
    fc.assert(
      fc.property(anyPayload, (payload) => {
        if (live(payload) === "good") accepted++;
      }),
      { numRuns: 6000 },
    );
    assert.ok(accepted > 300, `only ${accepted} were accepted, too few to show anything`);
  });

  test("are accepted where the codec's reader accepts them, and read alike", () => {
    const stamp = { epoch: 1n, version: 2n, timeMs: 3, base: 1n, more: false, records: [] };
    fc.assert(
      fc.property(anyPayload, (payload) => {
        const frame = encodeFrame({ ...stamp, type: "delta", payload });
        const expected = decodeFrames(frame);
        const actual = reader.decode(frame);
        const [delta] = expected.frames;
        if (expected.ok && delta?.type === "delta" && delta.records.every(routable))
          assert.deepEqual(actual, { frames: expected.frames, verdict: "good" });
        // its values are looked at less closely, but nothing may reach out of its bounds
        else if (!expected.ok && expected.error.reason !== "value") assert.notEqual(actual.verdict, "good");
        reader.assertUntouched(frame);
      }),
      { numRuns: 6000 },
    );
  });
});
