/** `control/sync/generated/records.ts`: the types of records, and their codec. */
import { type Bit, type Choice, type Field, firstCode, type RecordLayout, type Struct } from "../define.ts";
import * as enums from "../enums.ts";
import { recordLayouts, structs } from "../records.ts";

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);
const maxOf = { u8: 0xff, u16: 0xffff, u32: 0xffffffff } as const;
const isRecord = (owner: Struct): owner is RecordLayout => "code" in owner;

/** The name by which `protocol/enums.ts` exports an enum. */
function exportOf(choice: Choice): string {
  return Object.entries(enums).find(([, value]) => value === (choice as unknown))![0];
}

const used = new Map<string, Choice>();
/** The constant with an enum's names in the generated file. */
function names(choice: Choice): string {
  const name = `${exportOf(choice)}Names`;
  used.set(name, choice);
  return name;
}

function typeNames(choice: Choice): string {
  return `(typeof ${names(choice)})[number]`;
}

/** A value that no writer varies. */
function isFixed(field: Field): field is Field & { only: readonly number[] } {
  return field.kind === "u8" && field.only !== undefined;
}

// ---- types -------------------------------------------------------------------------------------------------------------------------------

interface Member {
  name: string;
  type: string;
  optional: boolean;
  meaning: string;
}

function bitMembers({ name, meaning, presence, absence, inverted, optional, choice }: Bit): Member[] {
  if (presence || absence) return [];
  if (choice !== undefined)
    return [
      {
        name,
        type: typeNames(choice.of),
        optional: optional === true,
        meaning: optional ? `${meaning}; absent: ${Object.keys(choice.of.values)[0]}` : meaning,
      },
    ];
  return [
    {
      name,
      type: "boolean",
      optional: inverted === true || optional === true,
      meaning: inverted ? "absent: true" : meaning,
    },
  ];
}

function members(owner: Struct): Member[] {
  const bits = owner.fields.flatMap((field) => (field.kind === "flags" ? field.bits : []));
  return owner.fields.flatMap((field): Member[] => {
    if (field.kind === "zero" || field.kind === "lengthOf" || field.kind === "variant" || isFixed(field)) return [];
    if (field.kind === "flags") return field.bits.flatMap(bitMembers);
    const absent = bits.some(({ name, absence }) => absence && name === field.name);
    const optional =
      field.when !== undefined ||
      absent ||
      ("none" in field && field.none !== undefined) ||
      field.kind === "route" ||
      (field.kind === "digest" && field.ofOwner !== undefined);
    return [{ name: field.name, type: typeOf(field), optional, meaning: field.meaning }];
  });
}

function typeOf(field: Exclude<Field, { kind: "zero" | "lengthOf" | "variant" | "flags" }>): string {
  switch (field.kind) {
    case "u8":
    case "u16":
    case "u32":
    case "u64":
    case "wireId":
    case "route":
      return "number";
    case "choice":
      return typeNames(field.of);
    case "codes":
      return "keyof typeof ownerKinds";
    case "bool":
      return "boolean";
    case "digest":
      return field.hex ? "string" : "Uint8Array";
    case "str":
    case "path":
    case "shortStr":
    case "text":
      return "string";
    case "strs":
    case "paths":
    case "addresses":
      return "string[]";
    case "wireIds":
      return "number[]";
    case "list":
      return `${field.item.type}[]`;
    case "struct":
      return field.of.type;
    case "claims":
      return "Record<string, string>";
    case "columns":
      return `{ ${field.columns[0]}: string; ${field.columns[1]}: string[] }[]`;
    case "group":
      return `{ ${field.members.map(({ name }) => `${name}: number`).join("; ")} }`;
  }
}

function interfaceOf(owner: Struct): string {
  if (owner.name === "delete") {
    const others = Object.keys(enums.deleteKinds)
      .filter((kind) => kind !== "key")
      .map((kind) => JSON.stringify(kind));
    return `/** ${owner.meaning} */\nexport type DeleteRecord =\n  | { type: "delete"; kind: ${others.join(" | ")}; wireId: number }\n  | { type: "delete"; kind: "key"; digest: Uint8Array };`;
  }
  const lines = members(owner).map(
    ({ name, type, optional, meaning }) =>
      `${meaning === "" ? "" : `  /** ${meaning} */\n`}  ${name}${optional ? "?" : ""}: ${type};`,
  );
  return `/** ${owner.meaning} */\nexport interface ${owner.type} {\n${isRecord(owner) ? `  type: ${JSON.stringify(owner.name)};\n` : ""}${lines.join("\n")}\n}`;
}

// ---- writing -----------------------------------------------------------------------------------------------------------------------------

