/**
 * Memory that the host and the guest share for the length of one callback.
 *
 * The host calls `malloc` for every value it returns. One bump pointer serves it, set back at the start of each callback, so that a
 * returned value lives exactly as long as the callback does and nothing is ever freed. `scratch` serves the guest from the same room.
 * The room holds the largest value that Envoy returns to a request (1 MiB of header pairs), or a frame of 1 MiB and a chunk of the log;
 * untouched, it costs no resident memory.
 */
const ROOM_BYTES: usize = 0x240000;
const room = memory.data(0x240000, 16);
let top: usize = 0;

/** Called by the host. 0 when there is no room, which the host reports as a failed call. */
export function malloc(bytes: i32): usize {
  return scratch(<usize>(<u32>bytes));
}

/** Room for `bytes` until the callback ends, 16-aligned; 0 when the room is used up. */
export function scratch(bytes: usize): usize {
  const size = (bytes + 15) & ~(<usize>15);
  if (size > ROOM_BYTES - top) return 0;
  const at = room + top;
  top += size;
  return at;
}

/** Every exported callback begins with this. */
// @ts-ignore: decorator
@inline
export function beginCallback(): void {
  top = 0;
}

/** A mark to which `release` can go back within a long callback. */
export function mark(): usize {
  return top;
}

export function release(to: usize): void {
  top = to;
}
