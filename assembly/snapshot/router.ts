/**
 * From host, path and method to the API and its route.
 *
 * Paths match by whole segments, the longest first, so a lookup hashes the path once, notes the hash at every segment border and probes
 * one table from the longest border down. The table holds hosts (in space 0), the paths of each host's APIs (in the host's space) and
 * the paths of each API's routes (in the API's space). Hosts: exact, then the longest `*.suffix`, then `*`.
 *
 * ```
 *   node, 24 bytes:  u32 hash | u32 space | u32 text | u32 textBytes | u32 first item (host: its space) | u32 last item
 *   item, 20 bytes:  u32 next | u32 record (API body, or route in it) | u32 method bits | u32 method list | u32 route index
 * ```
 * When some path has a capital, each space has a twin that holds the same paths in lower case; else lower-case paths are looked for in the
 * space itself. `match` asks the twins for a folded path (`matching.ts`).
 *
 * The decision belongs to the longest path: when no API there takes the method, shorter paths are not asked (a keyless API at `/` must
 * not take what a keyed one at `/x` refuses). Among routes of an API the longest that takes the method counts.
 */
import { afterTexts, count, first, next, text, textBytes } from "../wire/lists";
import { apiHosts, apiScopes, routeEnd, routeMethods, routePath } from "../wire/records";
import { allocBlock, freeBlock } from "../lib/blocks";
import { methodBits, takesMethod, writeMethods } from "../http/methods";
import { foldPath } from "../http/pathSafety";
import { IdIndex } from "./recordIndex";

const NODE_BYTES: u32 = 24;
const ITEM_BYTES: u32 = 20;
const HOST_SPACE: u32 = 0;
const HASH_BASIS: u32 = 0x811c9dc5;
const HASH_PRIME: u32 = 0x01000193;

export const NO_API: u32 = 0;
export const API_FOUND: u32 = 1;
export const METHOD_REFUSED: u32 = 2;
/** of a folded path: APIs or routes whose paths differ in case alone take it */
export const AMBIGUOUS: u32 = 3;
/** the host is neither a host name nor an address (see normalizeHost) */
export const HOST_REFUSED: u32 = 4;

/** What `match` found: the API's record, the route in it or 0, the route's index, and the node for `allowedMethods`. */
export let matchedApi: usize = 0;
export let matchedRoute: usize = 0;
export let matchedRouteIndex: u32 = 0;
let matchedNode: usize = 0;

/** Segment borders of the path that is being matched: u32 hash, u32 length. */
const borders = memory.data(<i32>((48 + 2) * 8), 8);
const hostRoom = memory.data(256);
const hostMaxBytes: u32 = 255;
const NO_HOST_NAME: u32 = 0xffffffff;
/** An API's twin space: records lie below 1 GiB, so the bit is free. */
const API_SPACE: u32 = 0x80000000;
const TWIN_API_SPACE: u32 = 0xc0000000;

// ---- hashing -------------------------------------------------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
function inSpace(hash: u32, space: u32): u32 {
  let h = (hash ^ (space * 0x9e3779b1)) * 0x85ebca6b;
  h ^= h >> 15;
  return h * 0xc2b2ae35;
}

function hashOf(at: usize, bytes: u32): u32 {
  let h = HASH_BASIS;
  for (let i: u32 = 0; i < bytes; i++) h = (h ^ load<u8>(at + i)) * HASH_PRIME;
  return h;
}

function hasCapital(path: usize): bool {
  for (let i: u32 = 0; i < textBytes(path); i++) if (<u32>load<u8>(text(path) + i) - 0x41 < 26) return true;
  return false;
}

/** The root path counts as an empty prefix. */
// @ts-ignore: decorator
@inline
function prefixBytes(path: usize): u32 {
  const n = textBytes(path);
  return n == 1 ? 0 : n;
}

export class Router {
  private block: usize = 0;
  private slots: u32 = 0;
  private items: usize = 0;
  private spaces: u32 = 0;
  private anyHost: u32 = 0;
  private namedHosts: bool = false;
  private deepest: u32 = 0;
  /** some path has a capital, so every path is to be matched without regard to case as well */
  capitals: bool = false;
  /** where the twins' texts lie */
  private texts: usize = 0;

