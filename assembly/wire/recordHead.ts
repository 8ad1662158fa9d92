/** A record's head: its type, and how many bytes its body has. */

/** `readRecord` leaves the record's type, body and end here. */
export let recordType: u32 = 0;
export let recordBody: usize = 0;
export let recordEnd: usize = 0;

/** Reads a record's head at `at`. Whether it lies whole before `end`. */
export function readRecord(at: usize, end: usize): bool {
  if (at >= end) return false;
  recordType = load<u8>(at++);
  let bytes: u32 = 0;
  let shift: u32 = 0;
  while (true) {
    if (at >= end) return false;
    const b = <u32>load<u8>(at++);
    // the fifth byte is the last one, and has four bits left
    if (shift == 28 && b > 15) return false;
    bytes |= (b & 127) << shift;
    if (b < 128) break;
    shift += 7;
  }
  if (<usize>bytes > end - at) return false;
  recordBody = at;
  recordEnd = at + bytes;
  return true;
}