function bitsValue(bits: readonly Bit[]): string {
  return bits
    .map(({ bit, name, presence, absence, inverted, optional, choice }) => {
      if (choice !== undefined) {
        const value = `${names(choice.of)}.indexOf(value.${name}${optional ? ` ?? ${JSON.stringify(Object.keys(choice.of.values)[0])}` : ""})`;
        return bit === 0 ? value : `(${value} << ${bit})`;
      }
      const condition = presence
        ? `value.${name} !== undefined`
        : absence
          ? `value.${name} === undefined`
          : inverted
            ? `value.${name} === false`
            : optional
              ? `value.${name} === true`
              : `value.${name}`;
      return `(${condition} ? ${1 << bit} : 0)`;
    })
    .join(" | ");
}

function writes(owner: Struct): string[] {
  const bits = owner.fields.flatMap((field) => (field.kind === "flags" ? field.bits : []));
  return owner.fields.flatMap((field): string[] => {
    if (field.kind === "variant") return [];
    const lines = write(field, bits);
    return "when" in field && field.when !== undefined && field.kind !== "group"
      ? [`if (value.${field.name} !== undefined) {`, ...lines.map((line) => `  ${line}`), "}"]
      : lines;
  });
}

function write(field: Exclude<Field, { kind: "variant" }>, bits: readonly Bit[]): string[] {
  if (field.kind === "zero") return [`pos = zeros(page, pos, ${field.bytes});`];
  if (field.kind === "flags") return [`pos = u${field.bytes * 8}(page, pos, ${bitsValue(field.bits)});`];
  if (isFixed(field)) return [`pos = u8(page, pos, ${field.only[0]});`];
  const value = `value.${field.name}`;
  switch (field.kind) {
    case "u8":
    case "u16":
    case "u32": {
      const number = field.none === undefined ? value : `${value} ?? ${field.none}`;
      return [
        `pos = ${field.kind}(page, pos, ${field.bounded === undefined ? number : `bounded(owner, ${JSON.stringify(field.bounded)}, ${number}, ${maxOf[field.kind]})`});`,
      ];
    }
    case "u64":
      return [`pos = u64(page, pos, ${value}, owner);`];
    case "wireId":
      return [`pos = u32(page, pos, wireId(owner, ${value}));`];
    case "choice":
      return [
        `pos = u8(page, pos, ${names(field.of)}.indexOf(${value})${firstCode(field.of) === 0 ? "" : ` + ${firstCode(field.of)}`});`,
      ];
    case "codes":
      return [`pos = u8(page, pos, ownerKinds[${value}]);`];
    case "bool":
      return [`pos = u8(page, pos, ${value} ? 1 : 0);`];
    case "digest":
      return [
        `pos = digest(page, pos, ${field.hex ? `Buffer.from(${value}, "hex")` : field.ofOwner === undefined ? value : `${value} ?? noDigest`}, owner);`,
      ];
    case "str":
    case "path":
      return [`pos = str(page, pos, ${value}, owner);`];
    case "shortStr":
      return [`pos = shortStr(page, pos, ${value}, owner, ${JSON.stringify(field.name)});`];
    case "lengthOf":
      return [
        `const ${field.name} = Buffer.byteLength(value.${field.of});`,
        `pos = u8(page, pos, bounded(owner, "bytes of the ${field.of}", ${field.name}, 255));`,
      ];
    case "text":
      return [`pos = text(page, pos, ${value}, nameBytes);`];
    case "strs":
    case "paths":
      return [`pos = strings(page, pos, ${value}, owner);`];
    case "wireIds":
      return [
        `pos = wireIds(page, pos, ${value}${bits.some(({ name, absence }) => absence && name === field.name) ? " ?? []" : ""}, owner);`,
      ];
    case "claims":
    case "addresses":
      return [`pos = ${field.kind}(page, pos, ${value}, owner);`];
    case "list":
      return [
        `pos = u16(page, pos, bounded(owner, ${JSON.stringify(field.name)}, ${value}.length, 65535));`,
        `for (const item of ${value}) pos = write${capital(field.item.name)}(page, pos, item, owner);`,
      ];
    case "struct":
      return [`pos = write${capital(field.of.name)}(page, pos, ${value}, owner);`];
    case "columns": {
      const [first, second] = field.columns;
      return [
        `pos = strings(page, pos, ${value}.map(({ ${first} }) => ${first}), owner);`,
        `pos = u16(page, pos, ${value}.length);`,
        `for (const { ${second} } of ${value}) pos = strings(page, pos, ${second}, owner);`,
      ];
    }
    case "group":
      return field.members.map(
        ({ name }) =>
          `pos = u32(page, pos, bounded(owner, "${field.name}.${name}", ${value}?.${name} ?? 0, 4294967295));`,
      );
    case "route":
      return [`pos = u32(page, pos, ${value} ?? NO_ROUTE);`];
  }
}

