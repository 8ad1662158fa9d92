/** The test's side of stubHost.mjs. Texts are one byte for each character. */
import { malloc } from "../../../assembly/abi/memory";
import { rawBytes } from "../helpers";

@external("stub", "reset") declare function reset(): void;
@external("stub", "useMalloc") declare function useMalloc(index: i32): void;
@external("stub", "forget") declare function stubForget(): void;
@external("stub", "calls") declare function stubCalls(out: usize, max: u32): u32;
@external("stub", "give") declare function stubGive(name: usize, nameBytes: u32, at: usize, bytes: u32): void;
@external("stub", "withhold") declare function stubWithhold(name: usize, nameBytes: u32): void;
@external("stub", "property") declare function stubProperty(
  path: usize,
  pathBytes: u32,
  at: usize,
  bytes: u32,
): void;
@external("stub", "refuse") declare function stubRefuse(what: usize, bytes: u32): void;
@external("stub", "permit") declare function stubPermit(what: usize, bytes: u32): void;
@external("stub", "share") declare function stubShare(name: usize, nameBytes: u32, at: usize, bytes: u32): void;
@external("stub", "shared") declare function stubShared(name: usize, nameBytes: u32, out: usize, max: u32): i32;
@external("stub", "variable") declare function stubVariable(at: usize, bytes: u32): void;
@external("stub", "setClock") declare function setClock(wallNs: u64, monotonicNs: u64): void;

const ROOM_BYTES: u32 = 1 << 20;
const room = memory.data(1 << 20, 16);

/** Begins with a host that has and knows nothing. */
export function startHost(): void {
  reset();
  const allocate = malloc;
  useMalloc(allocate.index);
}

/** What was called since the last `forget`, a line for each call and each header of an answer. */
export function calls(): string {
  return latin1(room, stubCalls(room, ROOM_BYTES));
}

export function forget(): void {
  stubForget();
}

/** What was called, and away with it. */
export function takeCalls(): string {
  const all = calls();
  stubForget();
  return all;
}

/** `name`: headers, trailers, configuration, response body, or `response <header>`. */
export function give(name: string, at: usize, bytes: u32): void {
  const n = rawBytes(name);
  stubGive(changetype<usize>(n), n.length, at, bytes);
}

export function withhold(name: string): void {
  const n = rawBytes(name);
  stubWithhold(changetype<usize>(n), n.length);
}

/** The pairs of a header map, as name, value, name, value, … */
export function giveHeaders(map: string, pairs: string[]): void {
  const bytes = pairsOf(pairs);
  give(map, changetype<usize>(bytes), bytes.length);
}

/** Header pairs as the ABI lays them out. */
export function pairsOf(pairs: string[]): StaticArray<u8> {
  let size = 4;
  for (let i = 0; i < pairs.length; i++) size += 5 + pairs[i].length;
  const bytes = new StaticArray<u8>(size);
  const start = changetype<usize>(bytes);
  store<u32>(start, pairs.length / 2);
  let at = start + 4 + pairs.length * 4;
  for (let i = 0; i < pairs.length; i++) {
    store<u32>(start + 4 + i * 4, pairs[i].length);
    for (let c = 0; c < pairs[i].length; c++) store<u8>(at++, <u8>pairs[i].charCodeAt(c));
    store<u8>(at++, 0);
  }
  return bytes;
}

/** `path`: parts separated by NUL. */
export function giveProperty(path: string, value: string): void {
  const p = rawBytes(path);
  const v = rawBytes(value);
  stubProperty(changetype<usize>(p), p.length, changetype<usize>(v), v.length);
}

/** A variable of the VM's environment, `NAME=value`. */
export function giveVariable(text: string): void {
  const v = rawBytes(text);
  stubVariable(changetype<usize>(v), v.length);
}

/** `what`: `context <id>`, shared data, calls or metrics. */
export function refuse(what: string): void {
  const w = rawBytes(what);
  stubRefuse(changetype<usize>(w), w.length);
}

export function permit(what: string): void {
  const w = rawBytes(what);
  stubPermit(changetype<usize>(w), w.length);
}

/** Writes shared data as another VM would. */
export function share(name: string, at: usize, bytes: u32): void {
  const n = rawBytes(name);
  stubShare(changetype<usize>(n), n.length, at, bytes);
}

/** Copies shared data to a place that the next call overwrites, `sharedAt`; its length, or -1. */
export const sharedAt: usize = room;
export function shared(name: string): i32 {
  const n = rawBytes(name);
  return stubShared(changetype<usize>(n), n.length, room, ROOM_BYTES);
}

/** Milliseconds of the wall clock and of the monotonic one. */
export function clock(wallMs: u64, monotonicMs: u64): void {
  setClock(wallMs * 1_000_000, monotonicMs * 1_000_000);
}

function latin1(at: usize, bytes: u32): string {
  const wide = heap.alloc(<usize>bytes * 2 + 2);
  for (let i: u32 = 0; i < bytes; i++) store<u16>(wide + ((<usize>i) << 1), load<u8>(at + i));
  const text = String.UTF16.decodeUnsafe(wide, (<usize>bytes) << 1);
  heap.free(wide);
  return text;
}
