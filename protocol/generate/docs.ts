/** The tables of docs/internals/protocol.md. */
import { type Bit, type Choice, type Field, firstCode, type Struct } from "../define.ts";
import {
  authMode,
  callerKind,
  failureMode,
  frameType,
  keyState,
  leaseVerdict,
  legacyHeaders,
  limitKind,
  metrics,
  period,
  subject,
  tokenVerdict,
} from "../enums.ts";
import { recordLayouts, structs } from "../records.ts";
import { markdownTable } from "../../scripts/generated.ts";

const code = (text: string): string => `\`${text}\``;
const sizes = {
  u8: 1,
  u16: 2,
  u32: 4,
  u64: 8,
  wireId: 4,
  choice: 1,
  codes: 1,
  bool: 1,
  digest: 16,
  lengthOf: 1,
  route: 4,
} as const;

function values(choice: Choice): string {
  return Object.entries(choice.values)
    .map(([name, value]) => `${value.code} ${name}`)
    .join(", ");
}

function bitText({ bit, meaning, choice }: Bit): string {
  return choice === undefined
    ? `bit ${bit}: ${meaning}`
    : `bits ${bit}-${bit + choice.bits - 1}: ${meaning} (${values(choice.of)})`;
}

/** Type, bytes where they are the same everywhere, and meaning of a field. */
function describe(field: Field): { name: string; type: string; bytes: number | undefined; meaning: string } {
  switch (field.kind) {
    case "zero":
      return { name: "", type: "zeros", bytes: field.bytes, meaning: "" };
    case "flags":
      return {
        name: "flags",
        type: `u${field.bytes * 8}`,
        bytes: field.bytes,
        meaning: field.bits.map(bitText).join("; "),
      };
    case "variant":
      return { name: "what", type: "", bytes: undefined, meaning: field.meaning };
    case "group":
      return {
        name: field.name,
        type: field.members.map(({ name }) => `u32 ${name}`).join(", "),
        bytes: field.members.length * 4,
        meaning: field.meaning,
      };
    case "choice":
      return {
        name: field.name,
        type: "u8",
        bytes: 1,
        meaning: `${field.meaning === "" ? "" : `${field.meaning}: `}${values(field.of)}`,
      };
    default: {
      const types: Readonly<Record<string, string>> = {
        wireId: "u32",
        codes: "u8",
        bool: "u8",
        digest: "16 bytes",
        lengthOf: "u8",
        route: "u32",
        path: "str",
        shortStr: "u8 length, bytes",
        text: "bytes",
        strs: "list<str>",
        paths: "list<str>",
        wireIds: "list<u32>",
        claims: "u16 count, each: u8 length, name, u16 length, value",
        addresses: "u8 count, each: u8 family (4 or 6), u8 prefixBits, 4 or 16 bytes",
        columns: "list<str>, list<list<str>>",
      };
      const type =
        field.kind === "list"
          ? `list<${field.item.name}>`
          : field.kind === "struct"
            ? field.of.name
            : (types[field.kind] ?? field.kind);
      const when = field.when === undefined ? "" : "If its flag is set: ";
      return {
        name: field.name,
        type,
        bytes: (sizes as Readonly<Record<string, number>>)[field.kind],
        meaning: `${when}${field.meaning}`,
      };
    }
  }
}

function layout(owner: Struct): string {
  let offset: number | undefined = 0;
  const fields: Field[] =
    owner.name === "delete"
      ? [{ kind: "u8", name: "kind", meaning: "1 API, 2 TIER, 3 CONSUMER, 4 KEY, 6 LIMIT" }, ...owner.fields]
      : [...owner.fields];
  const rows = fields.map((field) => {
    const { name, type, bytes, meaning } = describe(field);
    const row = [
      offset === undefined ? "" : String(offset),
      type === "" ? "" : code(type),
      name === "" ? "" : code(name),
      meaning,
    ];
    offset =
      offset === undefined ||
      bytes === undefined ||
      ("when" in field && field.when !== undefined && field.kind !== "group")
        ? undefined
        : offset + bytes;
    return row;
  });
  return markdownTable(["offset", "type", "field", "meaning"], rows);
}

/** Every record with its fields, then the parts that several of them have. */
export function recordTables(): string {
  return [
    ...recordLayouts.map(
      (owner) => `### ${owner.code} ${owner.name.toUpperCase()}\n\n${owner.meaning}\n\n${layout(owner)}`,
    ),
    ...structs.map((struct) => `### Part of an API: ${struct.name}\n\n${struct.meaning}\n\n${layout(struct)}`),
  ].join("\n\n");
}

function choiceTable(choice: Choice): string {
  return markdownTable(
    ["code", "name", "meaning"],
    Object.entries(choice.values).map(([name, { code: number, meaning }]) => [String(number), code(name), meaning]),
  );
}

export function enumTables(): string {
  const subjects = markdownTable(
    ["code", "subject", "counts apart", "16 bytes"],
    Object.entries(subject.values).map(([name, { code: number, meaning, bytes }]) => [
      String(number),
      code(name),
      meaning,
      bytes,
    ]),
  );
  const others: [string, Choice][] = [
    ["Auth modes", authMode],
    ["Failure modes", failureMode],
    ["Legacy headers", legacyHeaders],
    ["Key states", keyState],
    ["Limit kinds", limitKind],
    ["Periods", period],
    ["Frame types", frameType],
    ["Verdicts on leases", leaseVerdict],
    ["Kinds of caller", callerKind],
    ["Verdicts on tokens", tokenVerdict],
  ];
  const metricTable = markdownTable(
    ["code", "metric", "counts"],
    Object.entries(metrics).map(([name, { code: number, count, meaning }]) => [
      count === 1 ? String(number) : `${number} to ${number + count - 1}`,
      code(name),
      meaning,
    ]),
  );
  if (others.some(([, choice]) => firstCode(choice) > 1)) throw new Error("an enum begins above 1");
  return [
    `### Subjects\n\n${subjects}`,
    ...others.map(([title, choice]) => `### ${title}\n\n${choiceTable(choice)}`),
    `### Metrics\n\n${metricTable}`,
  ].join("\n\n");
}
