/**
 * The parsers of the request path, and the configuration's, as a module of its own for the property tests (tests/fuzz). It imports
 * nothing, and collects garbage itself.
 */
import "../../assembly/abi/abort";
import { parseConfig } from "../../assembly/config/parse";
import { crc32 as crc32From } from "../../assembly/lib/crc32";
import { JsonReader } from "../../assembly/config/json";

export { base64Decode } from "../../assembly/lib/base64";
export { bearerToken } from "../../assembly/http/bearer";
export { matchList, parseAddress } from "../../assembly/lib/cidr";
import { removeCookie as removeCookieFrom } from "../../assembly/http/cookie";
export { findCookie } from "../../assembly/http/cookie";
export { checkKeyForm, keyEnvironmentBytes } from "../../assembly/auth/keyFormat";
export { foldEquals, foldStartsWith } from "../../assembly/http/headerNames";
export { decodePath, pathBytes, scanPath } from "../../assembly/http/pathSafety";
import { removeQuery as removeQueryFrom } from "../../assembly/http/query";
export { findQuery } from "../../assembly/http/query";
export { sha256 } from "../../assembly/lib/sha256";

const SCRATCH = memory.data(1 << 20, 16);

/** Where the tests have their output, and inputs that needn't stand at the memory's end: 1 MiB. */
export function scratch(): usize {
  return SCRATCH;
}

/** Without the default argument, which an export can't have. */
export function crc32(ptr: usize, len: u32, seed: u32): u32 {
  return crc32From(ptr, len, seed);
}

/** The same. */
export function removeQuery(path: usize, pathLen: u32, name: usize, nameLen: u32, out: usize): u32 {
  return removeQueryFrom(path, pathLen, name, nameLen, out);
}

/** The same. */
export function removeCookie(header: usize, len: u32, name: usize, nameLen: u32, out: usize): u32 {
  return removeCookieFrom(header, len, name, nameLen, out);
}

/** Whether the bytes are one JSON value. */
export function isJson(ptr: usize, len: u32): bool {
  const json = new JsonReader(ptr, len);
  const accepted = json.skip() && json.atEnd(true);
  __collect();
  return accepted;
}

/** Whether the bytes are a configuration that can be used. */
export function isConfig(ptr: usize, len: u32): bool {
  const accepted = parseConfig(ptr, len) != null;
  __collect();
  return accepted;
}
