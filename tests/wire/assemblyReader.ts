/** The filter's own reader of the wire (tests/wasm/wire.ts), its findings as the plain objects that the codec's reader gives. */
import { readFileSync } from "node:fs";
import asc from "assemblyscript/asc";
import { cidrText } from "../../control/domain/cidr.ts";
import type { LeaseAnswer } from "../../control/counters/model.ts";
import { type DecodedFrame, decodeFrames } from "../../control/sync/reader.ts";
import type {
  ApiRecord,
  ConsumerRecord,
  DeleteRecord,
  KeyRecord,
  LimitRecord,
  TierRecord,
  WireCors,
  WireJwt,
  WireRecord,
  WireRoute,
} from "../../control/sync/generated/records.ts";
import {
  authModeNames as authModes,
  failureModeNames as failureModes,
  keyStateNames as keyStates,
  legacyHeadersNames as legacyHeaders,
  limitKindNames as limitKinds,
  periodNames as periods,
  subjectNames as subjects,
} from "../../control/sync/generated/records.ts";
import { frameCodes, HEADER_BYTES, nameOf } from "../../control/sync/wire.ts";
import { deleteKinds, NO_ROUTE, ownerKinds, recordCodes, tokenVerdicts } from "../../protocol/enums.ts";
import type { WireTokenAnswer } from "../../control/sync/tokenPayload.ts";

type Read = (at: number) => number;
type ReadLong = (at: number) => bigint;
type Variable<T> = { readonly value: T };

interface WireExports {
  memory: WebAssembly.Memory & { grow(pages: number): number };
  checkFrame(at: number, bytes: number): number;
  frameType: Read;
  frameBytes: Read;
  frameHasMore: Read;
  frameEpoch(at: number): bigint;
  frameVersion(at: number): bigint;
  frameBase(at: number): bigint;
  pageIndex: Read;
  pageCount: Read;
  manifestCount(at: number, which: number): bigint;
  checkRecords(at: number, end: number, deletes: boolean): number;
  hasUnknown(type: number, body: number): number;
  readRecord(at: number, end: number): number;
  count: Read;
  first: Read;
  next: Read;
  text: Read;
  textBytes: Read;
  afterTexts: Read;
  afterIds: Read;
  afterAddresses: Read;
  apiId: Read;
  apiScopes: Read;
  apiCors: Read;
  routePath: Read;
  routeMethods: Read;
  routeScopes: Read;
  keyConsumer: Read;
  consumerIdentities: Read;
  apiJwt: Read;
  jwtIssuers: Read;
  jwtAudiences: Read;
  jwtConsumerClaims: Read;
  jwtTierClaim: Read;
  jwtScopeClaim: Read;
  jwtAdmitsUnknown: Read;
  keyFlags: Read;
  keyId: Read;
  keyIdBytes: Read;
  openKey(key: number): void;
  beginTable(): number;
  apply(at: number, end: number): number;
  refreshRouter(): number;
  key: Read;
  consumer: Read;
  tier: Read;
  api: Read;
  limit: Read;
  match(host: number, hostBytes: number, path: number, pathBytes: number, method: number, methodBytes: number): number;
  allowedMethods(out: number, max: number): number;
  acceptsStandalone(at: number, bytes: number): number;
  useApi(api: number, tier: number): void;
  useKey(key: number, consumer: number, tier: number): void;
  APPLIED: Variable<number>;
  recordType: Variable<number>;
  recordBody: Variable<number>;
  recordEnd: Variable<number>;
  addresses: Variable<number>;
  addressesEnd: Variable<number>;
  notBeforeMs: Variable<bigint>;
  expiresAtMs: Variable<bigint>;
  ownTier: Variable<number>;
  ownApis: Variable<number>;
  ownScopes: Variable<number>;
  answerVerdict: Read;
  tokensWhole(at: number, end: number, count: number): number;
  tokenVerdict: Read;
  tokenRefreshMs: ReadLong;
  tokenExpiresMs: ReadLong;
  tokenText: Read;
  tokenBytes: Read;
  answerGeneration: Read;
  answerGranted: ReadLong;
  answerStartMs: ReadLong;
  answerEndMs: ReadLong;
  answerLeaseEndMs: ReadLong;
  answerRemaining: ReadLong;
  answerUntilMs: ReadLong;
  answerShare: ReadLong;
  answerShareUntilMs: ReadLong;
  matchedApi: Variable<number>;
  matchedRoute: Variable<number>;
}

