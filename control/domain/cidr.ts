import { isIPv4, isIPv6 } from "node:net";

export interface Cidr {
  family: 4 | 6;
  prefixBits: number;
  /** 4 or 16 bytes, host bits 0 */
  bytes: Uint8Array;
}

/**
 * Reads a network such as `10.0.0.0/8` or `2001:db8::/32`; an address alone is a network of one. `undefined`: not one. Host bits that
 * are set are cleared; an IPv4-mapped IPv6 network becomes IPv4, since that is how the filter sees the caller.
 */
export function parseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf("/");
  const address = slash < 0 ? text : text.slice(0, slash);
  const bitsText = slash < 0 ? undefined : text.slice(slash + 1);
  if (bitsText !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bitsText)) return undefined;
  const bytes = isIPv4(address)
    ? ipv4Bytes(address)
    : isIPv6(address) && !address.includes("%")
      ? ipv6Bytes(address)
      : undefined;
  if (bytes === undefined) return undefined;
  const prefixBits = bitsText === undefined ? bytes.length * 8 : Number(bitsText);
  if (prefixBits > bytes.length * 8) return undefined;
  const network = clearHostBits(bytes, prefixBits);
  if (network.length === 16 && prefixBits >= 96 && isMapped(network)) {
    return { family: 4, prefixBits: prefixBits - 96, bytes: network.slice(12) };
  }
  return { family: network.length === 4 ? 4 : 6, prefixBits, bytes: network };
}

/** The one spelling of a network (RFC 5952 for IPv6). */
export function cidrText(cidr: Cidr): string {
  const address = cidr.family === 4 ? cidr.bytes.join(".") : ipv6Text(cidr.bytes);
  return `${address}/${cidr.prefixBits}`;
}

function ipv4Bytes(address: string): Uint8Array {
  return Uint8Array.from(address.split("."), Number);
}

function ipv6Bytes(address: string): Uint8Array {
  let text = address;
  const lastColon = text.lastIndexOf(":");
  if (text.includes(".")) {
    const [a, b, c, d] = ipv4Bytes(text.slice(lastColon + 1)) as unknown as [number, number, number, number];
    text = `${text.slice(0, lastColon + 1)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
  const front = groups(head);
  const back = tail === undefined ? [] : groups(tail);
  const all = [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]));
}

function clearHostBits(bytes: Uint8Array, prefixBits: number): Uint8Array {
  return bytes.map((byte, index) => byte & (0xff00 >> Math.min(8, Math.max(0, prefixBits - index * 8))));
}

function isMapped(bytes: Uint8Array): boolean {
  return bytes.every((byte, index) => index >= 12 || byte === (index >= 10 ? 255 : 0));
}

function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, index) =>
    ((bytes[index * 2]! << 8) | bytes[index * 2 + 1]!).toString(16),
  );
  let best = { start: 0, length: 0 };
  for (let start = 0; start < 8; start++) {
    let length = 0;
    while (start + length < 8 && groups[start + length] === "0") length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return groups.join(":");
  return `${groups.slice(0, best.start).join(":")}::${groups.slice(best.start + best.length).join(":")}`;
}
