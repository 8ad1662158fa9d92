/** `assembly/wire/records.ts`, `keyFields.ts` and `validate.ts`: accessors, and what is checked before they may be used. */
import { type Bit, type Field, firstCode, type RecordLayout, type Struct } from "../define.ts";
import { recordLayouts, structs } from "../records.ts";
import { constantName } from "./assemblyEnums.ts";

/** Where a field lies: the address before it, in terms of a function's parameter, and bytes to add. `depth`: steps over variable fields that are inlined. */
interface Where {
  base: string;
  plus: number;
  depth: number;
}

/** More steps than these are a call. */
const INLINE_DEPTH = 3;
const fixedBytes = {
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
const DELETE_BYTES = { kind: 1, wireId: 4, digest: 16 };

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);
const address = ({ base, plus }: Where): string => (plus === 0 ? base : `${base} + ${plus}`);
const loadAt = (type: string, { base, plus }: Where): string =>
  plus === 0 ? `load<${type}>(${base})` : `load<${type}>(${base}, ${plus})`;
const inlined = "// @ts-ignore: decorator\n@inline\n";
const uint = (bytes: number): string => `u${bytes * 8}`;

function bitName(owner: string, { name, presence, inverted, choice, as }: Bit): string {
  if (as !== undefined && as === as.toUpperCase()) return constantName(owner, as);
  return constantName(owner, presence ? "has" : inverted ? "no" : choice === undefined ? "is" : "", name);
}

/** The bytes of a field whose size is the same everywhere; undefined for others. */
function sizeOf(field: Field): number | undefined {
  if (field.kind === "zero" || field.kind === "flags") return field.bytes;
  if (field.kind === "group") return field.members.length * 4;
  return (fixedBytes as Readonly<Record<string, number>>)[field.kind];
}

function doc(meaning: string): string {
  return meaning === "" ? "" : `/** ${capital(meaning)}. */\n`;
}

class Accessors {
  readonly text: string[] = [];
  readonly #owner: Struct;
  readonly #param: string;
  #where: Where;
  /** the optional fields before the one at hand, each with how to step over it */
  readonly #optional: { constant: string; after: (at: string) => string }[] = [];

  constructor(owner: Struct) {
    this.#owner = owner;
    this.#param = owner.name === "delete" ? "deletion" : owner.name;
    this.#where = { base: this.#param, plus: 0, depth: 0 };
    for (const field of owner.fields) this.#add(field);
    if (structs.includes(owner)) this.#emit(`${owner.name}End`, "usize", address(this.#where), "", this.#where.depth);
  }

