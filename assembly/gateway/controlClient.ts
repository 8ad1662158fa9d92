/** The calls of docs/internals/protocol.md, as a gateway makes them. Each gives Envoy's token of the call, or 0 when Envoy refused it. */
import { callResponseHeader, httpCall, value, valueBytes } from "../abi/host";
import { Workers } from "./workers";
import { SharedState } from "./sharedState";
import { gatewayName } from "./identity";
import { beginPairs, endPairs, pair, pairOf, pairsAt, pairsBytes } from "../lib/pairs";
import { Text, ascii } from "../lib/text";

const METHOD = ascii(":method");
const PATH = ascii(":path");
const AUTHORITY = ascii(":authority");
const AUTHORIZATION = ascii("authorization");
const GET = ascii("GET");
const POST = ascii("POST");
const CONTENT_TYPE = ascii("content-type");
const FRAMES = ascii("application/vnd.tollgate.frames");
const STATUS = ascii(":status");
const target = new Text(2048);
const bearer = new Text(1024);

export function callWatch(state: SharedState, workers: Workers, epoch: u64, version: u64, waitMs: u32): u32 {
  target.clear().add("/sync/v1/watch");
  identify(state, epoch, version);
  target.add("&waitMs=").num(waitMs);
  addProgress(workers);
  return send(state, GET, 0, 0, waitMs + state.timeoutMs);
}

export function callPage(state: SharedState, index: u32, epoch: u64, version: u64): u32 {
  target.clear().add("/sync/v1/pages/").num(index);
  identify(state, epoch, version);
  return send(state, GET, 0, 0, state.timeoutMs);
}

export function callReport(state: SharedState, workers: Workers): u32 {
  target.clear().add("/sync/v1/report");
  identify(state, state.head.epoch, state.head.version);
  addProgress(workers);
  return send(state, GET, 0, 0, state.timeoutMs);
}

/** Posts a frame on one of the two numbered ways, `leases` or `usage`. */
export function callPost(
  state: SharedState,
  what: string,
  epoch: u64,
  body: usize,
  bodyBytes: u32,
  timeoutMs: u32,
): u32 {
  target.clear().add("/sync/v1/").add(what).add("?environment=").array(state.environment).add("&gateway=");
  const name = gatewayName();
  target.encoded(changetype<usize>(name), name.length).add("&epoch=").hex(epoch);
  return send(state, POST, body, bodyBytes, timeoutMs);
}

/** The status of the answer that is being delivered; 0 when it has none. */
export function responseStatus(): u32 {
  if (!callResponseHeader(changetype<usize>(STATUS), STATUS.length)) return 0;
  const at = value();
  const bytes = valueBytes();
  let n: u32 = 0;
  for (let i: u32 = 0; i < bytes && i < 3; i++) n = n * 10 + load<u8>(at + i) - 48;
  return n;
}

function identify(state: SharedState, epoch: u64, version: u64): void {
  target.add("?environment=").array(state.environment).add("&gateway=");
  const name = gatewayName();
  target.encoded(changetype<usize>(name), name.length).add("&epoch=").hex(epoch).add("&version=").num(version);
}

function addProgress(workers: Workers): void {
  target.add("&applied=").num(workers.applied).add("&workers=").num(workers.serving);
}

function send(state: SharedState, method: StaticArray<u8>, body: usize, bodyBytes: u32, timeoutMs: u32): u32 {
  bearer.clear().add("Bearer ").array(state.token);
  beginPairs();
  pairOf(METHOD, method);
  pair(changetype<usize>(PATH), PATH.length, target.start, target.bytes);
  pairOf(AUTHORITY, state.authority);
  pair(changetype<usize>(AUTHORIZATION), AUTHORIZATION.length, bearer.start, bearer.bytes);
  if (bodyBytes > 0) pairOf(CONTENT_TYPE, FRAMES);
  if (!endPairs()) return 0;
  return httpCall(
    changetype<usize>(state.cluster),
    state.cluster.length,
    pairsAt,
    pairsBytes,
    body,
    bodyBytes,
    timeoutMs,
  );
}
