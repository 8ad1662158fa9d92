/** What several parts of a LIMIT record say together. */
import { KIND_RATE } from "./enums";
import { LIMIT_HAS_SMOOTHING, limitFlags, limitKind, pacePerSecond } from "./records";

// @ts-ignore: decorator
@inline
export function isRate(limit: usize): bool {
  return limitKind(limit) == KIND_RATE;
}
// @ts-ignore: decorator
@inline
export function isSmoothed(limit: usize): bool {
  return (limitFlags(limit) & LIMIT_HAS_SMOOTHING) != 0 && pacePerSecond(limit) != 0;
}

/** What makes two limits of one wire id count differently: amount, window, subject, enforcement. */
export function limitShape(limit: usize): u32 {
  let h: u32 = 0x811c9dc5;
  for (let i: usize = 5; i < 40; i++) h = (h ^ <u32>load<u8>(limit + i)) * 0x01000193;
  return h;
}
