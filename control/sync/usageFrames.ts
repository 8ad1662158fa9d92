/** Frames of a lane's usage (docs/internals/protocol.md): types 8 and 9. */
import type { UsageEntry } from "../usage/model.ts";
import { sealFrame } from "./frames.ts";
import { type NumberedCall, readCall } from "./laneCall.ts";
import { entriesFrame } from "./usagePayload.ts";
import { HEADER_BYTES } from "./wire.ts";

export interface UsageCall extends NumberedCall {
  entries: UsageEntry[];
}

/** The call in a request's body. Throws SyncProblem parameter_invalid. */
export function readUsageCall(body: Uint8Array): UsageCall {
  const { epoch, version, lane, entries } = readCall(body, "usage");
  return { epoch, seq: version, lane, entries };
}

export function usageFrame({ epoch, seq, lane, entries }: UsageCall): Buffer {
  return sealFrame(entriesFrame(HEADER_BYTES, entries), { type: "usage", epoch, version: seq, lane, timeMs: 0 });
}

/** Says that a batch was applied, now or before. */
export function usageAnswerFrame({ epoch, seq, lane }: NumberedCall, timeMs: number): Buffer {
  return sealFrame(Buffer.alloc(HEADER_BYTES), { type: "usageAnswer", epoch, version: seq, lane, timeMs });
}