  /** Builds the tables from all API records of the index. False when memory is short. */
  build(apis: IdIndex): bool {
    let nodes: u64 = 0;
    let bytes: u64 = 0;
    for (let i: u32 = 0; i < apis.slots; i++) {
      const api = apis.record(i);
      if (api == 0) continue;
      const hosts = apiHosts(api);
      const paths = afterTexts(hosts);
      const routes = afterTexts(apiScopes(api));
      nodes += <u64>count(hosts) * (1 + <u64>count(paths)) + count(routes);
      bytes += this.measure(api);
    }
    if (this.capitals) nodes *= 2;
    else bytes = 0;
    const slots = nodes * 2 + 16;
    if (slots > 0x1000000) return false;
    this.block = allocBlock(slots * NODE_BYTES + nodes * ITEM_BYTES + bytes + 64);
    if (this.block == 0) return false;
    this.slots = <u32>slots;
    this.items = this.block + <usize>(slots * NODE_BYTES);
    this.texts = this.items + <usize>(nodes * ITEM_BYTES);
    memory.fill(this.block, 0, <usize>(slots * NODE_BYTES));
    this.spaces = HOST_SPACE + 1;
    for (let i: u32 = 0; i < apis.slots; i++) {
      const api = apis.record(i);
      if (api != 0) this.add(api);
    }
    return true;
  }

  free(): void {
    freeBlock(this.block);
    this.block = 0;
  }

  /** The bytes of an API's paths and its routes' paths; notes whether one of them has a capital. */
  private measure(api: usize): u64 {
    const hosts = apiHosts(api);
    const paths = afterTexts(hosts);
    let bytes: u64 = 0;
    let path = first(paths);
    for (let p = count(paths); p > 0; p--) {
      bytes += textBytes(path);
      if (hasCapital(path)) this.capitals = true;
      path = next(path);
    }
    bytes *= count(hosts);
    const routes = afterTexts(apiScopes(api));
    let route = first(routes);
    for (let r = count(routes); r > 0; r--) {
      bytes += textBytes(routePath(route));
      if (hasCapital(routePath(route))) this.capitals = true;
      route = routeEnd(route);
    }
    return bytes;
  }

  private add(api: usize): void {
    const hosts = apiHosts(api);
    const paths = afterTexts(hosts);
    const methods = afterTexts(paths);
    const bits = methodBits(methods);
    let host = first(hosts);
    for (let h = count(hosts); h > 0; h--) {
      const space = this.hostSpace(text(host), textBytes(host));
      let path = first(paths);
      for (let p = count(paths); p > 0; p--) {
        this.append(this.node(space, path), api, bits, methods, 0);
        if (this.capitals) this.append(this.twin(space + 1, path), api, bits, methods, 0);
        path = next(path);
      }
      host = next(host);
    }
    const routes = afterTexts(apiScopes(api));
    const n = count(routes);
    let route = first(routes);
    for (let r: u32 = 0; r < n; r++) {
      const list = routeMethods(route);
      this.append(this.node(<u32>api | API_SPACE, routePath(route)), route, methodBits(list), list, r);
      if (this.capitals)
        this.append(this.twin(<u32>api | TWIN_API_SPACE, routePath(route)), route, methodBits(list), list, r);
      route = routeEnd(route);
    }
  }

  private hostSpace(at: usize, bytes: u32): u32 {
    const node = this.place(inSpace(hashOf(at, bytes), HOST_SPACE), HOST_SPACE, at, bytes);
    if (load<u32>(node, 16) == 0) {
      store<u32>(node, this.spaces, 16);
      this.spaces += 2;
      if (bytes == 1 && load<u8>(at) == 0x2a) this.anyHost = load<u32>(node, 16);
      else this.namedHosts = true;
    }
    return load<u32>(node, 16);
  }

  private node(space: u32, path: usize): usize {
    const bytes = prefixBytes(path);
    let segments: u32 = 0;
    for (let i: u32 = 0; i < bytes; i++) if (load<u8>(text(path) + i) == 0x2f) segments++;
    if (segments > this.deepest) this.deepest = segments;
    return this.place(inSpace(hashOf(text(path), bytes), space), space, text(path), bytes);
  }

  /** The node of a path in lower case, in a twin space. */
  private twin(space: u32, path: usize): usize {
    const bytes = prefixBytes(path);
    const at = this.texts;
    foldPath(text(path), bytes, at);
    const node = this.place(inSpace(hashOf(at, bytes), space), space, at, bytes);
    if (<usize>load<u32>(node, 8) == at) this.texts += bytes;
    return node;
  }

  /** The node of a text in a space, taken if it's new. */
  private place(hash: u32, space: u32, at: usize, bytes: u32): usize {
    const found = this.lookup(hash, space, at, bytes);
    if (found != 0) return found;
    let slot = this.home(hash);
    while (load<u32>(slot, 8) != 0) slot = this.after(slot);
    store<u32>(slot, hash);
    store<u32>(slot, space, 4);
    store<u32>(slot, <u32>at, 8);
    store<u32>(slot, bytes, 12);
    return slot;
  }

  private append(node: usize, record: usize, bits: u32, methods: usize, index: u32): void {
    const item = this.items;
    this.items += ITEM_BYTES;
    store<u32>(item, 0);
    store<u32>(item, <u32>record, 4);
    store<u32>(item, bits, 8);
    store<u32>(item, <u32>methods, 12);
    store<u32>(item, index, 16);
    const last = <usize>load<u32>(node, 20);
    if (last == 0) store<u32>(node, <u32>item, 16);
    else store<u32>(last, <u32>item);
    store<u32>(node, <u32>item, 20);
  }

