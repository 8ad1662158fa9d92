/** ASCII text put together in a fixed buffer, without allocation; what doesn't fit is cut off. */
export class Text {
  private at: usize;
  private max: u32;
  bytes: u32 = 0;

  constructor(max: u32) {
    this.at = heap.alloc(max);
    this.max = max;
  }

  // @ts-ignore: decorator
  @inline
  get start(): usize {
    return this.at;
  }

  clear(): Text {
    this.bytes = 0;
    return this;
  }

  byte(c: u32): Text {
    if (this.bytes < this.max) store<u8>(this.at + this.bytes++, <u8>c);
    return this;
  }

  add(s: string): Text {
    for (let i = 0; i < s.length; i++) this.byte(s.charCodeAt(i));
    return this;
  }

  copy(from: usize, n: u32): Text {
    if (n > this.max - this.bytes) n = this.max - this.bytes;
    memory.copy(this.at + this.bytes, from, n);
    this.bytes += n;
    return this;
  }

  array(a: StaticArray<u8>): Text {
    return this.copy(changetype<usize>(a), a.length);
  }

  /** Decimal. */
  num(n: u64): Text {
    let d: u64 = 1;
    while (n / d >= 10) d *= 10;
    for (; d > 0; d /= 10) this.byte(0x30 + <u32>((n / d) % 10));
    return this;
  }

  /** 16 hex digits. */
  hex(n: u64): Text {
    for (let shift: i32 = 60; shift >= 0; shift -= 4) {
      const d = <u32>(n >> shift) & 15;
      this.byte(d < 10 ? 0x30 + d : 0x57 + d);
    }
    return this;
  }

  /** Percent-encoded for a query (RFC 3986: all but unreserved). */
  encoded(from: usize, n: u32): Text {
    for (let i: u32 = 0; i < n; i++) {
      const c = <u32>load<u8>(from + i);
      const plain = c - 0x30 < 10 || (c | 32) - 0x61 < 26 || c == 0x2d || c == 0x2e || c == 0x5f || c == 0x7e;
      if (plain) this.byte(c);
      else {
        this.byte(0x25);
        const high = c >> 4;
        const low = c & 15;
        this.byte(high < 10 ? 0x30 + high : 0x37 + high);
        this.byte(low < 10 ? 0x30 + low : 0x37 + low);
      }
    }
    return this;
  }
}

/** An ASCII string's bytes, for configuration time. */
export function ascii(s: string): StaticArray<u8> {
  const out = new StaticArray<u8>(s.length);
  for (let i = 0; i < s.length; i++) out[i] = <u8>s.charCodeAt(i);
  return out;
}
