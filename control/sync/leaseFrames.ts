/** Frames of a lane's calls for allowance (docs/wire.md): types 6 and 7. */
import type { LeaseAnswer, LeaseOp } from "../counters/model.ts";
import { sealFrame } from "./frames.ts";
import { decodeFrames } from "./reader.ts";
import { SyncProblem } from "./problems.ts";
import { HEADER_BYTES } from "./wire.ts";

const OP_BYTES = 64;
const ANSWER_BYTES = 72;
const COUNT_BYTES = 8;
const maxOps = 4096;

export interface LeasesCall {
  epoch: bigint;
  seq: bigint;
  lane: bigint;
  ops: LeaseOp[];
}

/** The call in a request's body. Throws SyncProblem parameter_invalid. */
export function readLeasesCall(body: Uint8Array): LeasesCall {
  const { frame, count } = readCall(body, "leases", maxOps, OP_BYTES);
  const { payload } = frame;
  if (payload.length < COUNT_BYTES + count * OP_BYTES) throw broken(`${count} ops in ${payload.length} bytes`);
  const ops = Array.from({ length: count }, (_, index) => readOp(payload, COUNT_BYTES + index * OP_BYTES));
  return { epoch: frame.epoch, seq: frame.version, lane: frame.lane, ops };
}

/** The one frame that a numbered call consists of, and the count that its payload begins with. */
export function readCall(body: Uint8Array, type: "leases" | "usage", maxCount: number, leastBytes: number) {
  const decoded = decodeFrames(body);
  if (!decoded.ok) throw broken(`at byte ${decoded.error.offset}: ${decoded.error.detail}`);
  const frame = decoded.frames[0];
  if (decoded.frames.length !== 1 || frame?.type !== type) throw broken(`the body must be one frame of type ${type}`);
  if (frame.version === 0n || frame.lane === 0n) throw broken("lanes and their calls are numbered from 1");
  if (frame.payload.length < COUNT_BYTES) throw broken("the payload has no count");
  const count = frame.payload.readUInt32LE(0);
  if (count > maxCount || count * leastBytes > frame.payload.length) throw broken(`${count} entries in ${frame.payload.length} bytes, at most ${maxCount}`);
  return { frame, count };
}

export function broken(detail: string): SyncProblem {
  return new SyncProblem("parameter_invalid", `the body is not what docs/wire.md says: ${detail}`);
}

function readOp(payload: Buffer, at: number): LeaseOp {
  return {
    wireId: payload.readUInt32LE(at),
    actions: payload.readUInt8(at + 4),
    subject: payload.toString("hex", at + 8, at + 24),
    windowStartMs: amount(payload, at + 24),
    held: amount(payload, at + 32),
    returned: amount(payload, at + 40),
    need: amount(payload, at + 48),
    want: amount(payload, at + 56),
  };
}

/** A u64; beyond 2^53 it's as good as 2^53 - 1. */
function amount(payload: Buffer, at: number): number {
  const high = payload.readUInt32LE(at + 4);
  return high >= 0x20_0000 ? Number.MAX_SAFE_INTEGER : high * 0x1_0000_0000 + payload.readUInt32LE(at);
}

/** The answer to a call: one for each op, in order. */
export function leasesAnswerFrame(call: Pick<LeasesCall, "epoch" | "seq" | "lane">, timeMs: number, answers: readonly LeaseAnswer[]): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + COUNT_BYTES + answers.length * ANSWER_BYTES);
  frame.writeUInt32LE(answers.length, HEADER_BYTES);
  answers.forEach((answer, index) => writeAnswer(frame, HEADER_BYTES + COUNT_BYTES + index * ANSWER_BYTES, answer));
  return sealFrame(frame, { type: "leasesAnswer", epoch: call.epoch, version: call.seq, lane: call.lane, timeMs });
}

function writeAnswer(frame: Buffer, at: number, answer: LeaseAnswer): void {
  frame.writeUInt8(answer.verdict, at);
  frame.writeUInt32LE(answer.generation, at + 4);
  const { granted, windowStartMs, windowEndMs, leaseEndMs, remaining, untilMs, share, shareUntilMs } = answer;
  [granted, windowStartMs, windowEndMs, leaseEndMs, remaining, untilMs, share, shareUntilMs].forEach((value, index) => writeAmount(frame, at + 8 + index * 8, value));
}

export function writeAmount(frame: Buffer, at: number, value: number): void {
  frame.writeUInt32LE(value % 0x1_0000_0000, at);
  frame.writeUInt32LE(Math.floor(value / 0x1_0000_0000), at + 4);
}