  // @ts-ignore: decorator
  @inline
  private home(hash: u32): usize {
    return this.block + <usize>(((<u64>hash * <u64>this.slots) >> 32) * NODE_BYTES);
  }

  // @ts-ignore: decorator
  @inline
  private after(slot: usize): usize {
    const n = slot + NODE_BYTES;
    return n == this.block + <usize>this.slots * NODE_BYTES ? this.block : n;
  }

  private lookup(hash: u32, space: u32, at: usize, bytes: u32): usize {
    let slot = this.home(hash);
    while (true) {
      const there = <usize>load<u32>(slot, 8);
      if (there == 0) return 0;
      if (
        load<u32>(slot) == hash &&
        load<u32>(slot, 4) == space &&
        load<u32>(slot, 12) == bytes &&
        memory.compare(there, at, bytes) == 0
      )
        return slot;
      slot = this.after(slot);
    }
  }

  /**
   * Finds the API and the route of a request. The host may have a port and capitals; the path has no query. Returns NO_API, API_FOUND,
   * METHOD_REFUSED or HOST_REFUSED and sets `matchedApi`, `matchedRoute` and `matchedRouteIndex`. `folded`: the path is in lower case, and is
   * compared with paths without regard to their case; AMBIGUOUS when that leads to several APIs or routes.
   */
  match(
    host: usize,
    hostBytes: u32,
    path: usize,
    pathBytes: u32,
    bit: u32,
    method: usize,
    methodBytes: u32,
    folded: bool = false,
  ): u32 {
    matchedApi = 0;
    matchedRoute = 0;
    matchedNode = 0;
    if (this.block == 0) return NO_API;
    const depth = this.noteBorders(path, pathBytes);
    const twins = folded && this.capitals;
    if (this.namedHosts) {
      const bytes = normalizeHost(host, hostBytes);
      if (bytes == NO_HOST_NAME) return HOST_REFUSED;
      if (bytes > 0) {
        const found = this.matchHost(bytes, depth, path, bit, method, methodBytes, twins);
        if (found != NO_API) return found;
      }
    }
    return this.anyHost == 0 ? NO_API : this.matchPath(this.anyHost, depth, path, bit, method, methodBytes, twins);
  }

  /** The exact host, then `*` in place of ever more of its labels, none of which is empty. */
  private matchHost(bytes: u32, depth: u32, path: usize, bit: u32, method: usize, methodBytes: u32, twins: bool): u32 {
    let at = hostRoom + 1;
    const end = at + bytes;
    let node = this.lookup(inSpace(hashOf(at, bytes), HOST_SPACE), HOST_SPACE, at, bytes);
    while (true) {
      if (node != 0) {
        const found = this.matchPath(load<u32>(node, 16), depth, path, bit, method, methodBytes, twins);
        if (found != NO_API) return found;
      }
      while (at < end && load<u8>(at) != 0x2e) at++;
      if (at >= end) return NO_API;
      store<u8>(at - 1, 0x2a);
      node = this.lookup(
        inSpace(hashOf(at - 1, <u32>(end - at) + 1), HOST_SPACE),
        HOST_SPACE,
        at - 1,
        <u32>(end - at) + 1,
      );
      at++;
    }
  }

  private noteBorders(path: usize, bytes: u32): u32 {
    let hash = HASH_BASIS;
    let depth: u32 = 1;
    store<u32>(borders, hash);
    store<u32>(borders, 0, 4);
    if (bytes == 0) return depth;
    hash = (hash ^ load<u8>(path)) * HASH_PRIME;
    const deepest = this.deepest;
    for (let i: u32 = 1; i <= bytes; i++) {
      const c = i == bytes ? <u32>0x2f : <u32>load<u8>(path + i);
      if (c == 0x2f) {
        if (depth > deepest) break;
        const border = borders + ((<usize>depth) << 3);
        store<u32>(border, hash);
        store<u32>(border, i, 4);
        depth++;
      }
      hash = (hash ^ c) * HASH_PRIME;
    }
    return depth;
  }

  private matchPath(
    hostSpace: u32,
    depth: u32,
    path: usize,
    bit: u32,
    method: usize,
    methodBytes: u32,
    twins: bool,
  ): u32 {
    const space = hostSpace + <u32>twins;
    for (let d = depth; d > 0; d--) {
      const border = borders + ((<usize>(d - 1)) << 3);
      const node = this.lookup(inSpace(load<u32>(border), space), space, path, load<u32>(border, 4));
      if (node == 0) continue;
      for (let item = <usize>load<u32>(node, 16); item != 0; item = load<u32>(item)) {
        if (!takesMethod(load<u32>(item, 8), load<u32>(item, 12), bit, method, methodBytes)) continue;
        matchedApi = load<u32>(item, 4);
        if (twins && hasRival(item, bit, method, methodBytes)) return AMBIGUOUS;
        return this.matchRoute(depth, path, bit, method, methodBytes, twins) ? API_FOUND : AMBIGUOUS;
      }
      matchedNode = node;
      return METHOD_REFUSED;
    }
    return NO_API;
  }

