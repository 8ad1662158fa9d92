/** Numbers and names of the wire format; docs/internals/protocol.md says what they mean. */

export const MAGIC = 0x31574754;
export const FORMAT = 1;
export const HEADER_BYTES = 48;
export const MANIFEST_BYTES = 40;
export const MAX_FRAME_BYTES = 1 << 20;
export const CONTENT_TYPE = "application/vnd.tollgate.frames";

export { frameCodes } from "../../protocol/enums.ts";

export const FLAG_MORE = 1;

/** What `name` of a table has this code; undefined when the code is unknown. */
export function nameOf<T extends string>(table: Readonly<Record<T, number>>, code: number): T | undefined {
  for (const name in table) if (table[name] === code) return name;
  return undefined;
}