  #emit(name: string, type: string, body: string, meaning: string, depth: number): void {
    this.text.push(
      `${doc(meaning)}${depth > INLINE_DEPTH ? "" : inlined}export function ${name}(${this.#param}: usize): ${type} { return ${body}; }`,
    );
  }

  #name(field: { name: string; as?: string }): string {
    return field.as ?? this.#param + capital(field.name);
  }

  #add(field: Field): void {
    const size = sizeOf(field);
    if (field.kind === "flags") this.#flags(field.bytes, field.bits);
    else if (field.kind === "variant") {
      this.#emit("deleteKind", "u32", loadAt("u8", this.#where), "", 0);
      this.#emit("deleteWhat", "usize", `${this.#param} + ${DELETE_BYTES.kind}`, field.meaning, 0);
    } else if (field.kind === "group") {
      field.members.forEach((member, index) =>
        this.#emit(member.as, "u32", loadAt("u32", { ...this.#where, plus: this.#where.plus + index * 4 }), "", 0),
      );
    } else if ("when" in field && field.when !== undefined) this.#optionalField(field);
    else if (field.kind !== "zero") this.#plain(field);
    if (size !== undefined && !("when" in field && field.kind !== "group"))
      this.#where = { ...this.#where, plus: this.#where.plus + size };
  }

  #plain(field: Exclude<Field, { kind: "zero" | "flags" | "variant" | "group" }>): void {
    const name = this.#name(field);
    const at = this.#where;
    switch (field.kind) {
      case "u8":
      case "u16":
      case "u32":
      case "u64":
        return this.#emit(name, field.kind === "u64" ? "u64" : "u32", loadAt(field.kind, at), field.meaning, at.depth);
      case "wireId":
      case "route":
        return this.#emit(name, "u32", loadAt("u32", at), field.meaning, at.depth);
      case "choice":
      case "codes":
      case "lengthOf":
        return this.#emit(name, "u32", loadAt("u8", at), field.meaning, at.depth);
      case "bool":
        return this.#emit(name, "bool", `${loadAt("u8", at)} != 0`, field.meaning, at.depth);
      case "digest":
      case "text":
        return this.#emit(name, "usize", address(at), field.meaning, at.depth);
      case "shortStr": {
        this.#emit(`${name}Bytes`, "u32", loadAt("u8", at), "", at.depth);
        const text = { ...at, plus: at.plus + 1 };
        this.#emit(name, "usize", address(text), field.meaning, at.depth);
        this.#where = { base: `${address(text)} + ${loadAt("u8", at)}`, plus: 0, depth: at.depth + 1 };
        if (this.#owner.name === "key") {
          this.#emit("keyFields", "usize", address(this.#where), "what follows the id", this.#where.depth);
          this.#where = { base: "keyFields(key)", plus: 0, depth: 1 };
        }
        return;
      }
      case "columns": {
        const [first, second] = field.columns.map(
          (column) => this.#param + capital(column === "issuer" ? "issuers" : column),
        ) as [string, string];
        this.#emit(first, "usize", address(at), "", at.depth);
        this.#emit(
          second,
          "usize",
          `afterTexts(${first}(${this.#param}))`,
          "a list of lists, one for each of the list before it",
          at.depth + 1,
        );
        this.#where = { base: `afterLists(${second}(${this.#param}))`, plus: 0, depth: INLINE_DEPTH + 1 };
        return;
      }
      default: {
        this.#emit(name, "usize", address(at), field.meaning, at.depth);
        const depth = at.depth > INLINE_DEPTH ? 0 : at.depth;
        this.#where = { base: `${afterOf(field)}(${name}(${this.#param}))`, plus: 0, depth: depth + 1 };
      }
    }
  }

  #flags(bytes: number, bits: readonly Bit[]): void {
    const at = this.#where;
    const owner = this.#param;
    for (const bit of bits) {
      this.text.push(
        `${doc(bit.meaning)}export const ${bitName(owner, bit)}: u32 = ${bit.choice === undefined ? 1 << bit.bit : ((1 << bit.choice.bits) - 1) << bit.bit};`,
      );
    }
    this.#emit(`${owner}Flags`, "u32", loadAt(uint(bytes), at), "", at.depth);
    for (const bit of bits) {
      if (bit.choice !== undefined && bit.bit > 0)
        this.#emit(
          owner + capital(bit.name),
          "u32",
          `${loadAt(uint(bytes), at)} >> ${bit.bit} & ${(1 << bit.choice.bits) - 1}`,
          "",
          at.depth,
        );
      else if (bit.as !== undefined && bit.as !== bit.as.toUpperCase())
        this.#emit(bit.as, "bool", `(${loadAt(uint(bytes), at)} & ${bitName(owner, bit)}) != 0`, bit.meaning, at.depth);
    }
  }

  /** A field that may be missing: its address, or 0. */
  #optionalField(field: Field & { name: string; meaning: string; when?: string }): void {
    const owner = this.#param;
    const bits = this.#owner.fields.flatMap((each) => (each.kind === "flags" ? each.bits : []));
    const constant = bitName(owner, bits.find(({ name }) => name === field.when)!);
    const name = owner + capital(field.name);
    const steps = this.#optional.map((one) => `  if (flags & ${one.constant}) at = ${one.after("at")};\n`).join("");
    const body =
      steps === ""
        ? `  return (${owner}Flags(${owner}) & ${constant}) == 0 ? 0 : ${address(this.#where)};\n`
        : `  const flags = ${owner}Flags(${owner});\n  if ((flags & ${constant}) == 0) return 0;\n  let at: usize = ${address(this.#where)};\n${steps}  return at;\n`;
    this.text.push(
      `/** ${capital(field.meaning === "" ? `the ${field.name} part` : field.meaning)}; 0: there is none. */\nexport function ${name}(${owner}: usize): usize {\n${body}}`,
    );
    this.#optional.push({ constant, after: (at) => stepOver(field, at) });
  }
}

