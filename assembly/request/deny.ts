/** The one way to refuse: a problem (RFC 9457), its headers, the reason in Envoy's response code details. */
import { sendLocalResponse } from "../abi/host";
import { scratch } from "../abi/memory";
import { PROBLEM_TYPE_BASE } from "../config/model";
import { corsPairs } from "../http/cors";
import { beginPairs, endPairs, pair, pairOf, pairsAt, pairsBytes } from "../lib/pairs";
import {
  KEY_EXPIRED, KEY_MISSING, METHOD_NOT_ALLOWED, PEER_MISSING, REASONS, TOKEN_AUDIENCE, TOKEN_MISSING, reasonCode, reasonGrpcStatus, reasonRetryAfter, reasonStatus, reasonTitle,
} from "../wire/reasons";
import { contentType } from "../http/headerScan";
import { Router } from "../snapshot/router";
import { ascii } from "../lib/text";

export const CONTENT_TYPE = ascii("content-type");
export const PROBLEM = ascii("application/problem+json");
export const CACHE_CONTROL = ascii("cache-control");
export const NO_STORE = ascii("no-store");
const AUTHENTICATE = ascii("www-authenticate");
const BASIC_CHALLENGE = ascii('ApiKey realm="tollgate"');
const CERTIFICATE_CHALLENGE = ascii('Transport mode="tls-client-certificate"');
const BEARER_MISSING = ascii('Bearer realm="tollgate"');
const BEARER_INVALID = ascii('Bearer realm="tollgate", error="invalid_token"');
export const RETRY_AFTER = ascii("retry-after");
const SOON = ascii("1");
const LATER = ascii("5");
const ALLOW = ascii("allow");
const GRPC = ascii("application/grpc");
const allowed = memory.data(512);

/** Everything that doesn't depend on the request, put together once. */
export class Answer {
  details: StaticArray<u8>;
  /** the problem after the base of its type */
  tail: StaticArray<u8>;
  /** gRPC carries the text in a header, so it gets a short one */
  message: StaticArray<u8>;

  constructor(reason: u32) {
    const code = reasonCode(reason);
    const title = reasonTitle(reason);
    this.details = ascii("tollgate_" + code);
    this.tail = ascii(code + '","title":"' + title + '","status":' + reasonStatus(reason).toString() + ',"reason":"' + code + '"}');
    this.message = ascii(code + ": " + title);
  }
}

const answers: StaticArray<Answer> = makeAnswers();

function makeAnswers(): StaticArray<Answer> {
  const all = new StaticArray<Answer>(REASONS);
  for (let r: u32 = 0; r < REASONS; r++) all[r] = new Answer(r);
  return all;
}

/** The public code of a reason, as bytes. */
export function codeOf(reason: u32): StaticArray<u8> {
  return codes[reason];
}

const codes: StaticArray<StaticArray<u8>> = makeCodes();

function makeCodes(): StaticArray<StaticArray<u8>> {
  const all = new StaticArray<StaticArray<u8>>(REASONS);
  for (let r: u32 = 0; r < REASONS; r++) all[r] = ascii(reasonCode(r));
  return all;
}

export function answerOf(reason: u32): Answer {
  return unchecked(answers[reason]);
}

/** As Envoy tells gRPC: exactly this type, or with a `+` suffix. */
export function isGrpc(): bool {
  const bytes = <u32>GRPC.length;
  if (contentType.bytes < bytes || memory.compare(contentType.at, changetype<usize>(GRPC), bytes) != 0) return false;
  if (contentType.bytes == bytes) return true;
  const c = load<u8>(contentType.at + bytes);
  return c == 0x2b;
}

// @ts-ignore: decorator
@inline
function isOfToken(reason: u32): bool { return reason >= TOKEN_MISSING && reason <= TOKEN_AUDIENCE; }
// @ts-ignore: decorator
@inline
function isOfKey(reason: u32): bool { return reason >= KEY_MISSING && reason <= KEY_EXPIRED; }

const HEAD = ascii('{"type":"');

let body: usize = 0;
let bodyBytes: u32 = 0;

/** Puts the problem together in scratch memory: `body` and `bodyBytes`. Without memory for it the problem has no body. */
function writeProblem(base: StaticArray<u8>, tail: StaticArray<u8>): void {
  bodyBytes = HEAD.length + base.length + tail.length;
  body = scratch(bodyBytes);
  if (body == 0) {
    bodyBytes = 0;
    return;
  }
  memory.copy(body, changetype<usize>(HEAD), HEAD.length);
  memory.copy(body + HEAD.length, changetype<usize>(base), base.length);
  memory.copy(body + HEAD.length + base.length, changetype<usize>(tail), tail.length);
}

/**
 * Answers the stream of the effective context. `bearer`: the configuration takes keys as Bearer tokens. `typeBase`: the URL that a reason's code
 * completes to the problem's type. `cors`: the API's CORS rules or 0. `router` has just refused the method, where that is the reason.
 */
export function deny(reason: u32, bearer: bool, cors: usize, router: Router | null, typeBase: StaticArray<u8> = PROBLEM_TYPE_BASE): void {
  const answer = unchecked(answers[reason]);
  const status = reasonStatus(reason);
  const grpc = isGrpc();
  beginPairs();
  if (!grpc) {
    pairOf(CONTENT_TYPE, PROBLEM);
    pairOf(CACHE_CONTROL, NO_STORE);
  }
  if (status == 401) {
    if (reason == PEER_MISSING) pairOf(AUTHENTICATE, CERTIFICATE_CHALLENGE);
    else if (isOfToken(reason)) pairOf(AUTHENTICATE, reason == TOKEN_MISSING ? BEARER_MISSING : BEARER_INVALID);
    else pairOf(AUTHENTICATE, BASIC_CHALLENGE);
    if (bearer && isOfKey(reason)) pairOf(AUTHENTICATE, reason == KEY_MISSING ? BEARER_MISSING : BEARER_INVALID);
  } else if (status == 503) {
    pairOf(RETRY_AFTER, reasonRetryAfter(reason) == 1 ? SOON : LATER);
  } else if (reason == METHOD_NOT_ALLOWED && router != null) {
    pair(changetype<usize>(ALLOW), ALLOW.length, allowed, router.allowedMethods(allowed, 512));
  }
  corsPairs(cors);
  const there = endPairs();
  if (grpc) {
    body = changetype<usize>(answer.message);
    bodyBytes = answer.message.length;
  } else writeProblem(typeBase, answer.tail);
  sendLocalResponse(
    status, changetype<usize>(answer.details), answer.details.length, body, bodyBytes,
    there ? pairsAt : 0, there ? pairsBytes : 0, reasonGrpcStatus(reason),
  );
}