export type Verdict = "good" | "broken" | "newer";
const verdicts: readonly Verdict[] = ["good", "broken", "newer"];

/** Behind the heap, where the memory ends, lie the bytes that are read: whoever reads past them traps. In front of them is other input. */
const EDGE_BYTES = 17 << 16;
const ASIDE_BYTES = 3 << 16;
const GUARD = 0xa5;
const GUARD_BYTES = 4096;

/** Compiles tests/wasm/wire.ts to build/wire.wasm. */
export async function compileReader(): Promise<WebAssembly.Module> {
  const { error, stderr } = await asc.main(["--config", "tests/wasm/wire.asconfig.json"]);
  if (error !== null) throw new Error(`tests/wasm/wire.ts doesn't compile: ${error.message}\n${stderr.toString()}`);
  return new WebAssembly.Module(readFileSync("build/wire.wasm"));
}

export class AssemblyReader {
  readonly wasm: WireExports;
  /** The claims that were set last, as a host would see them. */
  readonly claims: [name: string, value: string][] = [];
  readonly #edge: number;
  #put = 0;

  constructor(module: WebAssembly.Module) {
    const addHeader = (_map: number, name: number, nameBytes: number, value: number, valueBytes: number): number => {
      this.claims.push([this.string(name, nameBytes), this.string(value, valueBytes)]);
      return 0;
    };
    const instance = new WebAssembly.Instance(module, { env: { proxy_add_header_map_value: addHeader } });
    this.wasm = instance.exports as unknown as WireExports;
    this.wasm.memory.grow((EDGE_BYTES + ASIDE_BYTES) >> 16);
    this.#edge = this.wasm.memory.buffer.byteLength - EDGE_BYTES;
    this.memory.fill(GUARD, this.#edge);
  }

  get memory(): Buffer {
    return Buffer.from(this.wasm.memory.buffer);
  }

  /** Puts bytes where the memory ends, in place of those before; gives their address. */
  put(bytes: Uint8Array): number {
    const memory = this.memory;
    if (bytes.length + GUARD_BYTES > EDGE_BYTES)
      throw new RangeError(`${bytes.length} bytes, there is room for ${EDGE_BYTES - GUARD_BYTES}`);
    memory.fill(GUARD, memory.length - Math.max(bytes.length, this.#put));
    memory.set(bytes, memory.length - bytes.length);
    this.#put = bytes.length;
    return memory.length - bytes.length;
  }

  /** Puts texts one after another elsewhere; gives the address and the bytes of each. */
  putAside(...texts: string[]): number[] {
    let at = this.#edge - ASIDE_BYTES;
    const places: number[] = [];
    for (const bytes of texts.map((text) => Buffer.from(text))) {
      if (at + bytes.length > this.#edge) throw new RangeError("more than there is room for");
      this.memory.set(bytes, at);
      places.push(at, bytes.length);
      at += bytes.length;
    }
    return places;
  }

  /** Fails when the bytes that were put, or those in front of them, were written to. */
  assertUntouched(bytes: Uint8Array): void {
    const memory = this.memory;
    const start = memory.length - bytes.length;
    if (!memory.subarray(start).equals(bytes)) throw new Error("the frame was written to");
    if (!memory.subarray(start - GUARD_BYTES, start).every((byte) => byte === GUARD))
      throw new Error("written in front of the frame");
  }

  /** Reads bytes of the memory; fails past its end. */
  bytes(at: number, count: number): Buffer {
    const memory = this.memory;
    if (at >>> 0 !== at || at + count > memory.length)
      throw new RangeError(`${count} bytes at ${at}, the memory has ${memory.length}`);
    return Buffer.from(memory.subarray(at, at + count));
  }

  string(at: number, count: number): string {
    return this.bytes(at, count).toString();
  }

  checkFrame(frame: Uint8Array): Verdict {
    return verdicts[this.wasm.checkFrame(this.put(frame), frame.length)]!;
  }

  checkRecords(at: number, end: number, deletes: boolean): Verdict {
    return verdicts[this.wasm.checkRecords(at, end, deletes)]!;
  }

  /** Reads frames that follow one another, up to the first that isn't good. */
  decode(bytes: Uint8Array): { frames: DecodedFrame[]; verdict: Verdict } {
    const frames: DecodedFrame[] = [];
    const { wasm } = this;
    let at = this.put(bytes);
    const end = at + bytes.length;
    while (at < end) {
      const state = verdicts[wasm.checkFrame(at, end - at)]!;
      if (state !== "good") return { frames, verdict: state };
      const type = nameOf(frameCodes, wasm.frameType(at))!;
      const from = at + HEADER_BYTES;
      const frameBytes = wasm.frameBytes(at);
      if (type === "page" || type === "delta") {
        const records = this.checkRecords(from, at + frameBytes, type === "delta");
        if (records !== "good") return { frames, verdict: records };
      }
      frames.push(this.#frame(at, type, frameBytes));
      at += frameBytes;
    }
    return { frames, verdict: "good" };
  }

  #frame(at: number, type: keyof typeof frameCodes, frameBytes: number): DecodedFrame {
    const { wasm } = this;
    const stamp = {
      epoch: BigInt.asUintN(64, wasm.frameEpoch(at)),
      version: BigInt.asUintN(64, wasm.frameVersion(at)),
      timeMs: this.#u64(at + 40),
      frameBytes,
    };
    const records = (): WireRecord[] => this.records(at + HEADER_BYTES, at + frameBytes);
    switch (type) {
      case "manifest": {
        const [pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount, totalBytes] = [
          0, 1, 2, 3, 4, 5, 6,
        ].map((i) => Number(wasm.manifestCount(at, i))) as [number, number, number, number, number, number, number];
        return {
          ...stamp,
          type,
          current: BigInt.asUintN(64, wasm.frameBase(at)),
          counts: { pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount, totalBytes },
        };
      }
      case "page":
        return { ...stamp, type, index: wasm.pageIndex(at), pageCount: wasm.pageCount(at), records: records() };
      case "delta":
        return {
          ...stamp,
          type,
          base: BigInt.asUintN(64, wasm.frameBase(at)),
          more: wasm.frameHasMore(at) !== 0,
          records: records(),
        };
      case "heartbeat":
        return { ...stamp, type };
      case "recall":
        return {
          ...stamp,
          type,
          counters: this.#entries(at, 28).map((entry) => ({
            wireId: this.#u32(entry),
            subject: this.bytes(entry + 4, 16).toString("hex"),
            windowStartMs: this.#u64(entry + 20),
          })),
        };
      case "leasesAnswer":
        return {
          ...stamp,
          type,
          lane: BigInt.asUintN(64, wasm.frameBase(at)),
          answers: this.#entries(at, 72).map((entry) => this.#answer(entry)),
        };
      case "tokensAnswer":
        return {
          ...stamp,
          type,
          lane: BigInt.asUintN(64, wasm.frameBase(at)),
          answers: this.#tokens(at, at + frameBytes),
        };
      case "usageAnswer":
        return { ...stamp, type, lane: BigInt.asUintN(64, wasm.frameBase(at)) };
      case "leases":
      case "usage":
      case "tokens":
        // The filter writes these and never reads them.
        return decodeFrames(this.bytes(at, frameBytes)).frames[0]!;
    }
  }

  /** Where the entries of a payload lie that begins with their count. */
  #entries(frame: number, entryBytes: number): number[] {
    return Array.from(
      { length: this.#u32(frame + HEADER_BYTES) },
      (_, index) => frame + HEADER_BYTES + 8 + index * entryBytes,
    );
  }

  /** Answers of calls for tokens, one after another. */
  #tokens(frame: number, end: number): WireTokenAnswer[] {
    const { wasm } = this;
    let at = frame + HEADER_BYTES + 8;
    const count = this.#u32(frame + HEADER_BYTES);
    if (wasm.tokensWhole(at, end, count) === 0) throw new Error("the answers don't fill the frame");
    return Array.from({ length: count }, () => {
      const token = this.string(wasm.tokenText(at), wasm.tokenBytes(at));
      const answer: WireTokenAnswer = {
        id: this.bytes(at, 16).toString("hex"),
        verdict: tokenVerdicts[wasm.tokenVerdict(at)]!,
        refreshAtMs: Number(wasm.tokenRefreshMs(at)),
        expiresAtMs: Number(wasm.tokenExpiresMs(at)),
        token,
      };
      at = wasm.tokenText(at) + wasm.tokenBytes(at);
      return answer;
    });
  }

