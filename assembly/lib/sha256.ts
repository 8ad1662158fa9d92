/** SHA-256 (FIPS 180-4) over linear memory, without allocation. */

@lazy @inline const K = memory.data<u32>(
  [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
    0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786,
    0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8,
    0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13,
    0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819,
    0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a,
    0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7,
    0xc67178f2,
  ],
  16,
);
/** the message schedule, W(0..63) */
@lazy @inline const W = memory.data(256, 16);
/** the chaining value, H(0..7), host byte order */
@lazy @inline const H = memory.data(32, 16);
/** what is left of the message after its whole blocks, padding and length: one or two blocks */
@lazy @inline const TAIL = memory.data(128, 16);

/**
 * Writes the SHA-256 digest of len bytes at ptr to the 32 bytes at out, in standard order. `out` may overlap the message.
 * Not reentrant, which a single-threaded module can't be anyway.
 */
export function sha256(ptr: usize, len: u32, out: usize): void {
  store<u32>(H, 0x6a09e667, 0);
  store<u32>(H, 0xbb67ae85, 4);
  store<u32>(H, 0x3c6ef372, 8);
  store<u32>(H, 0xa54ff53a, 12);
  store<u32>(H, 0x510e527f, 16);
  store<u32>(H, 0x9b05688c, 20);
  store<u32>(H, 0x1f83d9ab, 24);
  store<u32>(H, 0x5be0cd19, 28);

  let rest = len;
  while (rest >= 64) {
    compress(ptr);
    ptr += 64;
    rest -= 64;
  }
  // A key of up to 55 bytes comes here at once and takes one block.
  let tailBytes: usize = rest < 56 ? 64 : 128;
  memory.fill(TAIL, 0, tailBytes);
  memory.copy(TAIL, ptr, rest);
  store<u8>(TAIL + rest, 0x80);
  store<u64>(TAIL + tailBytes - 8, bswap<u64>((<u64>len) << 3));
  compress(TAIL);
  if (tailBytes == 128) compress(TAIL + 64);

  for (let i: usize = 0; i < 32; i += 4) store<u32>(out + i, bswap(load<u32>(H + i)));
}

function compress(block: usize): void {
  for (let i: usize = 0; i < 64; i += 4) store<u32>(W + i, bswap(load<u32>(block + i)));
  for (let i: usize = W; i < W + 192; i += 16) {
    expand(i, 0);
    expand(i, 4);
    expand(i, 8);
    expand(i, 12);
  }

  let a = load<u32>(H, 0),
    b = load<u32>(H, 4),
    c = load<u32>(H, 8),
    d = load<u32>(H, 12);
  let e = load<u32>(H, 16),
    f = load<u32>(H, 20),
    g = load<u32>(H, 24),
    h = load<u32>(H, 28);
  let t: u32;
  // Eight rounds a turn: the working variables come back to their names, so that none has to be moved.
  for (let i: usize = 0; i < 256; i += 32) {
    t = roundT1(e, f, g, h, i, 0);
    d += t;
    h = t + roundT2(a, b, c);
    t = roundT1(d, e, f, g, i, 4);
    c += t;
    g = t + roundT2(h, a, b);
    t = roundT1(c, d, e, f, i, 8);
    b += t;
    f = t + roundT2(g, h, a);
    t = roundT1(b, c, d, e, i, 12);
    a += t;
    e = t + roundT2(f, g, h);
    t = roundT1(a, b, c, d, i, 16);
    h += t;
    d = t + roundT2(e, f, g);
    t = roundT1(h, a, b, c, i, 20);
    g += t;
    c = t + roundT2(d, e, f);
    t = roundT1(g, h, a, b, i, 24);
    f += t;
    b = t + roundT2(c, d, e);
    t = roundT1(f, g, h, a, i, 28);
    e += t;
    a = t + roundT2(b, c, d);
  }

  store<u32>(H, load<u32>(H, 0) + a, 0);
  store<u32>(H, load<u32>(H, 4) + b, 4);
  store<u32>(H, load<u32>(H, 8) + c, 8);
  store<u32>(H, load<u32>(H, 12) + d, 12);
  store<u32>(H, load<u32>(H, 16) + e, 16);
  store<u32>(H, load<u32>(H, 20) + f, 20);
  store<u32>(H, load<u32>(H, 24) + g, 24);
  store<u32>(H, load<u32>(H, 28) + h, 28);
}

/** Makes W(t) where `at` + `offset` is the address of W(t-16). */
@inline function expand(at: usize, offset: usize): void {
  const w15 = load<u32>(at + offset, 4);
  const w2 = load<u32>(at + offset, 56);
  const s0 = rotr(w15, 7) ^ rotr(w15, 18) ^ (w15 >> 3);
  const s1 = rotr(w2, 17) ^ rotr(w2, 19) ^ (w2 >> 10);
  store<u32>(at + offset, load<u32>(at + offset) + s0 + load<u32>(at + offset, 36) + s1, 64);
}

@inline function roundT1(e: u32, f: u32, g: u32, h: u32, i: usize, offset: usize): u32 {
  const sum = rotr(e, 6) ^ rotr(e, 11) ^ rotr(e, 25);
  const choice = g ^ (e & (f ^ g));
  return h + sum + choice + load<u32>(K + offset + i) + load<u32>(W + offset + i);
}

@inline function roundT2(a: u32, b: u32, c: u32): u32 {
  const sum = rotr(a, 2) ^ rotr(a, 13) ^ rotr(a, 22);
  const majority = (a & b) | (c & (a | b));
  return sum + majority;
}
