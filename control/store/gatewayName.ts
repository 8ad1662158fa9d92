/** A gateway's name within its environment: ids are each group's own, so that no group speaks for another's gateways. */

/** `<group> <node id>~<boot id>` */
export function gatewayName(group: string, id: string): string {
  return `${encodeURIComponent(group)} ${id}`;
}

/** What `gatewayName` was made of. Rows of earlier versions have the id alone: their group is "". */
export function gatewayOf(name: string): { group: string; id: string } {
  const at = name.indexOf(" ");
  return at < 0 ? { group: "", id: name } : { group: decodeURIComponent(name.slice(0, at)), id: name.slice(at + 1) };
}
