/** Frames of the wire (docs/internals/protocol.md): checked as a whole before anything in them is believed. */
import { crc32 } from "../lib/crc32";
import { FRAME_LAST, FRAME_MANIFEST } from "./enums";

const MAGIC: u32 = 0x31574754;
const FORMAT: u16 = 1;
export const FRAME_HEAD_BYTES: u32 = 48;
export const FRAME_MAX_BYTES: u32 = 1 << 20;

export const FRAME_GOOD: i32 = 0;
export const FRAME_BROKEN: i32 = 1;
/** Of a format that this build doesn't know. */
export const FRAME_NEWER: i32 = 2;

/** Whether a whole, sound frame begins at `at`, of which `bytes` bytes are there. */
export function checkFrame(at: usize, bytes: u32): i32 {
  if (bytes < FRAME_HEAD_BYTES || load<u32>(at) != MAGIC) return FRAME_BROKEN;
  const format = load<u16>(at, 4);
  if (format != FORMAT) return format > FORMAT ? FRAME_NEWER : FRAME_BROKEN;
  const payload = load<u32>(at, 8);
  if (payload > FRAME_MAX_BYTES - FRAME_HEAD_BYTES || payload > bytes - FRAME_HEAD_BYTES) return FRAME_BROKEN;
  if (crc32(at + 16, FRAME_HEAD_BYTES - 16 + payload, crc32(at, 12)) != load<u32>(at, 12)) return FRAME_BROKEN;
  const type = <u32>load<u8>(at, 6);
  if (type < FRAME_MANIFEST || type > FRAME_LAST) return FRAME_NEWER;
  if (type == FRAME_MANIFEST && payload < 40) return FRAME_BROKEN;
  return FRAME_GOOD;
}

/** Writes the head of a frame whose payload of `bytes` bytes is in its place already. */
export function sealFrame(at: usize, type: u32, bytes: u32, epoch: u64, version: u64, base: u64): void {
  store<u32>(at, MAGIC);
  store<u16>(at, FORMAT, 4);
  store<u8>(at, <u8>type, 6);
  store<u8>(at, 0, 7);
  store<u32>(at, bytes, 8);
  store<u64>(at, epoch, 16);
  store<u64>(at, version, 24);
  store<u64>(at, base, 32);
  store<u64>(at, 0, 40);
  store<u32>(at, crc32(at + 16, FRAME_HEAD_BYTES - 16 + bytes, crc32(at, 12)), 12);
}

// @ts-ignore: decorator
@inline
export function frameTimeMs(at: usize): u64 {
  return load<u64>(at, 40);
}
// @ts-ignore: decorator
@inline
export function frameType(at: usize): u32 {
  return load<u8>(at, 6);
}
// @ts-ignore: decorator
@inline
export function frameBytes(at: usize): u32 {
  return FRAME_HEAD_BYTES + load<u32>(at, 8);
}
/** More parts of the same delta follow: its version isn't reached yet. */
// @ts-ignore: decorator
@inline
export function frameHasMore(at: usize): bool {
  return (load<u8>(at, 7) & 1) != 0;
}
// @ts-ignore: decorator
@inline
export function frameEpoch(at: usize): u64 {
  return load<u64>(at, 16);
}
// @ts-ignore: decorator
@inline
export function frameVersion(at: usize): u64 {
  return load<u64>(at, 24);
}
// @ts-ignore: decorator
@inline
export function frameBase(at: usize): u64 {
  return load<u64>(at, 32);
}
// @ts-ignore: decorator
@inline
export function pageIndex(at: usize): u32 {
  return load<u32>(at, 32);
}
// @ts-ignore: decorator
@inline
export function pageCount(at: usize): u32 {
  return load<u32>(at, 36);
}

/** A manifest's payload. Its frame's base is the version that control was at. */
// @ts-ignore: decorator
@unmanaged
export class Manifest {
  pageCount: u32;
  keyCount: u32;
  consumerCount: u32;
  tierCount: u32;
  apiCount: u32;
  limitCount: u32;
  totalBytes: u64;
}

// @ts-ignore: decorator
@inline
export function manifestOf(at: usize): Manifest {
  return changetype<Manifest>(at + FRAME_HEAD_BYTES);
}
