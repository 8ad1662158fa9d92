/** Client addresses as logs write them, and what limits and keys make of them. */
import { isIPv4, isIPv6 } from "node:net";
import { type Cidr, cidrText, parseCidr } from "../../control/domain/cidr.ts";

/** An address without port, brackets and zone. */
export function bareAddress(text: string): string {
  if (text.startsWith("[")) {
    const close = text.indexOf("]");
    return withoutZone(close < 0 ? text : text.slice(1, close));
  }
  const colon = text.indexOf(":");
  // One colon is a port's, more are an IPv6 address's own.
  return colon >= 0 && text.indexOf(":", colon + 1) < 0 ? text.slice(0, colon) : withoutZone(text);
}

/**
 * The address of X-Forwarded-For that Envoy took for the client's: it appends its peer, and believes `trustedHops` entries before that.
 */
export function forwardedAddress(header: string, trustedHops: number): string | undefined {
  if (trustedHops === 0) return header.slice(header.lastIndexOf(",") + 1).trim() || undefined;
  const hops = header.split(",");
  return hops[Math.max(0, hops.length - 1 - trustedHops)]!.trim() || undefined;
}

/** What a limit per `ip` counts by: an IPv4 address, or the /64 of an IPv6 address. `undefined`: it's no address. */
export function addressSubject(address: string): string | undefined {
  if (isIPv4(address)) return address;
  if (!isIPv6(address)) return undefined;
  const one = parseCidr(address);
  if (one === undefined) return undefined;
  return one.family === 4 ? one.bytes.join(".") : cidrText(parseCidr(`${address}/64`)!);
}

/** Is the address in one of the networks? */
export function addressWithin(address: string, networks: readonly Cidr[]): boolean {
  const one = parseCidr(address);
  return (
    one !== undefined && networks.some((network) => network.family === one.family && samePrefix(one.bytes, network))
  );
}

function samePrefix(bytes: Uint8Array, { bytes: network, prefixBits }: Cidr): boolean {
  const whole = prefixBits >> 3;
  for (let index = 0; index < whole; index++) if (bytes[index] !== network[index]) return false;
  const mask = (0xff00 >> (prefixBits & 7)) & 0xff;
  return mask === 0 || ((bytes[whole]! ^ network[whole]!) & mask) === 0;
}

function withoutZone(address: string): string {
  const zone = address.indexOf("%");
  return zone < 0 ? address : address.slice(0, zone);
}
