/**
 * Keys of requests that wait. A client that leaves is logged by Envoy with the headers as they are then, without a word to the filter: so
 * whatever may carry a key is taken out of a request before it waits, kept here, and put back for the moment in which it's decided.
 * It is put back as it was, since what turns out to be no key belongs to the upstream.
 *
 * What is kept lies in chains of blocks, and is overwritten with zeros once the request is decided or gone.
 *
 * ```
 *   block, 256 bytes:  u32 next, 0: none | 252 bytes of content
 *   content:           u32 its bytes | for each header: u32 name bytes | u32 value bytes | name | value
 * ```
 */
import {
  MAP_REQUEST_HEADERS,
  addHeader,
  continueRequest,
  removeHeader,
  replaceHeader,
  setEffectiveContext,
} from "../abi/host";
import { mark, release, scratch } from "../abi/memory";
import { findByte } from "../lib/bytes";
import { STRAY_QUERY, hasSource, pairsAt, path, strays } from "../http/headerScan";
import { SOURCE_QUERY } from "../wire/enums";
import { Root } from "../plugin/instance";
import { ascii } from "../lib/text";

/** Nothing had to be taken out. */
const NOTHING: u32 = 0;
/** There is no room: the request may not wait. */
export const NO_ROOM: u32 = 0xffffffff;

const BLOCKS: u32 = 16384;
const BLOCK_BYTES: u32 = 256;
const CONTENT_BYTES: u32 = BLOCK_BYTES - 4;
const blocks = memory.data(16384 * 256, 8);
/** Blocks are named 1 to BLOCKS. Those up to `fresh` have been in use at some time; the free ones of them are chained. */
let fresh: u32 = 0;
let free: u32 = 0;
let freeBlocks: u32 = 16384;

const PATH = ascii(":path");

// @ts-ignore: decorator
@inline
function block(id: u32): usize {
  return blocks + <usize>(id - 1) * BLOCK_BYTES;
}

function takeBlock(): u32 {
  freeBlocks--;
  if (free == 0) return ++fresh;
  const id = free;
  free = load<u32>(block(id));
  store<u32>(block(id), 0);
  return id;
}

/** Where the chain that is being written ends. */
let writing: u32 = 0;
let written: u32 = 0;

function write(from: usize, bytes: u32): void {
  while (bytes > 0) {
    if (written == CONTENT_BYTES) {
      const next = takeBlock();
      store<u32>(block(writing), next);
      writing = next;
      written = 0;
    }
    const part = min(bytes, CONTENT_BYTES - written);
    memory.copy(block(writing) + 4 + written, from, part);
    from += part;
    bytes -= part;
    written += part;
  }
}

const number = memory.data(4, 4);

function writeNumber(n: u32): void {
  store<u32>(number, n);
  write(number, 4);
}

/** Calls for each of the scanned headers that may carry a key; the pairs are whole, as `scan` has found. Returns the content's bytes. */
function eachConcealed(root: Root, keep: bool): u32 {
  const config = root.config;
  const wholeQuery = (strays & STRAY_QUERY) != 0 || hasSource(config, SOURCE_QUERY);
  const n = load<u32>(pairsAt);
  let sizes = pairsAt + 4;
  let at = sizes + ((<usize>n) << 3);
  let total: u32 = 4;
  for (let i: u32 = 0; i < n; i++) {
    const nameBytes = load<u32>(sizes);
    const bytes = load<u32>(sizes, 4);
    const name = at;
    const valueAt = at + nameBytes + 1;
    sizes += 8;
    at = valueAt + bytes + 1;
    const isPath = valueAt == path.at;
    if (
      isPath
        ? !wholeQuery || findByte(valueAt, valueAt + bytes, 0x3f) == valueAt + bytes
        : !root.plan.mayCarryKey(name, nameBytes, config)
    )
      continue;
    total += 8 + nameBytes + bytes;
    if (!keep) continue;
    writeNumber(nameBytes);
    writeNumber(bytes);
    write(name, nameBytes);
    write(valueAt, bytes);
    if (isPath)
      replaceHeader(
        MAP_REQUEST_HEADERS,
        changetype<usize>(PATH),
        PATH.length,
        path.at,
        <u32>(findByte(path.at, path.at + bytes, 0x3f) - path.at),
      );
    else removeHeader(MAP_REQUEST_HEADERS, name, nameBytes);
  }
  return total;
}

/**
 * Takes whatever may carry a key out of the request that was just scanned. Returns what `decideHeld` or `forget` need to be told later, or
 * NO_ROOM, and then nothing was done.
 */
export function conceal(root: Root): u32 {
  const bytes = eachConcealed(root, false);
  if (bytes == 4) return NOTHING;
  if ((bytes + CONTENT_BYTES - 1) / CONTENT_BYTES > freeBlocks) return NO_ROOM;
  const first = takeBlock();
  writing = first;
  written = 0;
  writeNumber(bytes);
  eachConcealed(root, true);
  return first;
}

/** Overwrites and frees what was kept. */
export function forget(concealed: u32): void {
  while (concealed != NOTHING) {
    const at = block(concealed);
    const next = load<u32>(at);
    memory.fill(at + 4, 0, CONTENT_BYTES);
    store<u32>(at, free);
    free = concealed;
    freeBlocks++;
    concealed = next;
  }
}

/** Puts back what was taken out. False when there is no room to put it together. */
function reveal(concealed: u32): bool {
  if (concealed == NOTHING) return true;
  const bytes = load<u32>(block(concealed), 4);
  const content = scratch(bytes);
  if (content == 0) return false;
  let to = content;
  const end = content + bytes;
  for (let id = concealed; to < end; id = load<u32>(block(id))) {
    const part = min(<u32>(end - to), CONTENT_BYTES);
    memory.copy(to, block(id) + 4, part);
    to += part;
  }
  for (let at = content + 4; at < end; ) {
    const nameBytes = load<u32>(at);
    const valueBytes = load<u32>(at, 4);
    const name = at + 8;
    const valueAt = name + nameBytes;
    at = valueAt + valueBytes;
    if (load<u8>(name) == 0x3a) replaceHeader(MAP_REQUEST_HEADERS, name, nameBytes, valueAt, valueBytes);
    else addHeader(MAP_REQUEST_HEADERS, name, nameBytes, valueAt, valueBytes);
  }
  memory.fill(content, 0, bytes);
  return true;
}

/** Decides the request of the effective context, as `decide` does; true when the stream may go on. */
export type Decide = (root: Root, context: u32, mayHold: bool, deadlineNs: u64) => bool;

/** What decides held requests, and what refuses one whose headers can't be put back: handed in by decide.ts, which holds requests. */
let decideAgain: Decide | null = null;
let refuseSpoiled: ((root: Root) => i32) | null = null;

export function decideHeldBy(decide: Decide, refuse: (root: Root) => i32): void {
  decideAgain = decide;
  refuseSpoiled = refuse;
}

/**
 * Decides the request of a context that has waited, as if it came now; `mayHold` and `deadlineNs` as `decide` takes them. The stream may be
 * gone by now: then the host refuses its context, and nothing else may be called for it.
 */
export function decideHeld(root: Root, context: u32, concealed: u32, mayHold: bool, deadlineNs: u64): void {
  if (!setEffectiveContext(context)) {
    forget(concealed);
    return;
  }
  const room = mark();
  const whole = reveal(concealed);
  release(room);
  forget(concealed);
  const again = decideAgain;
  const refuse = refuseSpoiled;
  if (!whole) {
    if (refuse != null) refuse(root);
  } else if (again != null && again(root, context, mayHold, deadlineNs)) continueRequest();
  release(room);
}
