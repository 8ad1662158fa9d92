/** `keySources`: where keys are looked for, in this order. */
import { Config, KeySource } from "./model";
import { isMessageHeader, isToken, lowerCase, NAME_MAX_BYTES, sameBytes, sameHeader, startsWithFolded } from "./rules";
import { FieldReader, Members, printable } from "./fieldReader";
import { JsonKind } from "./json";
import { ascii } from "../lib/text";
import { SOURCE_BEARER, SOURCE_COOKIE, SOURCE_HEADER, SOURCE_NAMES, SOURCE_QUERY } from "../wire/enums";

const MAX_SOURCES: i32 = 8;
const EXACTLY_ONE: string = "exactly one of " + SOURCE_NAMES.join(", ");

export function readSources(fields: FieldReader, path: string, config: Config): void {
  const required = `an array of 1 to ${MAX_SOURCES} key sources is required`;
  if (!fields.is(JsonKind.Array, path, required)) return;
  fields.json.enterArray();
  while (!fields.failed && fields.json.nextItem()) {
    const count = config.sources.length;
    if (count == MAX_SOURCES) {
      fields.refuse(path, required);
      return;
    }
    readSource(fields, `${path}[${count}]`, config);
  }
  if (!config.sources.length) fields.refuse(path, required);
}

export function addDefaultSources(config: Config): void {
  config.sources.push(new KeySource(SOURCE_HEADER, ascii("x-api-key")));
  config.sources.push(new KeySource(SOURCE_BEARER, ascii("")));
}

/** Refuses a source that a claim would overwrite or that stripping forged claims would empty. */
export function checkSources(fields: FieldReader, config: Config): void {
  for (let i = 0; i < config.sources.length; i++) {
    const source = config.sources[i];
    if (source.kind != SOURCE_HEADER) continue;
    const path = `keySources[${i}].header`;
    if (startsWithFolded(source.name, config.claimPrefix)) {
      fields.refuse(path, `"${printable(source.name)}" begins with claims.prefix, whose headers are removed`);
    }
    for (let j = 0; j < config.ownedNames.length; j++) {
      if (sameHeader(source.name, config.ownedNames[j])) {
        fields.refuse(path, `"${printable(source.name)}" is a claim's header in claims.names`);
      }
    }
  }
}

function readSource(fields: FieldReader, path: string, config: Config): void {
  const members = new Members(fields, path, SOURCE_NAMES);
  while (members.next()) {
    if (members.count > 1) {
      fields.refuse(path, EXACTLY_ONE);
      return;
    }
    const kind = members.index;
    if (kind == SOURCE_BEARER) {
      const required = "only true is allowed: leave the source out to switch it off";
      if (fields.is(JsonKind.Boolean, members.path, required) && fields.json.readBoolean() != 1)
        fields.refuse(members.path, required);
      addSource(fields, path, config, new KeySource(kind, ascii("")));
    } else {
      const name = fields.text(members.path);
      checkName(fields, members.path, kind, name);
      addSource(fields, path, config, new KeySource(kind, kind == SOURCE_HEADER ? lowerCase(name) : name));
    }
  }
  if (members.count != 1) fields.refuse(path, EXACTLY_ONE);
}

function checkName(fields: FieldReader, path: string, kind: i32, name: StaticArray<u8>): void {
  if (kind == SOURCE_QUERY) {
    if (name.length > NAME_MAX_BYTES) fields.refuse(path, `at most ${NAME_MAX_BYTES} bytes`);
  } else if (!isToken(name)) {
    const what = kind == SOURCE_COOKIE ? "cookie" : "header";
    fields.refuse(path, `"${printable(name)}" is no ${what} name (RFC 9110 token of at most ${NAME_MAX_BYTES} bytes)`);
  } else if (kind == SOURCE_HEADER && isMessageHeader(name)) {
    fields.refuse(path, `"${printable(name)}" belongs to the message and can't hold a key`);
  }
}

function addSource(fields: FieldReader, path: string, config: Config, source: KeySource): void {
  for (let i = 0; i < config.sources.length; i++) {
    const other = config.sources[i];
    if (other.kind != source.kind) continue;
    const same =
      source.kind == SOURCE_HEADER ? sameHeader(other.name, source.name) : sameBytes(other.name, source.name);
    if (same) fields.refuse(path, `the same as keySources[${i}]`);
  }
  config.sources.push(source);
}