function stepOver(field: Field, at: string): string {
  const size = sizeOf(field);
  return size !== undefined ? `${at} + ${size}` : `${afterOf(field)}(${at})`;
}

function afterOf(field: Field): string {
  switch (field.kind) {
    case "str":
    case "path":
      return "next";
    case "strs":
    case "paths":
      return "afterTexts";
    case "wireIds":
      return "afterIds";
    case "addresses":
      return "afterAddresses";
    case "claims":
      return "afterClaims";
    case "list":
      return `after${capital(field.name)}`;
    case "struct":
      return `${field.of.name}End`;
    default:
      throw new Error(`no way over a field of kind ${field.kind}`);
  }
}

/** Imports exactly what the text uses. */
function importsOf(text: string, modules: Readonly<Record<string, readonly string[]>>): string {
  return Object.entries(modules)
    .map(([path, names]) => [path, names.filter((name) => new RegExp(`\\b${name}\\b`).test(text))] as const)
    .filter(([, names]) => names.length > 0)
    .map(([path, names]) => `import { ${names.join(", ")} } from "${path}";\n`)
    .join("");
}

const lists = ["afterAddresses", "afterClaims", "afterIds", "afterLists", "afterTexts", "count", "first", "next"];
const enumNames = (text: string): string[] =>
  [
    ...new Set(
      [
        ...text.matchAll(
          /\b(?:AUTH|FAILURE|LEGACY|STATE|KIND|SUBJECT|PERIOD|OWNER)_(?:LAST|KINDS|NONE)\b|\b(?:API|TIER|CONSUMER|KEY|DELETE|LIMIT|COUNTER|DELETE_KINDS)\b/g,
        ),
      ].map(([name]) => name),
    ),
  ].sort();

export function assemblyRecords(): string {
  const blocks = [...structs, ...recordLayouts].map((owner) => {
    const closed = "closed" in owner ? (owner as RecordLayout).closed : undefined;
    const constant =
      closed === undefined
        ? []
        : [
            `/** Of a record that has a value which this build doesn't know. It ${closed.meaning}. */\nexport const ${closed.constant[0]}: u32 = ${closed.constant[1]};`,
          ];
    return [
      `// ---- ${owner.name === "delete" ? "DELETE" : owner.type}: ${owner.meaning}`,
      ...constant,
      ...new Accessors(owner).text,
    ].join("\n");
  });
  const loops = structs.flatMap((struct) =>
    recordLayouts.flatMap(({ fields }) =>
      fields.flatMap((field) =>
        field.kind === "list" && field.item === struct
          ? [
              `/** What follows a list of these. */\nexport function after${capital(field.name)}(list: usize): usize {\n  let item = first(list);\n  for (let n = count(list); n > 0; n--) item = ${struct.name}End(item);\n  return item;\n}`,
            ]
          : [],
      ),
    ),
  );
  const body = [...blocks, ...loops].join("\n\n");
  return `/**\n * Generated by \`npm run generate\` from protocol/records.ts: what lies where in records. They are validated once, when they are read, and from\n * then on used where they lie: the request path walks the bytes without checks.\n */\n${importsOf(body, { "./lists": lists })}\n${body}\n`;
}

