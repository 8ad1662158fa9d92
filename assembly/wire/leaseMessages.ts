/** Ops and answers of a lane's calls, as docs/internals/protocol.md lays them out. */
import { Counter } from "../limits/counter";

export const OP_BYTES: u32 = 64;
export const ANSWER_BYTES: u32 = 72;

export function writeOp(
  at: usize,
  c: Counter,
  action: u32,
  startMs: u64,
  held: u64,
  returned: u64,
  need: u64,
  want: u64,
): void {
  store<u32>(at, c.limit);
  store<u32>(at, action, 4);
  store<u64>(at, c.subjectA, 8);
  store<u64>(at, c.subjectB, 16);
  store<u64>(at, startMs, 24);
  store<u64>(at, held, 32);
  store<u64>(at, returned, 40);
  store<u64>(at, need, 48);
  store<u64>(at, want, 56);
}

// @ts-ignore: decorator
@inline
export function opAction(op: usize): u32 {
  return load<u8>(op, 4);
}
// @ts-ignore: decorator
@inline
export function opNeed(op: usize): u64 {
  return load<u64>(op, 48);
}
// @ts-ignore: decorator
@inline
export function answerVerdict(answer: usize): u32 {
  return load<u8>(answer);
}
// @ts-ignore: decorator
@inline
export function answerGeneration(answer: usize): u32 {
  return load<u32>(answer, 4);
}
// @ts-ignore: decorator
@inline
export function answerGranted(answer: usize): u64 {
  return load<u64>(answer, 8);
}
// @ts-ignore: decorator
@inline
export function answerStartMs(answer: usize): u64 {
  return load<u64>(answer, 16);
}
// @ts-ignore: decorator
@inline
export function answerEndMs(answer: usize): u64 {
  return load<u64>(answer, 24);
}
// @ts-ignore: decorator
@inline
export function answerLeaseEndMs(answer: usize): u64 {
  return load<u64>(answer, 32);
}
// @ts-ignore: decorator
@inline
export function answerRemaining(answer: usize): u64 {
  return load<u64>(answer, 40);
}
// @ts-ignore: decorator
@inline
export function answerUntilMs(answer: usize): u64 {
  return load<u64>(answer, 48);
}
// @ts-ignore: decorator
@inline
export function answerShare(answer: usize): u64 {
  return load<u64>(answer, 56);
}
// @ts-ignore: decorator
@inline
export function answerShareUntilMs(answer: usize): u64 {
  return load<u64>(answer, 64);
}
