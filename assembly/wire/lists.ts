/** Walking what records hold several of (docs/internals/protocol.md). Nothing is checked here: `validate.ts` has seen the record. */

// ---- list<str>: u16 count, each u16 length + bytes -------------------------------------------------------------------------------------

// @ts-ignore: decorator
@inline
export function count(list: usize): u32 {
  return load<u16>(list);
}
// @ts-ignore: decorator
@inline
export function first(list: usize): usize {
  return list + 2;
}
// @ts-ignore: decorator
@inline
export function textBytes(item: usize): u32 {
  return load<u16>(item);
}
// @ts-ignore: decorator
@inline
export function text(item: usize): usize {
  return item + 2;
}
// @ts-ignore: decorator
@inline
export function next(item: usize): usize {
  return item + 2 + load<u16>(item);
}

/** What follows a list of strings. */
export function afterTexts(list: usize): usize {
  let item = first(list);
  for (let n = count(list); n > 0; n--) item = next(item);
  return item;
}

/** What follows a list of lists of strings. */
// @ts-ignore: decorator
@inline
export function afterLists(lists: usize): usize {
  let list = first(lists);
  for (let n = count(lists); n > 0; n--) list = afterTexts(list);
  return list;
}

/** Whether the list has the text. */
export function hasText(list: usize, at: usize, bytes: u32): bool {
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (textBytes(item) == bytes && memory.compare(text(item), at, bytes) == 0) return true;
    item = next(item);
  }
  return false;
}

// ---- list<u32> -------------------------------------------------------------------------------------------------------------------------

/** Whether the list of u32 has the id. */
export function hasId(list: usize, id: u32): bool {
  let item = first(list);
  for (let n = count(list); n > 0; n--) {
    if (load<u32>(item) == id) return true;
    item += 4;
  }
  return false;
}

// @ts-ignore: decorator
@inline
export function afterIds(list: usize): usize {
  return first(list) + ((<usize>count(list)) << 2);
}

// ---- claims: u16 count, each u8 length + name, u16 length + value ----------------------------------------------------------------------

/** What follows claims. */
// @ts-ignore: decorator
@inline
export function afterClaims(list: usize): usize {
  let claim = first(list);
  for (let n = count(list); n > 0; n--) claim = next(claim + 1 + load<u8>(claim));
  return claim;
}

// ---- addresses: u8 count, each u8 family, u8 prefix, 4 | 16 bytes ----------------------------------------------------------------------

export function afterAddresses(list: usize): usize {
  let at = list + 1;
  for (let n = <u32>load<u8>(list); n > 0; n--) at += load<u8>(at) == 4 ? 6 : 18;
  return at;
}