// ---- the fields that are read together ---------------------------------------------------------------------------------------------------

const openedTypes: Readonly<Record<string, string>> = { u64: "u64", wireId: "u32" };

export function assemblyOpened(): string {
  const owner = recordLayouts.find(({ opened }) => opened !== undefined)!;
  const { meaning, standIn } = owner.opened!;
  const bits = owner.fields.flatMap((field) => (field.kind === "flags" ? field.bits : []));
  const fields = owner.fields.filter(
    (field): field is Field & { name: string; meaning: string; as: string; when: string } =>
      "when" in field && field.when !== undefined,
  );
  const constant = (field: { when: string }) => bitName(owner.name, bits.find(({ name }) => name === field.when)!);
  const typeOf = (field: Field) => openedTypes[field.kind] ?? "usize";
  const reads = fields.map((field, index) => {
    const last = index === fields.length - 1;
    const value = openedTypes[field.kind] === undefined ? "at" : `load<${openedTypes[field.kind]}>(at)`;
    const step = last ? "" : sizeOf(field) !== undefined ? ` at += ${sizeOf(field)};` : ` at = ${afterOf(field)}(at);`;
    const end = field.kind === "addresses" ? ` ${field.as}End = at;` : "";
    return `  if (flags & ${constant(field)}) { ${field.as} = ${value};${step}${end} }`;
  });
  const rest = bits.find(({ choice }) => choice !== undefined)!;
  const body = `${fields.map((field) => `/** ${capital(field.meaning)}; 0: none. */\nexport let ${field.as}: ${typeOf(field)} = 0;${field.kind === "addresses" ? `\nexport let ${field.as}End: usize = 0;` : ""}`).join("\n")}

/** As \`openKey\`, for ${meaning}. */
export function openCaller(${standIn.map((name) => `${name}: ${typeOf(fields.find((field) => field.name === name)!)}`).join(", ")}): void {
${fields.map((field) => `  ${field.as} = ${standIn.includes(field.name) ? field.name : "0"};`).join("\n")}
}

/** Reads the optional fields of a validated record into this module's variables. */
export function openKey(key: usize): void {
  const flags = keyFlags(key);
${fields.map((field) => `  ${field.as} = 0;`).join("\n")}
  if ((flags & ~${bitName(owner.name, rest)}) == 0) return;
  let at = keyFields(key);
${reads.join("\n")}
}
`;
  const constants = bits.map((bit) => bitName(owner.name, bit));
  return `/** Generated by \`npm run generate\` from protocol/records.ts: a KEY record's optional fields, which follow its id in the order of its flags. */\n${importsOf(body, { "./lists": lists, "./records": [...constants, "keyFields", "keyFlags"] })}\n${body}`;
}

// ---- validation --------------------------------------------------------------------------------------------------------------------------

/** The statements that step over fields, in order. */
function steps(owner: Struct): string[] {
  const lines: string[] = [];
  let run = 0;
  const flush = () => {
    if (run > 0) lines.push(`skip(${run});`);
    run = 0;
  };
  const offsets = offsetsOf(owner);
  const flags = owner.fields.some((field) => "when" in field && field.when !== undefined && field.kind !== "group");
  const bits = owner.fields.flatMap((field) => (field.kind === "flags" ? field.bits : []));
  for (const field of owner.fields) {
    const size = sizeOf(field);
    const when = "when" in field && field.kind !== "group" ? field.when : undefined;
    if (size !== undefined && when === undefined) {
      run += size;
      continue;
    }
    flush();
    const before =
      when === undefined ? "" : `if (flags & ${bitName(owner.name, bits.find(({ name }) => name === when)!)}) `;
    if (field.kind === "addresses") lines.push(`${before}{\n    skipAddresses();\n    if (stopped) return;\n  }`);
    else lines.push(before + skipOf(field, owner, offsets));
  }
  flush();
  return [...(flags ? [`const flags = ${owner.name}Flags(body);`] : []), ...lines];
}

