/**
 * Writes records into payloads of at most one frame each. A record is written straight into the page, behind the byte
 * that most lengths need; one that turns out not to fit is written again into the next page. Nothing is allocated per record.
 */
import { EncodeError, label } from "./bytes.ts";
import { codeOf, type WireRecord, writeBody } from "./generated/records.ts";
import { HEADER_BYTES, MAX_FRAME_BYTES } from "./wire.ts";

export { EncodeError } from "./bytes.ts";

export class RecordWriter {
  readonly #done: Buffer[] = [];
  readonly #firstBytes: number;
  #doneBytes = 0;
  #page: Buffer;
  #pos = HEADER_BYTES;

  /** `firstBytes`: the first allocation of each page; it grows up to a whole frame. */
  constructor(firstBytes: number = MAX_FRAME_BYTES) {
    this.#firstBytes = Math.min(MAX_FRAME_BYTES, Math.max(firstBytes, HEADER_BYTES + 64));
    this.#page = Buffer.allocUnsafeSlow(this.#firstBytes);
  }

  /** Bytes of all frames so far, headers included. */
  get frameBytes(): number {
    return this.#doneBytes + (this.#pos > HEADER_BYTES ? this.#pos : 0);
  }

  /** Appends a record. Throws EncodeError, leaving what was written before untouched. */
  write(record: WireRecord): void {
    const code = codeOf(record);
    for (;;) {
      const page = this.#page;
      const from = this.#pos;
      const end = writeBody(page, from + 2, record);
      const bodyBytes = end - from - 2;
      const shift = bodyBytes < 0x80 ? 0 : bodyBytes < 0x4000 ? 1 : 2;
      // stores past the end of a buffer are dropped, so an overflow shows only here
      if (end + shift <= page.length) {
        if (shift > 0) page.copyWithin(from + 2 + shift, from + 2, end);
        page[from] = code;
        writeVarint(page, from + 1, bodyBytes);
        this.#pos = end + shift;
        return;
      }
      if (page.length < MAX_FRAME_BYTES) this.#grow();
      else if (this.#pos > HEADER_BYTES) this.#turn();
      else throw new EncodeError(`${label(record)} takes ${bodyBytes} bytes, more than one frame holds`);
    }
  }

  /** Gives each page with 48 free bytes in front for its header (`sealFrame`); none when nothing was written. */
  finish(): Buffer[] {
    if (this.#pos > HEADER_BYTES) this.#turn();
    return this.#done;
  }

  #turn(): void {
    this.#doneBytes += this.#pos;
    this.#done.push(this.#pos === this.#page.length ? this.#page : copyOf(this.#page.subarray(0, this.#pos)));
    // a page that was cut short has been copied, so its buffer serves again
    if (this.#pos === this.#page.length) this.#page = Buffer.allocUnsafeSlow(this.#firstBytes);
    this.#pos = HEADER_BYTES;
  }

  #grow(): void {
    const larger = Buffer.allocUnsafeSlow(Math.min(MAX_FRAME_BYTES, this.#page.length * 4));
    this.#page.copy(larger, 0, 0, this.#pos);
    this.#page = larger;
  }
}

function copyOf(bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length);
  bytes.copy(copy);
  return copy;
}

function writeVarint(page: Buffer, at: number, value: number): void {
  let rest = value;
  let pos = at;
  while (rest >= 0x80) {
    page[pos++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  page[pos] = rest;
}
