/**
 * What a request leaves for its response, by the stream's id. Most streams find their slot in a few pages that stay in the processor's
 * cache; where many are under way at a time, in a larger ring. A slot is free once its response came, or when the ring has come round:
 * streams that end without one need no clean-up.
 *
 * ```
 *   slot, 576 bytes:  u32 context, 0: free | 60 bytes of responses.ts | 512 bytes of limits/rateLimitHeaders.ts
 * ```
 */
const NEAR: u32 = 128;
const FAR: u32 = 8192;
const SLOT_BYTES: u32 = 576;
const slots = memory.data((128 + 8192) * 576, 8);
/** The last stream that found its near slot taken. */
let lastFar: u32 = 0;

/** Beginning and size of the part that belongs to the headers. */
export const HEADERS_AT: u32 = 64;
export const HEADERS_BYTES: u32 = SLOT_BYTES - HEADERS_AT;

// @ts-ignore: decorator
@inline
function near(context: u32): usize {
  return slots + <usize>(context & (NEAR - 1)) * SLOT_BYTES;
}
// @ts-ignore: decorator
@inline
function far(context: u32): usize {
  return slots + <usize>(NEAR + (context & (FAR - 1))) * SLOT_BYTES;
}

/** The stream's slot; when it has none yet, a cleared one. */
export function takeSlot(context: u32): usize {
  let slot = near(context);
  const there = load<u32>(slot);
  if (there == context) return slot;
  // A stream that was held comes after later ones: the other may be newer as well.
  if (there != 0 && context - there + FAR < 2 * FAR) {
    slot = far(context);
    lastFar = context;
    if (load<u32>(slot) == context) return slot;
  }
  store<u32>(slot, context);
  store<u32>(slot, 0, 4);
  store<u64>(slot, 0, HEADERS_AT);
  return slot;
}

/** The stream's slot, or 0. */
export function findSlot(context: u32): usize {
  let slot = near(context);
  if (load<u32>(slot) == context) return slot;
  if (lastFar - context + FAR > 2 * FAR) return 0;
  slot = far(context);
  return load<u32>(slot) == context ? slot : 0;
}

// @ts-ignore: decorator
@inline
export function freeSlot(slot: usize): void {
  store<u32>(slot, 0);
}