function skipOf(field: Field, owner: Struct, offsets: ReadonlyMap<string, number>): string {
  const size = sizeOf(field);
  if (size !== undefined) return `skip(${size});`;
  switch (field.kind) {
    case "str":
      return "skipText();";
    case "path":
      return "skipPath();";
    case "shortStr":
      return "skipShort();";
    case "strs":
      return "skipTexts();";
    case "paths":
      return "skipPaths();";
    case "wireIds":
      return "skipIds();";
    case "claims":
      return "skipClaims();";
    case "columns":
      return "skipColumns();";
    case "list":
      return `for (let n = skipCount(); good && n > 0; n--) check${capital(field.item.name)}();`;
    case "struct":
      return `check${capital(field.of.name)}();`;
    case "text": {
      const length = owner.fields.find((each) => each.kind === "lengthOf" && each.of === field.name) as Field & {
        name: string;
      };
      return `skip(load<u8>(body, ${offsets.get(length.name)!}));`;
    }
    default:
      throw new Error(`no step over a field of kind ${field.kind}`);
  }
}

/** Offsets of the named fields before the first one whose size varies; `*` is what follows them. */
function offsetsOf(owner: Struct): Map<string, number> {
  const offsets = new Map<string, number>();
  let at = 0;
  for (const field of owner.fields) {
    if ("name" in field) offsets.set(field.name, at);
    if (field.kind === "flags") offsets.set("flags", at);
    const size = sizeOf(field);
    if (size === undefined || ("when" in field && field.kind !== "group")) break;
    at += size;
  }
  return offsets.set("*", at);
}

/** Conditions under which a record has a value that isn't known; `at` is the record's or the part's address. */
function unknowns(owner: Struct, at: string): string[] {
  const name = owner.name;
  return owner.fields.flatMap((field) => {
    switch (field.kind) {
      case "choice": {
        const value = `${field.as ?? name + capital(field.name)}(${at})`;
        const first = firstCode(field.of);
        return [first === 0 ? `${value} > ${field.of.prefix}_LAST` : `${value} - ${first} >= ${field.of.prefix}_LAST`];
      }
      case "codes":
        return [`!isOwnerKind(${name + capital(field.name)}(${at}))`];
      case "u8":
        return field.only === undefined ? [] : [`${name + capital(field.name)}(${at}) > ${Math.max(...field.only)}`];
      case "flags": {
        const known = field.bits.reduce((mask, bit) => mask | (((1 << (bit.choice?.bits ?? 1)) - 1) << bit.bit), 0);
        const choices = field.bits.flatMap(({ bit, choice }) => {
          if (choice === undefined) return [];
          const mask = (1 << choice.bits) - 1;
          return [`(${name}Flags(${at})${bit === 0 ? "" : ` >> ${bit}`} & ${mask}) > ${choice.of.prefix}_LAST`];
        });
        return [`(${name}Flags(${at}) & ~${known}) != 0`, ...choices];
      }
      case "addresses":
        return [`hasOtherFamily(${name + capital(field.name)}(${at}))`];
      case "struct": {
        const inner = unknowns(field.of, `${name + capital(field.name)}(${at})`);
        return inner.map((condition) => `(${name + capital(field.name)}(${at}) != 0 && ${condition})`);
      }
      default:
        return [];
    }
  });
}

