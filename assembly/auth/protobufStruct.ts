/**
 * Reads google.protobuf.Struct and Value as they are serialized (protobuf encoding; well-known types `struct.proto`). Envoy's `get_property`
 * returns a number's eight bytes, a boolean's one and a text's own for a leaf alike; only the serialized message says which it was.
 *
 * Results are kept in static places that the next call overwrites.
 */

/** Kinds of a Value. Null, a Value without a kind, and a member that isn't there are one: VALUE_NONE. */
export const VALUE_NONE: u32 = 0;
export const VALUE_TEXT: u32 = 1;
export const VALUE_STRUCT: u32 = 2;
export const VALUE_LIST: u32 = 3;
/** a number or a boolean */
export const VALUE_OTHER: u32 = 4;

/** The last Value read: its kind, and of a text, a struct or a list its bytes. */
export let kind: u32 = VALUE_NONE;
export let at: usize = 0;
export let bytes: u32 = 0;

const WIRE_VARINT: u32 = 0;
const WIRE_64: u32 = 1;
const WIRE_BYTES: u32 = 2;
const WIRE_32: u32 = 5;

/** The field that `nextField` has read: its number and wire type; of a length-delimited one its bytes. */
let field: u32 = 0;
let wire: u32 = 0;
let fieldAt: usize = 0;
let fieldBytes: u32 = 0;
let number: u64 = 0;

/** Reads a varint into `number`. Returns the address after it, 0 when it isn't whole. */
function varint(p: usize, end: usize): usize {
  number = 0;
  for (let shift: u64 = 0; shift < 64 && p < end; shift += 7) {
    const c = <u64>load<u8>(p++);
    number |= (c & 0x7f) << shift;
    if (c < 0x80) return p;
  }
  return 0;
}

/** Reads one field. Returns the address after it, 0 when the message is malformed. */
function nextField(p: usize, end: usize): usize {
  p = varint(p, end);
  if (p == 0) return 0;
  field = <u32>(number >> 3);
  wire = <u32>number & 7;
  fieldAt = p;
  fieldBytes = 0;
  if (wire == WIRE_VARINT) return varint(p, end);
  let size: u64 = wire == WIRE_64 ? 8 : 4;
  if (wire == WIRE_BYTES) {
    p = varint(p, end);
    if (p == 0) return 0;
    size = number;
    fieldAt = p;
  } else if (wire != WIRE_64 && wire != WIRE_32) return 0;
  if (size > <u64>(end - p)) return 0;
  fieldBytes = <u32>size;
  return p + fieldBytes;
}

/**
 * Finds the entry of a map<string, message> whose fields have this number in the message at `message`; `at` and `bytes` are its value
 * then. Where a key comes twice, the last one counts.
 */
export function mapEntry(message: usize, messageBytes: u32, map: u32, name: usize, nameBytes: u32): bool {
  const end = message + messageBytes;
  let found = false;
  for (let p = message; p < end; ) {
    p = nextField(p, end);
    if (p == 0) return false;
    if (field != map || wire != WIRE_BYTES) continue;
    let keyAt: usize = 0;
    let keyBytes: u32 = 0;
    let valueAt: usize = fieldAt;
    let valueBytes: u32 = 0;
    const entryEnd = fieldAt + fieldBytes;
    for (let q = fieldAt; q < entryEnd; ) {
      q = nextField(q, entryEnd);
      if (q == 0) return false;
      if (wire != WIRE_BYTES) continue;
      if (field == 1) {
        keyAt = fieldAt;
        keyBytes = fieldBytes;
      } else if (field == 2) {
        valueAt = fieldAt;
        valueBytes = fieldBytes;
      }
    }
    if (keyBytes != nameBytes || memory.compare(keyAt, name, nameBytes) != 0) continue;
    found = true;
    at = valueAt;
    bytes = valueBytes;
  }
  return found;
}

/** Reads the Value that lies in these bytes; a malformed one is VALUE_NONE. */
export function readValue(value: usize, valueBytes: u32): void {
  const end = value + valueBytes;
  kind = VALUE_NONE;
  at = value;
  bytes = 0;
  for (let p = value; p < end; ) {
    p = nextField(p, end);
    if (p == 0) {
      kind = VALUE_NONE;
      return;
    }
    if (field < 1 || field > 6) continue;
    kind = VALUE_NONE;
    at = fieldAt;
    bytes = fieldBytes;
    if (field == 2 || field == 4) kind = VALUE_OTHER;
    else if (wire == WIRE_BYTES) {
      if (field == 3) kind = VALUE_TEXT;
      else if (field == 5) kind = VALUE_STRUCT;
      else if (field == 6) kind = VALUE_LIST;
    }
  }
}

/** Reads a Struct's member; one that isn't there is VALUE_NONE. */
export function readMember(struct: usize, structBytes: u32, name: usize, nameBytes: u32): void {
  if (mapEntry(struct, structBytes, 1, name, nameBytes)) readValue(at, bytes);
  else kind = VALUE_NONE;
}

/** Reads the item of a ListValue at `p` into `kind`, `at` and `bytes`. Returns the address of the next one, 0 at the end. */
export function readItem(p: usize, end: usize): usize {
  while (p < end) {
    p = nextField(p, end);
    if (p == 0) return 0;
    if (field != 1 || wire != WIRE_BYTES) continue;
    readValue(fieldAt, fieldBytes);
    return p;
  }
  return 0;
}
