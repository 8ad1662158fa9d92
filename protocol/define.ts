/** The vocabulary in which the protocol is described: choices (enums), fields, records and payload entries. */

export interface Value {
  code: number;
  meaning: string;
}

/** An enum of the wire. Codes are dense, so that a reader knows a value by one comparison. */
export interface Choice<Values extends Record<string, Value> = Record<string, Value>> {
  /** in errors and tables */
  label: string;
  /** what the constants of AssemblyScript begin with */
  prefix: string;
  /** in the order of their codes */
  values: Values;
}

export type NameOf<C extends Choice> = keyof C["values"] & string;

/** Describes an enum. Throws RangeError unless the codes rise by one. */
export function choice<const Values extends Record<string, Value>>(
  label: string,
  prefix: string,
  values: Values,
): Choice<Values> {
  const codes = Object.values(values).map(({ code }) => code);
  codes.forEach((code, index) => {
    if (code !== codes[0]! + index) throw new RangeError(`${label}: code ${code} does not follow ${codes[index - 1]}`);
  });
  return { label, prefix, values };
}

/** The names of an enum, in the order of their codes. */
export function namesOf<C extends Choice>({ values }: C): readonly NameOf<C>[] {
  return Object.keys(values) as NameOf<C>[];
}

/** The codes of an enum by name. */
export function codesOf<C extends Choice>({ values }: C): Readonly<Record<NameOf<C>, number>> {
  return Object.fromEntries(Object.entries(values).map(([name, { code }]) => [name, code])) as Record<
    NameOf<C>,
    number
  >;
}

/** What an enum's codes begin with: 0, or 1 where 0 stands for none. */
export function firstCode({ values }: Choice): number {
  return Object.values(values)[0]!.code;
}

export function lastCode({ values }: Choice): number {
  return Object.values(values).at(-1)!.code;
}

/** One or several bits of a `flags` field. Without `choice` it's one bit. */
export interface Bit {
  bit: number;
  name: string;
  meaning: string;
  /** a field that is there only with this bit */
  presence?: true;
  /** the bit says that this optional field is absent */
  absence?: true;
  /** true in TypeScript where the bit is 0, and left out there */
  inverted?: true;
  /** left out in TypeScript where the bit is 0 */
  optional?: true;
  /** the bits hold a value; the first of `of` is left out in TypeScript with `optional` */
  choice?: { of: Choice; bits: number };
  /** the accessor's name in AssemblyScript */
  as?: string;
}

interface Named {
  name: string;
  meaning: string;
  /** the accessor's name in AssemblyScript, where it isn't the record's name and the field's */
  as?: string;
  /** there only with this bit of the flags */
  when?: string;
}

export type Field =
  | (Named & {
      kind: "u8" | "u16" | "u32" | "u64" /** where it's left out in TypeScript */;
      none?: number /** bounded by name when it's written */;
      bounded?: string /** other values close the record */;
      only?: readonly number[];
      clamped?: true;
    })
  | { kind: "zero"; bytes: 1 | 2 | 3 | 4 | 8 }
  /** u32, never 0 */
  | (Named & { kind: "wireId" })
  /** u8 */
  | (Named & { kind: "choice"; of: Choice })
  | (Named & { kind: "codes"; of: Choice })
  | { kind: "flags"; bytes: 1 | 2 | 4; bits: readonly Bit[] }
  /** 16 bytes; in TypeScript a Uint8Array, or hex */
  | (Named & { kind: "digest"; hex?: true /** of this owner kind only, else zeros */; ofOwner?: string })
  /** u8, 0 or 1 */
  | (Named & { kind: "bool" })
  /** u16 length and bytes */
  | (Named & { kind: "str" })
  /** u8 length and bytes */
  | (Named & { kind: "shortStr" })
  /** u8 length of a text that comes later */
  | (Named & { kind: "lengthOf"; of: string })
  | (Named & { kind: "text" })
  /** u16 count and items */
  | (Named & { kind: "strs" })
  /** as str, and the router can take it */
  | (Named & { kind: "path" })
  | (Named & { kind: "paths" })
  | (Named & { kind: "wireIds" })
  | (Named & { kind: "list"; item: Struct })
  /** list<str> of each item's first member, then list<list<str>> of its second one */
  | (Named & { kind: "columns"; columns: readonly [string, string] })
  /** u16 count, each: u8 nameBytes, name, u16 valueBytes, value */
  | (Named & { kind: "claims" })
  /** u8 count, each: u8 family, u8 prefixBits, 4 | 16 bytes */
  | (Named & { kind: "addresses" })
  /** members that lie here always, and count with `when` only */
  | (Named & { kind: "group"; members: readonly { name: string; as: string; meaning: string }[] })
  | (Named & { kind: "struct"; of: Struct })
  /** an owner's route, NO_ROUTE for others */
  | (Named & { kind: "route"; owner: string })
  /** what follows depends on the choice before it */
  | { kind: "variant"; on: string; key: string; digest: string; wireId: string; meaning: string };

export interface Struct {
  /** the prefix of accessors; the interface in TypeScript */
  name: string;
  type: string;
  meaning: string;
  fields: readonly Field[];
}

/** A record of a page or a delta. */
export interface RecordLayout extends Struct {
  code: number;
  /** what a reader does at load to a record with a value that it doesn't know, in AssemblyScript; `at` is the body */
  closed?: { meaning: string; constant: readonly [name: string, value: number]; as: readonly string[] };
  /** what no writer makes, and the filter can't work with, in AssemblyScript */
  broken?: string;
  /** optional fields that the filter reads together into variables */
  opened?: { meaning: string; standIn: readonly string[] };
}
