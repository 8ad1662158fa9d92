// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "environ_sizes_get") declare function environ_sizes_get(
  count: usize,
  bytes: usize,
): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "environ_get") declare function environ_get(pointers: usize, bytes: usize): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "clock_time_get") declare function clock_time_get(
  id: u32,
  precision: u64,
  out: usize,
): u32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "random_get") declare function random_get(at: usize, bytes: u32): u32;

import { scratch } from "./memory";

const out = memory.data(16, 8);

/** Nanoseconds of a clock that never goes back, the same for every VM of this process. */
export function monotonicNs(): u64 {
  clock_time_get(1, 0, out);
  return load<u64>(out);
}

export function random64(): u64 {
  random_get(out, 8);
  return load<u64>(out);
}

/** The value of a variable of the VM's environment (only what `vm_config.environment_variables` names is there); empty when absent. */
export function environmentVariable(name: StaticArray<u8>): StaticArray<u8> {
  const none = new StaticArray<u8>(0);
  if (environ_sizes_get(out, out + 4) != 0) return none;
  const count = load<u32>(out);
  const bytes = load<u32>(out, 4);
  const pointers = scratch((<usize>count) << 2);
  const text = scratch(bytes);
  if (count == 0 || pointers == 0 || text == 0 || environ_get(pointers, text) != 0) return none;
  const nameBytes = <usize>name.length;
  const end = text + bytes;
  for (let i: u32 = 0; i < count; i++) {
    const entry = <usize>load<u32>(pointers + ((<usize>i) << 2));
    if (entry < text || entry + nameBytes >= end) continue;
    if (memory.compare(entry, changetype<usize>(name), nameBytes) != 0 || load<u8>(entry + nameBytes) != 0x3d) continue;
    const from = entry + nameBytes + 1;
    let to = from;
    while (to < end && load<u8>(to) != 0) to++;
    const value = new StaticArray<u8>(<i32>(to - from));
    memory.copy(changetype<usize>(value), from, to - from);
    return value;
  }
  return none;
}