function writer(owner: Struct): string {
  if (owner.name === "delete") {
    return `function writeDelete(page: Buffer, at: number, value: DeleteRecord): number {\n  const pos = u8(page, at, deleteKinds[value.kind]);\n  return value.kind === "key" ? digest(page, pos, value.digest, value) : u32(page, pos, wireId(value, value.wireId));\n}`;
  }
  const body = writes(owner)
    .map((line) => `  ${line}`)
    .join("\n")
    .replace(isRecord(owner) ? /(?<=[(,] ?)owner(?=[,)])/g : /\0/g, "value");
  return `function write${capital(owner.name)}(page: Buffer, at: number, value: ${owner.type}${isRecord(owner) ? "" : ", owner: WireRecord"}): number {\n  let pos = at;\n${body}\n  return pos;\n}`;
}

// ---- reading -----------------------------------------------------------------------------------------------------------------------------

function read(field: Exclude<Field, { kind: "variant" | "flags" | "zero" }>): string {
  switch (field.kind) {
    case "u8":
    case "lengthOf":
      return "body.u8()";
    case "u16":
      return "body.u16()";
    case "u32":
    case "route":
      return "body.u32()";
    case "u64":
      return "body.u64()";
    case "wireId":
      return "body.wireId()";
    case "choice":
      return `body.choice(${names(field.of)}, ${firstCode(field.of)})`;
    case "codes":
      return "body.code(ownerKinds)";
    case "bool":
      return `body.flag(${JSON.stringify(field.name)})`;
    case "digest":
      return field.hex ? "body.hex(16)" : "body.raw(16)";
    case "str":
    case "path":
      return "body.str()";
    case "shortStr":
      return "body.shortStr()";
    case "text":
      return "body.text(nameBytes)";
    case "strs":
    case "paths":
      return "body.strings()";
    case "wireIds":
      return "body.wireIds()";
    case "claims":
    case "addresses":
      return `read${capital(field.kind)}(body)`;
    case "list":
      return `body.list(read${capital(field.item.name)})`;
    case "struct":
      return `read${capital(field.of.name)}(body)`;
    case "columns":
      return `readColumns(body, (${field.columns[0]}, ${field.columns[1]}) => ({ ${field.columns.join(", ")} }))`;
    case "group":
      return `{ ${field.members.map(({ name }) => `${name}: body.u32()`).join(", ")} }`;
  }
}

function reader(owner: Struct): string {
  if (owner.name === "delete") {
    return `function readDelete(body: Fields): DeleteRecord {\n  const kind = body.code(deleteKinds);\n  if (body.unknown) body.stop();\n  return kind === "key" ? { type: "delete", kind, digest: body.raw(16) } : { type: "delete", kind, wireId: body.wireId() };\n}`;
  }
  const lines: string[] = [];
  const plain: string[] = isRecord(owner) ? [`type: ${JSON.stringify(owner.name)}`] : [];
  const late: string[] = [];
  const flags = owner.fields.find((field) => field.kind === "flags");
  const bits = flags?.kind === "flags" ? flags.bits : [];
  for (const field of owner.fields) {
    if (field.kind === "variant") continue;
    if (field.kind === "zero") lines.push(`body.skip(${field.bytes});`);
    else if (field.kind === "flags") {
      const known = field.bits.reduce((mask, bit) => mask | (((1 << (bit.choice?.bits ?? 1)) - 1) << bit.bit), 0);
      lines.push(`const flags = body.flags(body.u${field.bytes * 8}(), ${known});`);
      for (const { bit, name, presence, absence, inverted, optional, choice } of field.bits) {
        if (presence || absence) continue;
        const set = `(flags & ${1 << bit}) !== 0`;
        if (choice !== undefined) {
          lines.push(
            `const ${name} = body.pick(flags${bit === 0 ? "" : ` >> ${bit}`} & ${(1 << choice.bits) - 1}, ${names(choice.of)});`,
          );
          if (optional)
            late.push(`if (${name} !== ${JSON.stringify(Object.keys(choice.of.values)[0])}) record.${name} = ${name};`);
          else plain.push(name);
        } else if (inverted) late.push(`if (${set}) record.${name} = false;`);
        else if (optional) late.push(`if (${set}) record.${name} = true;`);
        else plain.push(`${name}: ${set}`);
      }
    } else if (isFixed(field)) lines.push(`body.only(body.u8(), ${JSON.stringify(field.only)});`);
    else if (field.kind === "lengthOf") lines.push(`const ${field.name} = body.u8();`);
    else if ("when" in field && field.when !== undefined && field.kind !== "group") {
      late.push(
        `if ((flags & ${1 << bits.find(({ name }) => name === field.when)!.bit}) !== 0) record.${field.name} = ${read(field)};`,
      );
    } else {
      const bit = bits.find(({ name, absence }) => absence && name === field.name);
      if (bit !== undefined || field.kind === "route") lines.push(`const ${field.name}At = body.pos;`);
      lines.push(`const ${field.name} = ${read(field)};`);
      if (bit !== undefined) {
        lines.push(
          `if ((flags & ${1 << bit.bit}) !== 0 && ${field.name}.length > 0) body.refuse(${field.name}At, "${bit.meaning.split(",")[0]}, and yet a list");`,
        );
        late.push(`if ((flags & ${1 << bit.bit}) === 0) record.${field.name} = ${field.name};`);
      } else if (field.kind === "route") {
        lines.push(
          `if (!body.unknown && (ownerKind === "${field.owner}") !== (${field.name} !== NO_ROUTE)) body.refuse(${field.name}At, "a route's limit names the route, and no other does");`,
        );
        late.push(`if (${field.name} !== NO_ROUTE) record.${field.name} = ${field.name};`);
      } else if (field.kind === "digest" && field.ofOwner !== undefined)
        late.push(`if (ownerKind === ${JSON.stringify(field.ofOwner)}) record.${field.name} = ${field.name};`);
      else if (field.kind === "group")
        late.push(
          `if ((flags & ${1 << bits.find(({ name }) => name === field.when)!.bit}) !== 0) record.${field.name} = ${field.name};`,
        );
      else if ("none" in field && field.none !== undefined)
        late.push(`if (${field.name} !== ${field.none}) record.${field.name} = ${field.name};`);
      else plain.push(field.name);
    }
  }
  const object = `{ ${plain.join(", ")} }`;
  const end =
    late.length === 0 ? [`return ${object};`] : [`const record: ${owner.type} = ${object};`, ...late, "return record;"];
  return `function read${capital(owner.name)}(body: Fields): ${owner.type} {\n${[...lines, ...end].map((line) => `  ${line}`).join("\n")}\n}`;
}

