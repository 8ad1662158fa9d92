/** A LIMIT record's parts, used where they lie (docs/internals/protocol.md). */

export const OWNER_API: u32 = 1;
export const OWNER_TIER: u32 = 2;
export const OWNER_KEY: u32 = 4;
export const OWNER_ROUTE: u32 = 10;

export const KIND_RATE: u32 = 1;

export const SUBJECT_KEY: u32 = 1;
export const SUBJECT_CONSUMER: u32 = 2;
export const SUBJECT_API: u32 = 3;
export const SUBJECT_CONSUMER_API: u32 = 4;
export const SUBJECT_IP: u32 = 5;

export const PERIOD_NONE: u32 = 0;
export const PERIOD_DAY: u32 = 1;
export const PERIOD_WEEK: u32 = 2;
export const PERIOD_MONTH: u32 = 3;

const FLAG_GATEWAY: u32 = 1;
const FLAG_SHADOW: u32 = 2;
const FLAG_FIRST_USE: u32 = 4;
const FLAG_SMOOTHING: u32 = 8;

// @ts-ignore: decorator
@inline
export function limitId(limit: usize): u32 { return load<u32>(limit); }
// @ts-ignore: decorator
@inline
export function limitOwnerKind(limit: usize): u32 { return load<u8>(limit, 4); }
// @ts-ignore: decorator
@inline
export function isRate(limit: usize): bool { return load<u8>(limit, 5) == KIND_RATE; }
// @ts-ignore: decorator
@inline
export function limitSubject(limit: usize): u32 { return load<u8>(limit, 6); }
// @ts-ignore: decorator
@inline
export function isPerGateway(limit: usize): bool { return (load<u8>(limit, 7) & FLAG_GATEWAY) != 0; }
// @ts-ignore: decorator
@inline
export function isShadow(limit: usize): bool { return (load<u8>(limit, 7) & FLAG_SHADOW) != 0; }
// @ts-ignore: decorator
@inline
export function isFirstUse(limit: usize): bool { return (load<u8>(limit, 7) & FLAG_FIRST_USE) != 0; }
// @ts-ignore: decorator
@inline
export function isSmoothed(limit: usize): bool { return (load<u8>(limit, 7) & FLAG_SMOOTHING) != 0 && load<u32>(limit, 32) != 0; }
// @ts-ignore: decorator
@inline
export function limitOwner(limit: usize): u32 { return load<u32>(limit, 8); }
// @ts-ignore: decorator
@inline
export function limitRoute(limit: usize): u32 { return load<u32>(limit, 12); }
// @ts-ignore: decorator
@inline
export function limitAmount(limit: usize): u64 { return load<u64>(limit, 16); }
/** Length of a rate's window, or of a quota that has one in seconds; 0 with a named period. */
// @ts-ignore: decorator
@inline
export function windowSeconds(limit: usize): u32 { return load<u32>(limit, 24); }
// @ts-ignore: decorator
@inline
export function limitPeriod(limit: usize): u32 { return load<u8>(limit, 28); }
// @ts-ignore: decorator
@inline
export function nameBytes(limit: usize): u32 { return load<u8>(limit, 29); }
// @ts-ignore: decorator
@inline
export function limitName(limit: usize): usize { return limit + 56; }
// @ts-ignore: decorator
@inline
export function pacePerSecond(limit: usize): u32 { return load<u32>(limit, 32); }
// @ts-ignore: decorator
@inline
export function paceBurst(limit: usize): u32 { return load<u32>(limit, 36); }
/** The owning key's digest. */
// @ts-ignore: decorator
@inline
export function limitDigest(limit: usize): usize { return limit + 40; }

/** What makes two limits of one wire id count differently: amount, window, subject, enforcement. */
export function limitShape(limit: usize): u32 {
  let h: u32 = 0x811c9dc5;
  for (let i: usize = 5; i < 40; i++) h = (h ^ <u32>load<u8>(limit + i)) * 0x01000193;
  return h;
}
