/**
 * Large blocks outside of the garbage collector. Envoy allows a VM 1 GiB and AssemblyScript's heap traps when it can't grow, so what is
 * live here is bounded well below: a block that would pass the bound is refused, and its owner keeps what it has.
 */
const LIVE_LIMIT_BYTES: u64 = 448 << 20;
const HEAD_BYTES: usize = 16;
let liveBytes: u64 = 0;

/** A block of `bytes`, 16-aligned, not cleared; 0 when it would pass the bound. */
export function allocBlock(bytes: u64): usize {
  if (bytes > LIVE_LIMIT_BYTES || liveBytes + bytes > LIVE_LIMIT_BYTES) return 0;
  const at = heap.alloc(<usize>bytes + HEAD_BYTES);
  store<u64>(at, bytes);
  liveBytes += bytes;
  return at + HEAD_BYTES;
}

export function freeBlock(at: usize): void {
  if (at == 0) return;
  liveBytes -= load<u64>(at - HEAD_BYTES);
  heap.free(at - HEAD_BYTES);
}

export function liveBlockBytes(): u64 {
  return liveBytes;
}
