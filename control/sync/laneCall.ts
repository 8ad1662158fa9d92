/** What all numbered calls of lanes have in common. */
import { SyncProblem } from "./problems.ts";
import { type DecodedFrame, decodeFrames } from "./reader.ts";

export interface NumberedCall {
  /** the feed's epoch, by which wire ids are meant */
  epoch: bigint;
  /** from 1, one higher with each call of the lane; a resend has the same */
  seq: bigint;
  /** random */
  lane: bigint;
}

/** The one frame that a call consists of. Throws SyncProblem parameter_invalid. */
export function readCall<T extends "leases" | "usage" | "tokens">(
  body: Uint8Array,
  type: T,
): Extract<DecodedFrame, { type: T }> {
  const decoded = decodeFrames(body);
  if (!decoded.ok) throw broken(`at byte ${decoded.error.offset}: ${decoded.error.detail}`);
  const [frame] = decoded.frames;
  if (decoded.frames.length !== 1 || frame?.type !== type || !("lane" in frame))
    throw broken(`it must be one frame of type ${type}`);
  if (frame.version === 0n || frame.lane === 0n) throw broken("lanes and their calls are numbered from 1");
  return frame as Extract<DecodedFrame, { type: T }>;
}

function broken(detail: string): SyncProblem {
  return new SyncProblem("parameter_invalid", `the body is not what docs/internals/protocol.md says: ${detail}`);
}