/** The file, types first. */
export function typescriptRecords(): string {
  const all = [...structs, ...recordLayouts];
  const types = all.map(interfaceOf);
  const code = all.flatMap((owner) => [writer(owner), reader(owner)]);
  const constants = [...used].map(([name, choice]) => `export const ${name} = namesOf(${exportOf(choice)});`);
  const imported = [...used.values()].map(exportOf);
  const helpers = [
    "addresses",
    "bounded",
    "bytes",
    "claims",
    "digest",
    "noDigest",
    "shortStr",
    "str",
    "strings",
    "text",
    "u16",
    "u32",
    "u64",
    "u8",
    "wireId",
    "wireIds",
    "zeros",
  ];
  return `/** Generated by \`npm run generate\` from protocol/records.ts: the records of pages and deltas as plain objects, with wire ids in place of names, and their codec. */
import { namesOf } from "../../../protocol/define.ts";
import { ${[...imported, "deleteKinds", "NO_ROUTE", "ownerKinds", "recordCodes", "skippableType"].join(", ")} } from "../../../protocol/enums.ts";
import { ${helpers.join(", ")} } from "../bytes.ts";
import { type Fields, readAddresses, readClaims, readColumns } from "../fields.ts";

${constants.join("\n")}

${types.join("\n\n")}

/** A record with a value that this version doesn't know: whoever needs it is refused. */
export interface ClosedRecord {
  type: "closed";
  of: keyof typeof recordCodes;
  body: Uint8Array;
}

/** A record of a type that this version doesn't know; a reader skips those with codes from 128 on. */
export interface OtherRecord {
  type: "other";
  code: number;
  body: Uint8Array;
}

export type KnownRecord = ${recordLayouts.map(({ type }) => type).join(" | ")};
export type WireRecord = KnownRecord | ClosedRecord | OtherRecord;

/** The type code that stands in front of a record. */
export function codeOf(record: WireRecord): number {
  return record.type === "other" ? record.code : recordCodes[record.type === "closed" ? record.of : record.type];
}

/** Writes a record's body and gives its end. Stores past the end of a buffer are dropped. Throws EncodeError. */
export function writeBody(page: Buffer, at: number, record: WireRecord): number {
  switch (record.type) {
${recordLayouts.map(({ name }) => `    case ${JSON.stringify(name)}:\n      return write${capital(name)}(page, at, record);`).join("\n")}
    case "closed":
    case "other":
      return bytes(page, at, record.body, record.body.length);
  }
}

/** Reads a record's body. \`undefined\`: its type is of a newer format. Throws Refused. */
export function readBody(code: number, body: Fields): WireRecord | undefined {
  switch (code) {
${recordLayouts.map(({ name }) => `    case recordCodes.${name}:\n      return body.closing(${JSON.stringify(name)}, read${capital(name)});`).join("\n")}
    default:
      return code < skippableType ? undefined : { type: "other", code, body: body.raw(body.left) };
  }
}

${code.join("\n\n")}
`;
}
