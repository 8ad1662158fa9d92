/** The steps of `validate.ts` over a record's body: a step that would leave the body makes the record no good, and those after it do nothing. */
import { text, textBytes } from "./lists";

/** More segments than any path that a person writes; the router's stack is sized by it. */
export const PATH_SEGMENTS_MAX: u32 = 48;

/** The place in the body that is being validated and its end. */
let at: usize = 0;
let end: usize = 0;
export let good: bool = false;
/** What follows can't be told: the body has a value on which its form depends, and which isn't known. It's to be closed. */
export let stopped: bool = false;

export function begin(body: usize, bodyEnd: usize): void {
  at = body;
  end = bodyEnd;
  good = true;
  stopped = false;
}

export function refuse(): void {
  good = false;
}

export function skip(bytes: u32): void {
  if (!good || <usize>bytes > end - at) good = false;
  else at += bytes;
}

/** u16 length and bytes */
export function skipText(): void {
  if (!good || end - at < 2) good = false;
  else skip(2 + <u32>load<u16>(at));
}

/** u8 length and bytes */
export function skipShort(): void {
  if (!good || at >= end) good = false;
  else skip(1 + <u32>load<u8>(at));
}

/** A list's count, 0 where there is no room for one. */
export function skipCount(): u32 {
  if (!good || end - at < 2) {
    good = false;
    return 0;
  }
  const n = <u32>load<u16>(at);
  at += 2;
  return n;
}

export function skipTexts(): void {
  for (let n = skipCount(); good && n > 0; n--) skipText();
}

export function skipIds(): void {
  skip(skipCount() << 2);
}

/** Paths as the router needs them: each begins with `/`, does not end with one (but for the root), and has few enough segments. */
export function skipPaths(): void {
  for (let n = skipCount(); good && n > 0; n--) skipPath();
}

export function skipPath(): void {
  const from = at;
  skipText();
  if (!good) return;
  const bytes = textBytes(from);
  if (bytes == 0 || load<u8>(text(from)) != 0x2f || (bytes > 1 && load<u8>(text(from) + bytes - 1) == 0x2f)) {
    good = false;
    return;
  }
  let segments: u32 = 0;
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(text(from) + i) == 0x2f) segments++;
  if (segments > PATH_SEGMENTS_MAX) good = false;
}

/** Names and values */
export function skipClaims(): void {
  for (let n = skipCount(); good && n > 0; n--) {
    skipShort();
    skipText();
  }
}

/** A list, and a list of as many lists */
export function skipColumns(): void {
  const from = at;
  skipTexts();
  const lists = at;
  const n = skipCount();
  if (!good || load<u16>(from) != load<u16>(lists)) {
    good = false;
    return;
  }
  for (let i = n; good && i > 0; i--) skipTexts();
}

/** Networks; those of a family that isn't known end what can be read of the body. */
export function skipAddresses(): void {
  if (!good || at >= end) {
    good = false;
    return;
  }
  let n = <u32>load<u8>(at++);
  while (good && n > 0) {
    if (end - at < 2) {
      good = false;
      return;
    }
    const family = load<u8>(at);
    if (family != 4 && family != 6) {
      stopped = true;
      return;
    }
    if (load<u8>(at, 1) > (family == 4 ? 32 : 128)) {
      good = false;
      return;
    }
    skip(family == 4 ? 6 : 18);
    n--;
  }
}

/** Whether networks (0: none) have one of a family that isn't known. */
export function hasOtherFamily(list: usize): bool {
  if (list == 0) return false;
  let one = list + 1;
  for (let n = <u32>load<u8>(list); n > 0; n--) {
    const family = load<u8>(one);
    if (family != 4 && family != 6) return true;
    one += family == 4 ? 6 : 18;
  }
  return false;
}
