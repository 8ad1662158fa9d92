/** Takes keys out of a request, so that neither the upstream nor the access log sees one. */
import { MAP_REQUEST_HEADERS, addHeader, removeHeader, replaceHeader } from "../abi/host";
import { Config } from "../config/parse";
import {
  AUTHORIZATION,
  Held,
  KEY_BYTES_MAX,
  SOURCE_EMPTY,
  SOURCE_SEVERAL,
  STRAY_COOKIE,
  STRAY_QUERY,
  STRAY_SEARCHED,
  cookie,
  cookieCount,
  path,
  searched,
  source,
  strays,
} from "../http/headerScan";
import { SOURCE_BEARER, SOURCE_COOKIE, SOURCE_HEADER, SOURCE_QUERY } from "../wire/enums";
import { removeCookie, removeCookieKeys } from "../http/cookie";
import { removeQuery, removeQueryKeys } from "../http/query";
import { sha256 } from "../lib/sha256";
import { Table } from "../snapshot/table";
import { ascii } from "../lib/text";

/** Whatever a configured source carries: for requests that go no further. */
export const STRIP_ALL: i32 = 0;
/** For an admitted caller: all sources, but of `Authorization` only what is a key (it may carry a token for the upstream). */
export const STRIP_KEYED: i32 = 1;
/** For requests that pass without a key: only what is recognisably a key of ours. */
export const STRIP_KNOWN: i32 = 2;
/** Without a table: as STRIP_ALL, but of `Authorization` only what has the form of a Tollgate key. */
export const STRIP_BLIND: i32 = 3;

const PATH = ascii(":path");
const COOKIE = ascii("cookie");
const ROOT_PATH = ascii("/");
const digest = memory.data(32);

/** Whether a source holds a Tollgate key by its form, or an imported one that the table knows. */
function isKey(one: Held, table: Table | null): bool {
  if (one.bytes >= 3 && load<u16>(one.at) == 0x6774 && load<u8>(one.at, 2) == 0x5f) return true;
  if (table == null || one.bytes > KEY_BYTES_MAX) return false;
  sha256(one.at, one.bytes, digest);
  return table.keys.get(digest) != 0;
}

function isAuthorization(name: StaticArray<u8>): bool {
  return (
    name.length == AUTHORIZATION.length &&
    memory.compare(changetype<usize>(name), changetype<usize>(AUTHORIZATION), name.length) == 0
  );
}

/** Whether what a source has of `Authorization` is no key: with an API that takes tokens, it's one. */
export function holdsToken(config: Config, i: i32, table: Table): bool {
  const from = unchecked(config.sources[i]);
  if (from.kind != SOURCE_BEARER && (from.kind != SOURCE_HEADER || !isAuthorization(from.name))) return false;
  return source(i).state != SOURCE_SEVERAL && !isKey(source(i), table);
}

/**
 * `winner`: the source whose key was taken, or -1. Whatever has the form of a Tollgate key goes in any case: the header that holds it, of a
 * query or a Cookie header the parameter or the pair.
 */
export function stripKeys(config: Config, how: i32, winner: i32, table: Table | null): void {
  const sources = config.sources;
  const found = strays;
  const pathBytes = path.bytes;
  let pathChanged = false;
  let cookiesChanged = false;
  let authorizationGone = false;
  for (let i = 0; i < sources.length; i++) {
    const one = source(i);
    const from = unchecked(sources[i]);
    if (one.state == SOURCE_EMPTY) {
      // A request that goes no further: what was meant for a source goes too, though it wasn't read as one.
      if (how == STRIP_ALL && from.kind == SOURCE_QUERY) stripQuery(from.name, true);
      else if (how == STRIP_ALL && from.kind == SOURCE_COOKIE && stripCookies(from.name, true)) cookiesChanged = true;
      continue;
    }
    const authorization = from.kind == SOURCE_BEARER || (from.kind == SOURCE_HEADER && isAuthorization(from.name));
    let remove = true;
    if (i != winner && (found & (1 << i)) == 0) {
      if (how == STRIP_KNOWN) remove = one.state == SOURCE_SEVERAL || isKey(one, table);
      else if (authorization && how != STRIP_ALL)
        remove = one.state == SOURCE_SEVERAL || isKey(one, how == STRIP_BLIND ? null : table);
    }
    if (!remove) continue;
    if (authorization) {
      if (!authorizationGone) removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(AUTHORIZATION), AUTHORIZATION.length);
      authorizationGone = true;
    } else if (from.kind == SOURCE_HEADER)
      removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(from.name), from.name.length);
    else if (from.kind == SOURCE_QUERY) {
      stripQuery(from.name, how == STRIP_ALL);
      pathChanged = true;
    } else if (stripCookies(from.name, how == STRIP_ALL)) cookiesChanged = true;
  }
  if (found >> 8 != 0) {
    if ((found & STRAY_QUERY) != 0) path.bytes = removeQueryKeys(path.at, path.bytes, path.at);
    if ((found & STRAY_COOKIE) != 0 && stripCookies(null, false)) cookiesChanged = true;
    for (let i = 0; i < searched.length; i++) {
      if ((found & (STRAY_SEARCHED << i)) == 0 || (i == 0 && authorizationGone)) continue;
      const name = unchecked(searched[i]);
      removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(name), name.length);
    }
  }
  if (pathChanged || path.bytes != pathBytes)
    replaceHeader(MAP_REQUEST_HEADERS, changetype<usize>(PATH), PATH.length, path.at, path.bytes);
  if (cookiesChanged) writeCookies();
}

/** Without knowing what a request carries: removes every place that a key may be in. For requests that go no further. */
export function stripUnread(config: Config): void {
  const sources = config.sources;
  for (let i = 0; i < sources.length; i++) {
    const from = unchecked(sources[i]);
    if (from.kind == SOURCE_HEADER) removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(from.name), from.name.length);
  }
  for (let i = 0; i < searched.length; i++)
    removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(unchecked(searched[i])), unchecked(searched[i]).length);
  removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(COOKIE), COOKIE.length);
  replaceHeader(
    MAP_REQUEST_HEADERS,
    changetype<usize>(PATH),
    PATH.length,
    changetype<usize>(ROOT_PATH),
    ROOT_PATH.length,
  );
}

/** In place: the request's pairs lie in memory of ours, and there is always room to make them shorter. */
function stripQuery(name: StaticArray<u8>, loose: bool): void {
  path.bytes = removeQuery(path.at, path.bytes, changetype<usize>(name), name.length, path.at, loose);
}

/** `name` null: cookies that hold a key. True when some were there. */
function stripCookies(name: StaticArray<u8> | null, anyCase: bool): bool {
  let changed = false;
  for (let c: u32 = 0; c < cookieCount; c++) {
    const one = cookie(c);
    const bytes =
      name == null
        ? removeCookieKeys(one.at, one.bytes, one.at)
        : removeCookie(one.at, one.bytes, changetype<usize>(name), name.length, one.at, anyCase);
    if (bytes != one.bytes) changed = true;
    one.bytes = bytes;
  }
  return changed;
}

function writeCookies(): void {
  removeHeader(MAP_REQUEST_HEADERS, changetype<usize>(COOKIE), COOKIE.length);
  for (let c: u32 = 0; c < cookieCount; c++) {
    const one = cookie(c);
    if (one.bytes > 0) addHeader(MAP_REQUEST_HEADERS, changetype<usize>(COOKIE), COOKIE.length, one.at, one.bytes);
  }
}