export function assemblyValidate(): string {
  const checks = structs.map(
    (struct) =>
      `function check${capital(struct.name)}(): void {\n${steps(struct)
        .map((line) => `  ${line}`)
        .join("\n")}\n}`,
  );
  const kept = recordLayouts.filter(({ name }) => name !== "delete");
  const valid = kept.map((owner) => {
    const offsets = offsetsOf(owner);
    const least = offsets.get("*")!;
    const ids = owner.fields.flatMap((field) =>
      field.kind === "wireId" && offsets.has(field.name) && !("when" in field)
        ? [`load<u32>(body${offsets.get(field.name) === 0 ? "" : `, ${offsets.get(field.name)}`}) == 0`]
        : [],
    );
    const conditions = [...ids, ...(owner.broken === undefined ? [] : [owner.broken])];
    return `/** ${owner.type} */
function check${capital(owner.name)}(body: usize, bytes: usize): void {
  if (bytes < ${least}${conditions.map((each) => ` || (${each})`).join("")}) { refuse(); return; }
${steps(owner)
  .map((line) => `  ${line}`)
  .join("\n")}
}`;
  });
  const closing = kept.filter(({ closed }) => closed !== undefined);
  const body = `${[...checks, ...valid].join("\n\n")}

/** A DELETE of a kind that isn't known concerns nothing that is here. */
function checkDelete(body: usize, bytes: usize): void {
  if (bytes < ${DELETE_BYTES.kind}) { refuse(); return; }
  const kind = deleteKind(body);
  if (!isDeleteKind(kind)) return;
  skip(${DELETE_BYTES.kind});
  skip(kind == KEY ? ${DELETE_BYTES.digest} : ${DELETE_BYTES.wireId});
  if (good && kind != KEY && load<u32>(deleteWhat(body)) == 0) refuse();
}

// @ts-ignore: decorator
@inline
function isDeleteKind(kind: u32): bool { return kind < 32 && (DELETE_KINDS >> kind & 1) != 0; }
/** Whether limits of this kind of owner are known here. */
// @ts-ignore: decorator
@inline
export function isOwnerKind(kind: u32): bool { return kind < 32 && (OWNER_KINDS >> kind & 1) != 0; }

/** Whether a body of a known type may be walked without checks, once \`closeUnknown\` was called. An unknown type is not for this function. */
export function validRecord(type: u32, body: usize, bodyEnd: usize): bool {
  const bytes = bodyEnd - body;
  begin(body, bodyEnd);
  switch (type) {
${[...kept, recordLayouts.find(({ name }) => name === "delete")!].map(({ name }) => `    case ${constantName(name)}: check${capital(name)}(body, bytes); break;`).join("\n")}
    default: return false;
  }
  return good;
}

/** Whether a validated record has a value that this build doesn't know: an enum's, or a flag. */
export function hasUnknown(type: u32, body: usize): bool {
  switch (type) {
${closing.map((owner) => `    case ${constantName(owner.name)}:\n      return ${unknowns(owner, "body").join(" ||\n        ")};`).join("\n")}
    case DELETE: return !isDeleteKind(deleteKind(body));
    default: return false;
  }
}

/**
 * Closes a validated record that has a value which this build doesn't know: it's written to. The one rule for such values: whoever needs the
 * record is refused, and everything else goes on.
 */
export function closeUnknown(type: u32, at: usize): void {
  if (!hasUnknown(type, at)) return;
  switch (type) {
${closing.map((owner) => `    case ${constantName(owner.name)}: // it ${owner.closed!.meaning}\n${owner.closed!.as.map((line) => `      ${line}`).join("\n")}\n      break;`).join("\n")}
  }
}
`;
  const accessors = [
    ...new Set([...assemblyRecords().matchAll(/export (?:function|const) (\w+)/g)].map(([, name]) => name!)),
  ];
  const cursor = [
    "begin",
    "good",
    "hasOtherFamily",
    "refuse",
    "skip",
    "skipAddresses",
    "skipClaims",
    "skipColumns",
    "skipCount",
    "skipIds",
    "skipPath",
    "skipPaths",
    "skipShort",
    "skipText",
    "skipTexts",
    "stopped",
  ];
  return `/** Generated by \`npm run generate\` from protocol/records.ts: what is checked of a record before it's used where it lies. */\n${importsOf(body, { "./cursor": cursor, "./enums": enumNames(body), "./records": accessors })}\n${body}`;
}
