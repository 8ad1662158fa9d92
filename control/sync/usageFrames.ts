/** Frames of a lane's usage (docs/wire.md): types 8 and 9. */
import type { UsageEntry } from "../usage/model.ts";
import { sealFrame } from "./frames.ts";
import { broken, readCall } from "./leaseFrames.ts";
import { HEADER_BYTES, NO_ROUTE } from "./wire.ts";

const COUNT_BYTES = 8;
const ENTRY_LEAST_BYTES = 33;
const maxEntries = 32_768;

export interface UsageCall {
  epoch: bigint;
  seq: bigint;
  lane: bigint;
  entries: UsageEntry[];
}

/** The call in a request's body. Throws SyncProblem parameter_invalid. */
export function readUsageCall(body: Uint8Array): UsageCall {
  const { frame, count } = readCall(body, "usage", maxEntries, ENTRY_LEAST_BYTES);
  const { payload } = frame;
  let at = COUNT_BYTES;
  const need = (bytes: number): void => {
    if (at + bytes > payload.length) throw broken(`an entry reaches past the payload's ${payload.length} bytes`);
  };
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 5; shift++) {
      need(1);
      const byte = payload[at++]!;
      value += (byte & 0x7f) * 2 ** (7 * shift);
      if (byte < 0x80) return value;
    }
    throw broken("a count does not end");
  };
  const entries: UsageEntry[] = [];
  for (let left = count; left > 0; left--) {
    need(ENTRY_LEAST_BYTES);
    const route = payload.readUInt32LE(at + 8);
    const entry: UsageEntry = {
      minute: payload.readUInt32LE(at),
      api: payload.readUInt32LE(at + 4),
      route: route === NO_ROUTE ? undefined : route,
      consumer: payload.readUInt32LE(at + 12),
      digest: payload.toString("hex", at + 16, at + 32),
      counts: [],
    };
    const pairs = payload[at + 32]!;
    at += ENTRY_LEAST_BYTES;
    for (let pair = 0; pair < pairs; pair++) {
      need(1);
      const metric = payload[at++]!;
      entry.counts.push([metric, varint()]);
    }
    entries.push(entry);
  }
  return { epoch: frame.epoch, seq: frame.version, lane: frame.lane, entries };
}

/** Says that a batch was applied, now or before. */
export function usageAnswerFrame(call: Pick<UsageCall, "epoch" | "seq" | "lane">, timeMs: number): Buffer {
  return sealFrame(Buffer.alloc(HEADER_BYTES), { type: "usageAnswer", epoch: call.epoch, version: call.seq, lane: call.lane, timeMs });
}