  #answer(at: number): LeaseAnswer {
    const { wasm } = this;
    const long = (read: ReadLong): number => Number(BigInt.asUintN(64, read(at)));
    return {
      verdict: wasm.answerVerdict(at) as LeaseAnswer["verdict"],
      generation: wasm.answerGeneration(at) >>> 0,
      granted: long(wasm.answerGranted),
      windowStartMs: long(wasm.answerStartMs),
      windowEndMs: long(wasm.answerEndMs),
      leaseEndMs: long(wasm.answerLeaseEndMs),
      remaining: long(wasm.answerRemaining),
      untilMs: long(wasm.answerUntilMs),
      share: long(wasm.answerShare),
      shareUntilMs: long(wasm.answerShareUntilMs),
    };
  }

  /** Reads records that `checkRecords` found good. */
  records(at: number, end: number): WireRecord[] {
    const { wasm } = this;
    const records: WireRecord[] = [];
    while (at < end) {
      if (wasm.readRecord(at, end) === 0) throw new Error("no record where checkRecords saw one");
      const body = wasm.recordBody.value;
      at = wasm.recordEnd.value;
      records.push(this.#record(wasm.recordType.value, body, at));
    }
    return records;
  }

  #record(code: number, body: number, end: number): WireRecord {
    const type = nameOf(recordCodes, code);
    if (type !== undefined && this.wasm.hasUnknown(code, body) !== 0)
      return { type: "closed", of: type, body: new Uint8Array(this.bytes(body, end - body)) };
    switch (type) {
      case "api":
        return this.#api(body);
      case "tier":
        return this.#tier(body);
      case "consumer":
        return this.#consumer(body);
      case "key":
        return this.#key(body);
      case "delete":
        return this.#delete(body);
      case "limit":
        return this.#limit(body);
      case "counter":
        return {
          type: "counter",
          wireId: this.#u32(body),
          generation: this.#u32(body + 4),
          subject: this.bytes(body + 8, 16).toString("hex"),
        };
      case undefined:
        return { type: "other", code, body: new Uint8Array(this.bytes(body, end - body)) };
    }
  }

  #api(api: number): ApiRecord {
    const { wasm } = this;
    const hosts = wasm.next(wasm.apiId(api));
    const paths = wasm.afterTexts(hosts);
    const methods = wasm.afterTexts(paths);
    const scopes = wasm.apiScopes(api);
    const routes = wasm.afterTexts(scopes);
    const record: ApiRecord = {
      type: "api",
      wireId: this.#u32(api),
      id: this.text(wasm.apiId(api)),
      authMode: authModes[this.#u8(api + 4)]!,
      failureMode: failureModes[this.#u8(api + 5)]!,
      hosts: this.texts(hosts),
      paths: this.texts(paths),
      methods: this.texts(methods),
      scopes: this.texts(scopes),
      routes: [],
    };
    let route = wasm.first(routes);
    for (let n = wasm.count(routes); n > 0; n--) {
      const cost = wasm.afterTexts(wasm.routeScopes(route));
      const key = this.#u32(cost + 4);
      record.routes.push({
        path: this.text(wasm.routePath(route)),
        methods: this.texts(wasm.routeMethods(route)),
        scopes: this.texts(wasm.routeScopes(route)),
        cost: this.#u32(cost),
        ...(key === 0 ? {} : { key }),
      } satisfies WireRoute);
      route = cost + 8;
    }
    const flags = this.#u16(api + 6);
    if ((flags & 2) !== 0) record.rateLimitHeaders = false;
    const legacy = legacyHeaders[(flags >> 2) & 3] ?? "off";
    if (legacy !== "off") record.legacyHeaders = legacy;
    const cors = wasm.apiCors(api);
    if (cors !== 0) record.cors = this.#cors(cors);
    const jwt = wasm.apiJwt(api);
    if (jwt !== 0) record.jwt = this.#jwt(jwt);
    return record;
  }

  #jwt(jwt: number): WireJwt {
    const { wasm } = this;
    const lists = wasm.jwtAudiences(jwt);
    let audiences = wasm.first(lists);
    const issuers = this.texts(wasm.jwtIssuers(jwt)).map((issuer) => {
      const one = { issuer, audiences: this.texts(audiences) };
      audiences = wasm.afterTexts(audiences);
      return one;
    });
    return {
      issuers,
      consumerClaims: this.texts(wasm.jwtConsumerClaims(jwt)),
      tierClaim: this.text(wasm.jwtTierClaim(jwt)),
      scopeClaim: this.text(wasm.jwtScopeClaim(jwt)),
      admitUnknown: Boolean(wasm.jwtAdmitsUnknown(jwt)),
    };
  }

  #cors(origins: number): WireCors {
    const { wasm } = this;
    const methods = wasm.afterTexts(origins);
    const headers = wasm.afterTexts(methods);
    const exposed = wasm.afterTexts(headers);
    const rest = wasm.afterTexts(exposed);
    return {
      allowOrigins: this.texts(origins),
      allowMethods: this.texts(methods),
      allowHeaders: this.texts(headers),
      exposeHeaders: this.texts(exposed),
      maxAgeSeconds: this.#u32(rest),
      allowCredentials: this.#u8(rest + 4) !== 0,
    };
  }

  #tier(tier: number): TierRecord {
    const { wasm } = this;
    const scopes = wasm.next(tier + 8);
    const apis = wasm.afterTexts(scopes);
    const record: TierRecord = {
      type: "tier",
      wireId: this.#u32(tier),
      id: this.text(tier + 8),
      scopes: this.texts(scopes),
    };
    return (this.#u32(tier + 4) & 1) === 0 ? { ...record, apis: this.ids(apis) } : record;
  }

  #consumer(consumer: number): ConsumerRecord {
    const { wasm } = this;
    const idBytes = this.#u8(consumer + 11);
    let claim = consumer + 12 + idBytes;
    const claims: [string, string][] = [];
    const claimCount = this.#u16(claim);
    claim += 2;
    for (let n = claimCount; n > 0; n--) {
      const nameBytes = this.#u8(claim);
      const value = claim + 1 + nameBytes;
      claims.push([this.string(claim + 1, nameBytes), this.text(value)]);
      claim = wasm.next(value);
    }
    const identities = wasm.consumerIdentities(consumer);
    return {
      ...(identities === 0 ? {} : { identities: this.texts(identities) }),
      type: "consumer",
      wireId: this.#u32(consumer),
      id: this.string(consumer + 12, idBytes),
      tier: this.#u32(consumer + 4),
      suspended: (this.#u16(consumer + 8) & 1) !== 0,
      claims: Object.fromEntries(claims),
    };
  }

  #key(key: number): KeyRecord {
    const { wasm } = this;
    const flags = wasm.keyFlags(key);
    const record: KeyRecord = {
      type: "key",
      id: this.string(wasm.keyId(key), wasm.keyIdBytes(key)),
      digest: new Uint8Array(this.bytes(key, 16)),
      consumer: wasm.keyConsumer(key) >>> 0,
      state: keyStates[flags & 3]!,
    };
    wasm.openKey(key);
    if ((flags & 4) !== 0) record.notBeforeMs = Number(wasm.notBeforeMs.value);
    if ((flags & 8) !== 0) record.expiresAtMs = Number(wasm.expiresAtMs.value);
    if ((flags & 16) !== 0) record.tier = wasm.ownTier.value >>> 0;
    if ((flags & 32) !== 0) record.addresses = this.#addresses(wasm.addresses.value, wasm.addressesEnd.value);
    if ((flags & 64) !== 0) record.apis = this.ids(wasm.ownApis.value);
    if ((flags & 128) !== 0) record.scopes = this.texts(wasm.ownScopes.value);
    if ((flags & 256) !== 0) record.limited = true;
    return record;
  }

  #addresses(list: number, end: number): string[] {
    const cidrs: string[] = [];
    let at = list + 1;
    for (let n = this.#u8(list); n > 0; n--) {
      const family = this.#u8(at) as 4 | 6;
      const bytes = this.bytes(at + 2, family === 4 ? 4 : 16);
      cidrs.push(cidrText({ family, prefixBits: this.#u8(at + 1), bytes }));
      at += 2 + bytes.length;
    }
    if (at !== end) throw new Error(`the addresses end at ${at}, not at ${end}`);
    return cidrs;
  }

  #delete(body: number): DeleteRecord {
    const kind = nameOf(deleteKinds, this.#u8(body))!;
    return kind === "key"
      ? { type: "delete", kind, digest: new Uint8Array(this.bytes(body + 1, 16)) }
      : { type: "delete", kind, wireId: this.#u32(body + 1) };
  }

  /** No accessors yet: the filter stores limits and doesn't enforce them. */
  #limit(limit: number): LimitRecord {
    const flags = this.#u8(limit + 7);
    const ownerKind = nameOf(ownerKinds, this.#u8(limit + 4))!;
    const route = this.#u32(limit + 12);
    return {
      type: "limit",
      wireId: this.#u32(limit),
      name: this.string(limit + 56, this.#u8(limit + 29)),
      ownerKind,
      owner: this.#u32(limit + 8),
      kind: limitKinds[this.#u8(limit + 5) - 1]!,
      subject: subjects[this.#u8(limit + 6) - 1]!,
      limit: this.#u64(limit + 16),
      windowSeconds: this.#u32(limit + 24),
      period: periods[this.#u8(limit + 28)]!,
      gateway: (flags & 1) !== 0,
      shadow: (flags & 2) !== 0,
      firstUse: (flags & 4) !== 0,
      ...(route === NO_ROUTE ? {} : { route }),
      ...(ownerKind === "key" ? { digest: new Uint8Array(this.bytes(limit + 40, 16)) } : {}),
      ...((flags & 8) === 0 ? {} : { smoothing: { perSecond: this.#u32(limit + 32), burst: this.#u32(limit + 36) } }),
    };
  }

  text(item: number): string {
    return this.string(this.wasm.text(item), this.wasm.textBytes(item));
  }

  texts(list: number): string[] {
    const { wasm } = this;
    const items: string[] = [];
    let item = wasm.first(list);
    for (let n = wasm.count(list); n > 0; n--) {
      items.push(this.text(item));
      item = wasm.next(item);
    }
    if (item !== wasm.afterTexts(list)) throw new Error("afterTexts and next differ");
    return items;
  }

  ids(list: number): number[] {
    const { wasm } = this;
    const ids: number[] = [];
    let item = wasm.first(list);
    for (let n = wasm.count(list); n > 0; n--, item += 4) ids.push(this.#u32(item));
    if (item !== wasm.afterIds(list)) throw new Error("afterIds is wrong");
    return ids;
  }

  #u8(at: number): number {
    return this.bytes(at, 1).readUInt8();
  }

  #u16(at: number): number {
    return this.bytes(at, 2).readUInt16LE();
  }

  #u32(at: number): number {
    return this.bytes(at, 4).readUInt32LE();
  }

  #u64(at: number): number {
    return Number(this.bytes(at, 8).readBigUInt64LE());
  }
}
