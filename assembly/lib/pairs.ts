/** Header pairs as the ABI lays them out: u32 count, u32 name and value lengths of each, then names and values, each with a NUL. */
import { scratch } from "../abi/memory";

const MOST: u32 = 16;
const parts = memory.data(16 * 16, 4);
let count: u32 = 0;

export let pairsAt: usize = 0;
export let pairsBytes: u32 = 0;

export function beginPairs(): void {
  count = 0;
}

/** Adds a pair; the bytes must stay where they are until `endPairs`. */
export function pair(name: usize, nameBytes: u32, value: usize, valueBytes: u32): void {
  if (count == MOST) return;
  const part = parts + (usize(count++) << 4);
  store<u32>(part, <u32>name);
  store<u32>(part, nameBytes, 4);
  store<u32>(part, <u32>value, 8);
  store<u32>(part, valueBytes, 12);
}

export function pairOf(name: StaticArray<u8>, value: StaticArray<u8>): void {
  pair(changetype<usize>(name), name.length, changetype<usize>(value), value.length);
}

/** Lays the pairs out in scratch memory; `pairsAt` and `pairsBytes` say where. False when there is no room. */
export function endPairs(): bool {
  let bytes: u32 = 4;
  for (let i: u32 = 0; i < count; i++) {
    const part = parts + ((<usize>i) << 4);
    bytes += 10 + load<u32>(part, 4) + load<u32>(part, 12);
  }
  pairsAt = scratch(bytes);
  pairsBytes = bytes;
  if (pairsAt == 0) return false;
  store<u32>(pairsAt, count);
  let sizes = pairsAt + 4;
  let at = sizes + ((<usize>count) << 3);
  for (let i: u32 = 0; i < count; i++) {
    const part = parts + ((<usize>i) << 4);
    for (let half: usize = 0; half < 16; half += 8) {
      const n = load<u32>(part + half, 4);
      store<u32>(sizes, n);
      sizes += 4;
      memory.copy(at, load<u32>(part + half), n);
      store<u8>(at + n, 0);
      at += n + 1;
    }
  }
  return true;
}
