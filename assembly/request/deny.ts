/** The one way to refuse: a problem (RFC 9457), its headers, the reason in Envoy's response code details. */
import { sendLocalResponse } from "../abi/host";
import { scratch } from "../abi/memory";
import { PROBLEM_TYPE_BASE } from "../config/model";
import { contentType } from "../http/headerScan";
import { corsPairs } from "../http/cors";
import { beginPairs, endPairs, pair, pairOf, pairsAt, pairsBytes } from "../lib/pairs";
import {
  CHALLENGE_CERTIFICATE,
  CHALLENGE_KEY_INVALID,
  CHALLENGE_KEY_MISSING,
  CHALLENGE_NONE,
  CHALLENGE_TOKEN_MISSING,
  METHOD_NOT_ALLOWED,
  REASONS,
  reasonChallenge,
  reasonCode,
  reasonGrpcStatus,
  reasonRetryAfter,
  reasonStatus,
  reasonTitle,
} from "../wire/reasons";
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
  retryAfter: StaticArray<u8>;

  constructor(reason: u32) {
    const code = reasonCode(reason);
    const title = reasonTitle(reason);
    this.details = ascii("tollgate_" + code);
    this.tail = ascii(
      code + '","title":"' + title + '","status":' + reasonStatus(reason).toString() + ',"reason":"' + code + '"}',
    );
    this.message = ascii(code + ": " + title);
    this.retryAfter = ascii(reasonRetryAfter(reason).toString());
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

/** What the caller should send, or send anew. `bearer`: keys may come as Bearer tokens. */
function challengePairs(challenge: u32, bearer: bool): void {
  const missing = challenge == CHALLENGE_KEY_MISSING || challenge == CHALLENGE_TOKEN_MISSING;
  const ofKey = challenge == CHALLENGE_KEY_MISSING || challenge == CHALLENGE_KEY_INVALID;
  if (challenge == CHALLENGE_CERTIFICATE) pairOf(AUTHENTICATE, CERTIFICATE_CHALLENGE);
  if (ofKey) pairOf(AUTHENTICATE, BASIC_CHALLENGE);
  if (ofKey ? bearer : challenge != CHALLENGE_CERTIFICATE)
    pairOf(AUTHENTICATE, missing ? BEARER_MISSING : BEARER_INVALID);
}

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
export function deny(
  reason: u32,
  bearer: bool,
  cors: usize,
  router: Router | null,
  typeBase: StaticArray<u8> = PROBLEM_TYPE_BASE,
): void {
  const answer = unchecked(answers[reason]);
  const status = reasonStatus(reason);
  const grpc = isGrpc();
  beginPairs();
  if (!grpc) {
    pairOf(CONTENT_TYPE, PROBLEM);
    pairOf(CACHE_CONTROL, NO_STORE);
  }
  if (reasonChallenge(reason) != CHALLENGE_NONE) challengePairs(reasonChallenge(reason), bearer);
  else if (reasonRetryAfter(reason) != 0) pairOf(RETRY_AFTER, answer.retryAfter);
  else if (reason == METHOD_NOT_ALLOWED && router != null) {
    pair(changetype<usize>(ALLOW), ALLOW.length, allowed, router.allowedMethods(allowed, 512));
  }
  corsPairs(cors);
  const there = endPairs();
  if (grpc) {
    body = changetype<usize>(answer.message);
    bodyBytes = answer.message.length;
  } else writeProblem(typeBase, answer.tail);
  sendLocalResponse(
    status,
    changetype<usize>(answer.details),
    answer.details.length,
    body,
    bodyBytes,
    there ? pairsAt : 0,
    there ? pairsBytes : 0,
    reasonGrpcStatus(reason),
  );
}
