/** `claims`: the headers that tell an upstream who calls. */
import { Config, Rename } from "./model";
import {
  headerUnderPrefix,
  isClaimName,
  isClaimPrefix,
  isMessageHeader,
  isToken,
  lowerCase,
  NAME_MAX_BYTES,
  sameBytes,
  sameHeader,
  startsWithFolded,
} from "./rules";
import { childPath, equalsText, FieldReader, Members, printable, unknownName } from "./fieldReader";
import { JsonKind } from "./json";
import { ascii } from "../lib/text";

const CLAIMS_FIELDS: StaticArray<string> = ["prefix", "names", "token"];
const PREFIX: i32 = 0;
const NAMES: i32 = 1;

/** the claims that every caller has; consumers' own are named `claim-<name>` */
const FIXED_CLAIMS: StaticArray<string> = ["consumer", "tier", "key-id", "scopes"];
const OWN_CLAIM = "claim-";
const MAX_RENAMES: i32 = 64;

export function readClaims(fields: FieldReader, path: string, config: Config): void {
  const members = new Members(fields, path, CLAIMS_FIELDS);
  while (members.next()) {
    if (members.index == PREFIX) readPrefix(fields, members.path, config);
    else if (members.index == NAMES) readNames(fields, members.path, config);
    else config.tokenHeader = readHeader(fields, members.path);
  }
}

/** Fills in the headers that weren't named, once the prefix is known, and refuses two claims in one header. */
export function completeClaims(fields: FieldReader, config: Config): void {
  if (!config.claimPrefix.length) config.claimPrefix = ascii("x-tollgate-");
  const prefix = config.claimPrefix;
  if (!config.consumerHeader.length) config.consumerHeader = prefixed(prefix, "consumer");
  if (!config.tierHeader.length) config.tierHeader = prefixed(prefix, "tier");
  if (!config.keyIdHeader.length) config.keyIdHeader = prefixed(prefix, "key-id");
  if (!config.scopesHeader.length) config.scopesHeader = prefixed(prefix, "scopes");
  config.uncheckedHeader = prefixed(prefix, "unchecked");

  const headers: StaticArray<u8>[] = [
    config.uncheckedHeader,
    config.consumerHeader,
    config.tierHeader,
    config.keyIdHeader,
    config.scopesHeader,
  ];
  for (let i = 0; i < config.renames.length; i++) headers.push(config.renames[i].header);
  if (config.tokenHeader.length) headers.push(config.tokenHeader);
  const ownClaims = prefixed(prefix, OWN_CLAIM);
  for (let i = 0; i < headers.length; i++) {
    const header = headers[i];
    for (let j = 0; j < i; j++) {
      if (sameHeader(header, headers[j]))
        fields.refuse("claims.names", `two claims would go into "${printable(header)}"`);
    }
    if (startsWithFolded(header, ownClaims)) {
      const advice = `choose one that doesn't begin with "${printable(ownClaims)}"`;
      fields.refuse("claims.names", `"${printable(header)}" could be the header of another claim: ${advice}`);
    }
    if (!startsWithFolded(header, prefix)) config.ownedNames.push(header);
  }
}

function readPrefix(fields: FieldReader, path: string, config: Config): void {
  const prefix = lowerCase(fields.text(path));
  if (!isClaimPrefix(prefix)) {
    fields.refuse(path, `a header name's beginning that ends with "-" is required, such as "x-tollgate-"`);
    return;
  }
  const victim = headerUnderPrefix(prefix);
  if (victim.length) fields.refuse(path, `"${printable(prefix)}" would remove "${victim}" from every request`);
  config.claimPrefix = prefix;
}

function readNames(fields: FieldReader, path: string, config: Config): void {
  if (!fields.is(JsonKind.Object, path, "an object of claim names and headers is required")) return;
  fields.json.enterObject();
  while (!fields.failed) {
    const claim = fields.json.nextMember();
    if (!claim) return;
    const at = childPath(path, printable(claim));
    const own = ownClaimName(claim);
    if (!own && !isFixedClaim(claim)) {
      fields.refuse(path, unknownName("claim", claim, FIXED_CLAIMS) + ` (consumers' own are "claim-<name>")`);
      return;
    }
    setHeader(fields, at, config, claim, own, readHeader(fields, at));
  }
}

function readHeader(fields: FieldReader, path: string): StaticArray<u8> {
  const header = lowerCase(fields.text(path));
  if (!isToken(header)) {
    fields.refuse(path, `"${printable(header)}" is no header name (RFC 9110 token of at most ${NAME_MAX_BYTES} bytes)`);
  } else if (isMessageHeader(header) || equalsText(header, "authorization")) {
    fields.refuse(path, `"${printable(header)}" belongs to the message and can't hold a claim`);
  }
  return header;
}

function setHeader(
  fields: FieldReader,
  path: string,
  config: Config,
  claim: StaticArray<u8>,
  own: StaticArray<u8> | null,
  header: StaticArray<u8>,
): void {
  let before = 0;
  if (own) {
    for (let i = 0; i < config.renames.length; i++) {
      if (sameBytes(config.renames[i].claim, own)) before = 1;
    }
    if (config.renames.length == MAX_RENAMES)
      fields.refuse("claims.names", `at most ${MAX_RENAMES} claims of consumers`);
    config.renames.push(new Rename(own, header));
  } else if (equalsText(claim, "consumer")) {
    before = config.consumerHeader.length;
    config.consumerHeader = header;
  } else if (equalsText(claim, "tier")) {
    before = config.tierHeader.length;
    config.tierHeader = header;
  } else if (equalsText(claim, "key-id")) {
    before = config.keyIdHeader.length;
    config.keyIdHeader = header;
  } else {
    before = config.scopesHeader.length;
    config.scopesHeader = header;
  }
  if (before) fields.refuse(path, "given twice");
}

function isFixedClaim(claim: StaticArray<u8>): bool {
  for (let i = 0; i < FIXED_CLAIMS.length; i++) {
    if (equalsText(claim, FIXED_CLAIMS[i])) return true;
  }
  return false;
}

/** `<name>` of `claim-<name>`, null when it isn't one. */
function ownClaimName(claim: StaticArray<u8>): StaticArray<u8> | null {
  if (claim.length <= OWN_CLAIM.length || !startsWithFolded(claim, ascii(OWN_CLAIM)) || !isClaimName(claim))
    return null;
  return claim.slice<StaticArray<u8>>(OWN_CLAIM.length);
}

function prefixed(prefix: StaticArray<u8>, name: string): StaticArray<u8> {
  return prefix.concat<StaticArray<u8>>(ascii(name));
}
