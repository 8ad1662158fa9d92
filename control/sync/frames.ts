/** Frames: the 48-byte header in front of every payload. */
import { crc32 } from "node:zlib";
import { FLAG_MORE, FORMAT, frameCodes, HEADER_BYTES, MAGIC, MANIFEST_BYTES, MAX_FRAME_BYTES } from "./wire.ts";

export interface Stamp {
  epoch: bigint;
  version: bigint;
  timeMs: number;
}

export interface ManifestCounts {
  pageCount: number;
  keyCount: number;
  consumerCount: number;
  tierCount: number;
  apiCount: number;
  limitCount: number;
  /** of all page frames together */
  totalBytes: number;
}

export type FrameHeader = Stamp &
  (
    | { type: "heartbeat" }
    /** `current`: the version that control was at; default: the snapshot's own */
    | { type: "manifest"; current?: bigint }
    | { type: "page"; index: number; pageCount: number }
    | { type: "delta"; base: bigint; more: boolean }
    | { type: "recall" }
    /** a lane's numbered calls and their answers; `version` is the call's number */
    | { type: "leases" | "leasesAnswer" | "usage" | "usageAnswer" | "tokens" | "tokensAnswer"; lane: bigint }
  );

/** Writes the header, checksum included, to the first 48 bytes of `target`; `payload` is what follows it on the wire. */
export function writeHeader(target: Buffer, header: FrameHeader, payload: Uint8Array): void {
  if (payload.length + HEADER_BYTES > MAX_FRAME_BYTES)
    throw new RangeError(`a frame of ${payload.length + HEADER_BYTES} bytes is over ${MAX_FRAME_BYTES}`);
  target.writeUInt32LE(MAGIC, 0);
  target.writeUInt16LE(FORMAT, 4);
  target[6] = frameCodes[header.type];
  target[7] = header.type === "delta" && header.more ? FLAG_MORE : 0;
  target.writeUInt32LE(payload.length, 8);
  target.writeBigUInt64LE(header.epoch, 16);
  target.writeBigUInt64LE(header.version, 24);
  if (header.type === "page") {
    target.writeUInt32LE(header.index, 32);
    target.writeUInt32LE(header.pageCount, 36);
  } else target.writeBigUInt64LE(baseOf(header), 32);
  target.writeBigUInt64LE(BigInt(header.timeMs), 40);
  target.writeUInt32LE(checksum(target, payload), 12);
}

function baseOf(header: FrameHeader): bigint {
  if ("lane" in header) return header.lane;
  if (header.type === "delta") return header.base;
  return header.type === "manifest" ? (header.current ?? header.version) : 0n;
}

/** Fills in the header of a frame that already holds its payload; gives the same buffer. */
export function sealFrame(frame: Buffer, header: FrameHeader): Buffer {
  writeHeader(frame, header, frame.subarray(HEADER_BYTES));
  return frame;
}

/** 16 hex digits, as in calls. */
export function epochText(epoch: bigint): string {
  return epoch.toString(16).padStart(16, "0");
}

/** The CRC32 of a frame but for the four bytes that hold it. */
export function checksum(header: Uint8Array, payload: Uint8Array): number {
  return crc32(payload, crc32(header.subarray(16, HEADER_BYTES), crc32(header.subarray(0, 12))));
}

/** Nothing new: `version` is the current one. */
export function heartbeatFrame(stamp: Stamp): Buffer {
  return sealFrame(Buffer.alloc(HEADER_BYTES), { ...stamp, type: "heartbeat" });
}

/** Tells a gateway to fetch the pages of a snapshot, and to decide nothing by it before the log has brought it to `current`. */
export function manifestFrame(stamp: Stamp & { current?: bigint }, counts: ManifestCounts): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + MANIFEST_BYTES);
  const { pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount } = counts;
  [pageCount, keyCount, consumerCount, tierCount, apiCount, limitCount].forEach((count, i) =>
    frame.writeUInt32LE(count, HEADER_BYTES + i * 4),
  );
  frame.writeBigUInt64LE(BigInt(counts.totalBytes), HEADER_BYTES + 24);
  return sealFrame(frame, { ...stamp, type: "manifest" });
}