  /** Finds the route in `matchedApi`, if it has one. False when paths that differ in case alone lead to several. */
  private matchRoute(depth: u32, path: usize, bit: u32, method: usize, methodBytes: u32, twins: bool): bool {
    if (count(afterTexts(apiScopes(matchedApi))) == 0) return true;
    const space = <u32>matchedApi | (twins ? TWIN_API_SPACE : API_SPACE);
    for (let d = depth; d > 0; d--) {
      const border = borders + ((<usize>(d - 1)) << 3);
      const node = this.lookup(inSpace(load<u32>(border), space), space, path, load<u32>(border, 4));
      if (node == 0) continue;
      for (let item = <usize>load<u32>(node, 16); item != 0; item = load<u32>(item)) {
        if (!takesMethod(load<u32>(item, 8), load<u32>(item, 12), bit, method, methodBytes)) continue;
        matchedRoute = load<u32>(item, 4);
        matchedRouteIndex = load<u32>(item, 16);
        return !twins || !hasRival(item, bit, method, methodBytes);
      }
    }
    return true;
  }

  /** After METHOD_REFUSED: what the Allow header says, written to `out` (at most `max` bytes); its length. */
  allowedMethods(out: usize, max: u32): u32 {
    let n: u32 = 0;
    if (matchedNode == 0) return 0;
    for (let item = <usize>load<u32>(matchedNode, 16); item != 0; item = load<u32>(item))
      n = writeMethods(load<u32>(item, 12), out, n, max);
    return n;
  }
}

/** Whether another record than this item's, further on in its node, takes the method too. */
function hasRival(item: usize, bit: u32, method: usize, methodBytes: u32): bool {
  const record = load<u32>(item, 4);
  for (let other = <usize>load<u32>(item); other != 0; other = load<u32>(other)) {
    if (
      load<u32>(other, 4) != record &&
      takesMethod(load<u32>(other, 8), load<u32>(other, 12), bit, method, methodBytes)
    )
      return true;
  }
  return false;
}

/**
 * Writes the host in lower case, without port, to `hostRoom` + 1; its length, 0 when there is none. It must be read as Envoy's routes and the
 * upstream read it, or a request is admitted as one API's and answered by another's handler. That is certain of plain hosts alone: labels of
 * letters, digits, `-` and `_`, none of them empty (Envoy takes a final dot away before, `strip_trailing_host_dot`), 255 bytes at most, or an IPv6
 * address in brackets; with a port of digits or without. NO_HOST_NAME for anything else.
 */
function normalizeHost(at: usize, bytes: u32): u32 {
  let n = bytes;
  let digits = true;
  for (let i = bytes; i > 0; i--) {
    const c = <u32>load<u8>(at + i - 1);
    if (c == 0x3a) {
      if (!digits) return NO_HOST_NAME;
      n = i - 1;
      break;
    }
    // the end of an IPv6 address
    if (c == 0x5d) break;
    if (c - 0x30 >= 10) digits = false;
  }
  if (n > hostMaxBytes) return NO_HOST_NAME;
  if (n == 0) return 0;
  if (load<u8>(at) == 0x5b) return normalizeAddress(at, n);
  let last: u32 = 0x2e;
  for (let j: u32 = 0; j < n; j++) {
    let c = <u32>load<u8>(at + j);
    if (c - 65 < 26) c |= 32;
    if (c == 0x2e ? last == 0x2e : c - 0x61 >= 26 && c - 0x30 >= 10 && c != 0x2d && c != 0x5f) return NO_HOST_NAME;
    store<u8>(hostRoom + 1 + j, <u8>c);
    last = c;
  }
  return last == 0x2e ? NO_HOST_NAME : n;
}

/** The same of an IPv6 address in brackets. */
function normalizeAddress(at: usize, n: u32): u32 {
  if (load<u8>(at + n - 1) != 0x5d) return NO_HOST_NAME;
  for (let j: u32 = 0; j < n; j++) {
    let c = <u32>load<u8>(at + j);
    if (c - 65 < 26) c |= 32;
    const inside = c - 0x61 < 6 || c - 0x30 < 10 || c == 0x3a || c == 0x2e;
    if (!inside && j > 0 && j < n - 1) return NO_HOST_NAME;
    store<u8>(hostRoom + 1 + j, <u8>c);
  }
  return n;
}
