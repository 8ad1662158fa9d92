/** Frames of a lane's calls for allowance (docs/internals/protocol.md): types 6 and 7. */
import type { LeaseAnswer, LeaseOp } from "../counters/model.ts";
import { sealFrame } from "./frames.ts";
import { type NumberedCall, readCall } from "./laneCall.ts";
import { answersFrame, opsFrame } from "./leasePayload.ts";
import { HEADER_BYTES } from "./wire.ts";

export interface LeasesCall extends NumberedCall {
  ops: LeaseOp[];
}

/** The call in a request's body. Throws SyncProblem parameter_invalid. */
export function readLeasesCall(body: Uint8Array): LeasesCall {
  const { epoch, version, lane, ops } = readCall(body, "leases");
  return { epoch, seq: version, lane, ops };
}

export function leasesFrame({ epoch, seq, lane, ops }: LeasesCall): Buffer {
  return sealFrame(opsFrame(HEADER_BYTES, ops), { type: "leases", epoch, version: seq, lane, timeMs: 0 });
}

/** The answer to a call: one for each op, in order. */
export function leasesAnswerFrame(
  { epoch, seq, lane }: NumberedCall,
  timeMs: number,
  answers: readonly LeaseAnswer[],
): Buffer {
  return sealFrame(answersFrame(HEADER_BYTES, answers), { type: "leasesAnswer", epoch, version: seq, lane, timeMs });
}
