/** The payloads of lane calls for allowance and of their answers (docs/internals/protocol.md). */
import { type LeaseAnswer, type LeaseOp, type Verdict, verdict } from "../counters/model.ts";
import { Fields, Refused } from "./fields.ts";
import { writeAmount } from "./amounts.ts";

export const COUNT_BYTES = 8;
const OP_BYTES = 64;
const ANSWER_BYTES = 72;
const maxOps = 4096;
const lastVerdict = Math.max(...Object.values(verdict));

/** Reads the count that a payload begins with, of entries of one size that fill the rest of it. */
export function readCount(payload: Fields, max: number, entryBytes: number): number {
  const at = payload.pos;
  const { left } = payload;
  if (left < COUNT_BYTES) throw new Refused(at, "payload", "the payload has no count");
  const count = payload.u32();
  payload.u32();
  if (count > max) throw new Refused(at, "payload", `${count} entries, at most ${max}`);
  if (left !== COUNT_BYTES + count * entryBytes)
    throw new Refused(at, "payload", `${left} bytes, ${count} entries take ${COUNT_BYTES + count * entryBytes}`);
  return count;
}

export function readOps(payload: Fields): LeaseOp[] {
  return Array.from({ length: readCount(payload, maxOps, OP_BYTES) }, () => readOp(payload));
}

export function readAnswers(payload: Fields): LeaseAnswer[] {
  return Array.from({ length: readCount(payload, maxOps, ANSWER_BYTES) }, () => readAnswer(payload));
}

/** A frame's bytes with the ops in their place and room for the header. */
export function opsFrame(headerBytes: number, ops: readonly LeaseOp[]): Buffer {
  const frame = Buffer.alloc(headerBytes + COUNT_BYTES + ops.length * OP_BYTES);
  frame.writeUInt32LE(ops.length, headerBytes);
  ops.forEach((op, index) => writeOp(frame, headerBytes + COUNT_BYTES + index * OP_BYTES, op));
  return frame;
}

/** A frame's bytes with the answers in their place and room for the header. */
export function answersFrame(headerBytes: number, answers: readonly LeaseAnswer[]): Buffer {
  const frame = Buffer.alloc(headerBytes + COUNT_BYTES + answers.length * ANSWER_BYTES);
  frame.writeUInt32LE(answers.length, headerBytes);
  answers.forEach((answer, index) => writeAnswer(frame, headerBytes + COUNT_BYTES + index * ANSWER_BYTES, answer));
  return frame;
}

function readOp(payload: Fields): LeaseOp {
  const wireId = payload.u32();
  const actions = payload.u8();
  payload.skip(3);
  return {
    wireId,
    actions,
    subject: payload.hex(16),
    windowStartMs: payload.amount(),
    held: payload.amount(),
    returned: payload.amount(),
    need: payload.amount(),
    want: payload.amount(),
  };
}

function writeOp(frame: Buffer, at: number, op: LeaseOp): void {
  frame.writeUInt32LE(op.wireId, at);
  frame.writeUInt8(op.actions, at + 4);
  frame.write(op.subject, at + 8, "hex");
  writeAmount(frame, at + 24, op.windowStartMs);
  writeAmount(frame, at + 32, op.held);
  writeAmount(frame, at + 40, op.returned);
  writeAmount(frame, at + 48, op.need);
  writeAmount(frame, at + 56, op.want);
}

function readAnswer(payload: Fields): LeaseAnswer {
  const code = payload.u8();
  payload.skip(3);
  return {
    verdict: code > lastVerdict ? verdict.unknown : (code as Verdict),
    generation: payload.u32(),
    granted: payload.u64(),
    windowStartMs: payload.u64(),
    windowEndMs: payload.u64(),
    leaseEndMs: payload.u64(),
    remaining: payload.u64(),
    untilMs: payload.u64(),
    share: payload.u64(),
    shareUntilMs: payload.u64(),
  };
}

function writeAnswer(frame: Buffer, at: number, answer: LeaseAnswer): void {
  frame.writeUInt8(answer.verdict, at);
  frame.writeUInt32LE(answer.generation, at + 4);
  writeAmount(frame, at + 8, answer.granted);
  writeAmount(frame, at + 16, answer.windowStartMs);
  writeAmount(frame, at + 24, answer.windowEndMs);
  writeAmount(frame, at + 32, answer.leaseEndMs);
  writeAmount(frame, at + 40, answer.remaining);
  writeAmount(frame, at + 48, answer.untilMs);
  writeAmount(frame, at + 56, answer.share);
  writeAmount(frame, at + 64, answer.shareUntilMs);
}
