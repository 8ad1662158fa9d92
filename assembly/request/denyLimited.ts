/** 429: a problem of the IANA type quota-exceeded (draft-ietf-httpapi-ratelimit-headers-10, section 6) that names the violated policies. */
import { sendLocalResponse } from "../abi/host";
import { scratch } from "../abi/memory";
import { corsPairs } from "../http/cors";
import { CACHE_CONTROL, CONTENT_TYPE, NO_STORE, PROBLEM, RETRY_AFTER, answerOf, isGrpc } from "./deny";
import { beginPairs, endPairs, pair, pairOf, pairsAt, pairsBytes } from "../lib/pairs";
import { REASONS, reasonCode, reasonGrpcStatus, reasonStatus, reasonTitle } from "../wire/reasons";
import { limitName, nameBytes } from "../wire/records";
import { ascii } from "../lib/text";
import { applicable } from "../snapshot/applicableLimits";
import { isViolated, limitCount, retryNs } from "./consumeLimits";
import { pairNoted } from "./rateLimitHeaders";

const ITEM_MOST: u32 = 68;
const seconds = memory.data(24);

/** The body up to the list of policies, by reason, put together once. */
const heads: StaticArray<StaticArray<u8>> = makeHeads();

function makeHeads(): StaticArray<StaticArray<u8>> {
  const all = new StaticArray<StaticArray<u8>>(REASONS);
  for (let r: u32 = 0; r < REASONS; r++) {
    all[r] = ascii(
      '{"type":"https://iana.org/assignments/http-problem-types#quota-exceeded","title":"' +
        reasonTitle(r) +
        '","status":' +
        reasonStatus(r).toString() +
        ',"reason":"' +
        reasonCode(r) +
        '","violated-policies":[',
    );
  }
  return all;
}

/** Answers the stream of the effective context, whose limits were just decided. `cors`: the API's CORS rules or 0. */
export function denyLimited(reason: u32, cors: usize, context: u32): void {
  const answer = answerOf(reason);
  const grpc = isGrpc();
  beginPairs();
  if (!grpc) {
    pairOf(CONTENT_TYPE, PROBLEM);
    pairOf(CACHE_CONTROL, NO_STORE);
  }
  let wait = (retryNs + 999_999_999) / 1_000_000_000;
  if (wait == 0) wait = 1;
  let at = seconds + 24;
  for (; wait > 0; wait /= 10) store<u8>(--at, <u8>(0x30 + (wait % 10)));
  pair(changetype<usize>(RETRY_AFTER), RETRY_AFTER.length, at, <u32>(seconds + 24 - at));
  pairNoted(context);
  corsPairs(cors);
  const there = endPairs();
  let body = changetype<usize>(answer.message);
  let bytes = <u32>answer.message.length;
  if (!grpc) {
    const head = unchecked(heads[reason]);
    const room = scratch(head.length + limitCount * ITEM_MOST + 2);
    if (room != 0) {
      body = room;
      bytes = <u32>(writeBody(room, head) - room);
    }
  }
  sendLocalResponse(
    reasonStatus(reason),
    changetype<usize>(answer.details),
    answer.details.length,
    body,
    bytes,
    there ? pairsAt : 0,
    there ? pairsBytes : 0,
    reasonGrpcStatus(reason),
  );
}

function writeBody(at: usize, head: StaticArray<u8>): usize {
  memory.copy(at, changetype<usize>(head), head.length);
  at += head.length;
  let some = false;
  for (let i: u32 = 0; i < limitCount; i++) {
    if (!isViolated(i)) continue;
    if (some) store<u8>(at++, 0x2c);
    some = true;
    const limit = applicable(i);
    const bytes = nameBytes(limit);
    store<u8>(at, 0x22);
    memory.copy(at + 1, limitName(limit), bytes);
    store<u8>(at + 1 + bytes, 0x22);
    at += bytes + 2;
  }
  store<u16>(at, 0x7d5d);
  return at + 2;
}
