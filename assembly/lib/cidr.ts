/** Client addresses and the address lists of keys (docs/internals/protocol.md, record KEY). */
import { findByte, hexValue } from "./bytes";

/**
 * Reads an address in the form of Envoy's `source.address`: `10.0.0.1:1234`, `[::1]:80`, `10.0.0.1`, `::1`. A zone (`fe80::1%eth0`) is
 * passed over; an IPv4-mapped IPv6 address counts as the IPv4 address in it. Writes 4 or 16 bytes in network order to out, which must
 * have room for 16, and gives the family, 4 or 6, or 0 when it's no address (a pipe, say).
 */
export function parseAddress(ptr: usize, len: u32, out: usize): i32 {
  // Longer than the longest address with zone and port: nothing that Envoy would send.
  if (len < 2 || len > 128) return 0;
  const end = ptr + len;
  if (load<u8>(ptr) == 0x5b) {
    const close = findByte(ptr + 1, end, 0x5d);
    if (close == end || !isPortOrNothing(close + 1, end)) return 0;
    return parseIPv6(ptr + 1, close, out);
  }
  let colons = 0;
  let lastColon: usize = 0;
  for (let p = ptr; p < end; ++p) {
    if (load<u8>(p) == 0x3a) {
      ++colons;
      lastColon = p;
    }
  }
  if (colons > 1) return parseIPv6(ptr, end, out);
  if (!colons) return parseIPv4(ptr, end, out) ? 4 : 0;
  return isPortOrNothing(lastColon, end) && parseIPv4(ptr, lastColon, out) ? 4 : 0;
}

/** Whether the first `bits` bits of two addresses of the same family agree. */
export function matchPrefix(address: usize, rule: usize, bits: u32): bool {
  let whole = bits >> 3;
  while (whole) {
    if (load<u8>(address) != load<u8>(rule)) return false;
    ++address;
    ++rule;
    --whole;
  }
  const rest = bits & 7;
  return !rest || !((load<u8>(address) ^ load<u8>(rule)) >> <u8>(8 - rest));
}

/**
 * Whether an address of the family (4 or 6) is in a key's address list, which lies between list and listEnd:
 * `u8 count, each: u8 family, u8 prefixBits, 4 | 16 bytes`. A list that is cut off or malformed matches nothing from there on.
 */
export function matchList(list: usize, listEnd: usize, family: i32, address: usize): bool {
  if (list >= listEnd || (family != 4 && family != 6)) return false;
  let count = <u32>load<u8>(list++);
  while (count && listEnd - list >= 2) {
    const ruleFamily = <i32>load<u8>(list);
    const bits = <u32>load<u8>(list, 1);
    const addressBytes: u32 = ruleFamily == 4 ? 4 : 16;
    list += 2;
    if ((ruleFamily != 4 && ruleFamily != 6) || bits > addressBytes << 3 || listEnd - list < <usize>addressBytes)
      return false;
    if (ruleFamily == family && matchPrefix(address, list, bits)) return true;
    list += addressBytes;
    --count;
  }
  return false;
}

/** `:` and 1 to 5 digits, or nothing at all. */
function isPortOrNothing(p: usize, end: usize): bool {
  if (p == end) return true;
  if (load<u8>(p) != 0x3a) return false;
  const digits = end - ++p;
  if (digits < 1 || digits > 5) return false;
  for (; p < end; ++p) {
    if (<u32>load<u8>(p) - 0x30 >= 10) return false;
  }
  return true;
}

/** Four decimal parts without leading zeros, which some readers take for octal. */
function parseIPv4(p: usize, end: usize, out: usize): bool {
  for (let part = 0; part < 4; ++part) {
    if (part) {
      if (p == end || load<u8>(p) != 0x2e) return false;
      ++p;
    }
    const start = p;
    let value: u32 = 0;
    while (p < end && p - start < 4 && <u32>load<u8>(p) - 0x30 < 10) {
      value = value * 10 + load<u8>(p) - 0x30;
      ++p;
    }
    const digits = p - start;
    if (!digits || value > 255 || (digits > 1 && load<u8>(start) == 0x30)) return false;
    store<u8>(out + part, <u8>value);
  }
  return p == end;
}

/** RFC 4291 section 2.2, all three forms. Gives 6, 4 for an IPv4-mapped address, 0 when it's none. */
function parseIPv6(p: usize, end: usize, out: usize): i32 {
  let groups = 0; // groups of 16 bits written so far
  let gap = -1; // how many of them stand before the `::`
  if (end - p < 2) return 0;
  if (load<u8>(p) == 0x3a) {
    if (load<u8>(p, 1) != 0x3a) return 0;
    gap = 0;
    p += 2;
  }
  while (p < end && load<u8>(p) != 0x25) {
    if (groups == 8) return 0;
    const start = p;
    let value: u32 = 0;
    while (p < end && p - start < 5) {
      const digit = hexValue(load<u8>(p));
      if (digit > 15) break;
      value = (value << 4) | digit;
      ++p;
    }
    if (p < end && load<u8>(p) == 0x2e) {
      const stop = findByte(p, end, 0x25);
      if (groups > 6 || !parseIPv4(start, stop, out + (groups << 1))) return 0;
      groups += 2;
      p = stop;
      break;
    }
    if (p == start || p - start > 4) return 0;
    store<u8>(out + (groups << 1), <u8>(value >> 8));
    store<u8>(out + (groups << 1), <u8>value, 1);
    ++groups;
    if (p == end || load<u8>(p) == 0x25) break;
    if (load<u8>(p) != 0x3a || ++p == end) return 0;
    if (load<u8>(p) == 0x3a) {
      if (gap >= 0) return 0;
      gap = groups;
      ++p;
    } else if (load<u8>(p) == 0x25) return 0;
  }
  // a zone must have a name
  if (p < end && p + 1 == end) return 0;
  if (gap < 0) {
    if (groups != 8) return 0;
  } else {
    if (groups == 8) return 0;
    const tailBytes = (<usize>(groups - gap)) << 1;
    memory.copy(out + 16 - tailBytes, out + (gap << 1), tailBytes);
    memory.fill(out + (gap << 1), 0, 16 - tailBytes - (gap << 1));
  }
  if (!load<u64>(out) && load<u32>(out, 8) == 0xffff0000) {
    store<u32>(out, load<u32>(out, 12));
    return 4;
  }
  return 6;
}
