/** Reads a configuration's fields from JSON, each with its bounds; the first thing wrong is kept as `field path: reason`. */
import { JsonKind, JsonReader } from "./json";

export class FieldReader {
  /** what the configuration's own rules found; what isn't JSON at all is in json.error */
  private refusal: string = "";

  constructor(public json: JsonReader) {}

  get failed(): bool {
    return this.refusal.length > 0 || this.json.failed;
  }

  get error(): string {
    return this.refusal.length ? this.refusal : this.json.error;
  }

  /** Keeps the first reason; nothing is read any more after it. */
  refuse(path: string, reason: string): void {
    if (!this.failed) this.refusal = path.length ? `${path}: ${reason}` : reason;
  }

  /** Whether the field's value is of the kind; refuses it with what is required otherwise. */
  is(kind: JsonKind, path: string, required: string): bool {
    if (this.failed) return false;
    if (this.json.kind() == kind) return true;
    this.refuse(path, required);
    return false;
  }

  /** A string that isn't empty; an empty array after a refusal. */
  text(path: string): StaticArray<u8> {
    if (this.is(JsonKind.String, path, "a non-empty string is required")) {
      const value = this.json.readString();
      if (value) {
        if (value.length) return value;
        this.refuse(path, "a non-empty string is required");
      }
    }
    return new StaticArray<u8>(0);
  }

  /** A whole number from least to most, also written as `2000.0` or `2e3` (a protobuf Struct holds doubles only). */
  integer(path: string, least: i64, most: i64): i64 {
    const required = `a whole number from ${least} to ${most} is required`;
    if (this.is(JsonKind.Number, path, required) && this.json.readNumber()) {
      const value = this.json.integer;
      if (this.json.isInteger && value >= least && value <= most) return value;
      this.refuse(path, required);
    }
    return least;
  }

  /** Index of the string among the choices, 0 after a refusal. */
  choice(path: string, choices: StaticArray<string>): i32 {
    const required = `one of ${choices.join(", ")} is required`;
    if (this.is(JsonKind.String, path, required)) {
      const value = this.json.readString();
      if (value) {
        for (let i = 0; i < choices.length; i++) {
          if (equalsText(value, choices[i])) return i;
        }
        this.refuse(path, required);
      }
    }
    return 0;
  }
}

/** Walks the members of one object, of which every name is known and comes once. */
export class Members {
  /** of the current member among the known names */
  index: i32 = -1;
  /** of the current member, for messages */
  path: string = "";
  /** how many members came */
  count: i32 = 0;

  private seen: u64 = 0;
  private open: bool;

  constructor(
    private fields: FieldReader,
    private parent: string,
    private known: StaticArray<string>,
  ) {
    this.open = fields.is(JsonKind.Object, parent, "an object is required") && fields.json.enterObject();
  }

  /** Goes on to the next member; false after the last one and after a refusal. */
  next(): bool {
    if (!this.open || this.fields.failed) return false;
    const name = this.fields.json.nextMember();
    if (!name) return false;
    this.count++;
    for (let i = 0; i < this.known.length; i++) {
      if (!equalsText(name, this.known[i])) continue;
      this.index = i;
      this.path = childPath(this.parent, this.known[i]);
      if (this.seen & (1 << (<u64>i))) {
        this.fields.refuse(this.path, "given twice");
        return false;
      }
      this.seen |= 1 << (<u64>i);
      return true;
    }
    this.fields.refuse(this.parent, unknownName("field", name, this.known));
    return false;
  }

  /** Whether the field came. */
  has(index: i32): bool {
    return (this.seen & (1 << (<u64>index))) != 0;
  }
}

export function childPath(parent: string, name: string): string {
  return parent.length ? `${parent}.${name}` : name;
}

export function equalsText(bytes: StaticArray<u8>, text: string): bool {
  if (bytes.length != text.length) return false;
  for (let i = 0; i < bytes.length; i++) {
    if (<i32>bytes[i] != text.charCodeAt(i)) return false;
  }
  return true;
}

/** `unknown field "kyeSources", did you mean "keySources"?` */
export function unknownName(what: string, name: StaticArray<u8>, known: StaticArray<string>): string {
  const quoted = printable(name);
  const near = nearest(quoted, known);
  return near.length ? `unknown ${what} "${quoted}", did you mean "${near}"?` : `unknown ${what} "${quoted}"`;
}

/** At most 64 bytes of a text for a message, with `?` for all but printable ASCII, so that it can't forge lines of a log. */
export function printable(bytes: StaticArray<u8>): string {
  const shown = min(bytes.length, 64);
  let text = "";
  for (let i = 0; i < shown; i++) {
    const c = <i32>bytes[i];
    text += c >= 0x20 && c < 0x7f ? String.fromCharCode(c) : "?";
  }
  return shown < bytes.length ? text + "..." : text;
}

/** The candidate that differs least from the word, if it's near enough to be a misspelling; else empty. */
function nearest(word: string, candidates: StaticArray<string>): string {
  let best = "";
  let bestDistance = max(1, word.length / 3) + 1;
  for (let i = 0; i < candidates.length; i++) {
    const distance = editDistance(word.toLowerCase(), candidates[i].toLowerCase());
    if (distance < bestDistance) {
      best = candidates[i];
      bestDistance = distance;
    }
  }
  return best;
}

/** Optimal string alignment: insertions, deletions, substitutions and swaps of neighbours. */
function editDistance(a: string, b: string): i32 {
  const width = b.length + 1;
  const cost = new StaticArray<i32>((a.length + 1) * width);
  for (let column = 0; column < width; column++) cost[column] = column;
  for (let row = 1; row <= a.length; row++) {
    const here = row * width;
    const above = here - width;
    cost[here] = row;
    for (let column = 1; column < width; column++) {
      const same = a.charCodeAt(row - 1) == b.charCodeAt(column - 1);
      let least = min(
        cost[above + column - 1] + (same ? 0 : 1),
        min(cost[above + column], cost[here + column - 1]) + 1,
      );
      const swapped =
        row > 1 &&
        column > 1 &&
        a.charCodeAt(row - 1) == b.charCodeAt(column - 2) &&
        a.charCodeAt(row - 2) == b.charCodeAt(column - 1);
      if (swapped) least = min(least, cost[above - width + column - 2] + 1);
      cost[here + column] = least;
    }
  }
  return cost[a.length * width + b.length];
}
