/**
 * The host, typed. Statuses are values: 0 is Ok, and whoever asks decides what another one means.
 * The declarations are proxy-runtime's; its dispatcher and its helpers are not used (see docs/decisions).
 */
import * as imports from "@solo-io/proxy-runtime/assembly/imports";

export const OK: u32 = 0;
export const CAS_MISMATCH: u32 = 8;

export const MAP_REQUEST_HEADERS: i32 = 0;
export const MAP_REQUEST_TRAILERS: i32 = 1;
export const MAP_RESPONSE_HEADERS: i32 = 2;
const MAP_CALL_RESPONSE_HEADERS: i32 = 6;
const BUFFER_CALL_RESPONSE_BODY: i32 = 4;
const BUFFER_PLUGIN_CONFIGURATION: i32 = 7;
const STREAM_REQUEST: i32 = 0;

export const LOG_INFO: u32 = 2;
export const LOG_WARN: u32 = 3;
export const LOG_ERROR: u32 = 4;

const METRIC_COUNTER: i32 = 0;
const METRIC_GAUGE: i32 = 1;

const out = memory.data(32, 8);

/** What the last call that returned a value returned. */
let valueAt: usize = 0;
let valueLength: u32 = 0;
let valueCas: u32 = 0;

// @ts-ignore: decorator
@inline
export function value(): usize {
  return valueAt;
}
// @ts-ignore: decorator
@inline
export function valueBytes(): u32 {
  return valueLength;
}
// @ts-ignore: decorator
@inline
export function cas(): u32 {
  return valueCas;
}

// @ts-ignore: decorator
@inline
function took(status: u32): bool {
  if (status != OK) {
    valueAt = 0;
    valueLength = 0;
    return false;
  }
  valueAt = load<u32>(out);
  valueLength = load<u32>(out, 4);
  return true;
}

export function log(level: u32, at: usize, bytes: usize): void {
  imports.proxy_log(level, at, bytes);
}

/** Unix nanoseconds. */
export function wallNs(): u64 {
  imports.proxy_get_current_time_nanoseconds(out);
  return load<u64>(out);
}

export function setTickPeriod(ms: u32): void {
  imports.proxy_set_tick_period_milliseconds(ms);
}

/** All pairs of a header map, as the ABI lays them out; `value()` and `valueBytes()` have them. */
export function headerPairs(map: i32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_header_map_pairs(map, out, out + 4));
}

export function addHeader(map: i32, name: usize, nameBytes: u32, at: usize, bytes: u32): u32 {
  return imports.proxy_add_header_map_value(map, name, nameBytes, at, bytes);
}

export function replaceHeader(map: i32, name: usize, nameBytes: u32, at: usize, bytes: u32): u32 {
  return imports.proxy_replace_header_map_value(map, name, nameBytes, at, bytes);
}

/** Removes every header of that name. */
export function removeHeader(map: i32, name: usize, nameBytes: u32): u32 {
  return imports.proxy_remove_header_map_value(map, name, nameBytes);
}

/** A property; parts of the path are separated by NUL. */
export function property(path: usize, pathBytes: u32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_property(path, pathBytes, out, out + 4));
}

/** Answers the stream of the effective context. `pairs` as the ABI lays them out; `grpcStatus` counts only for gRPC requests. */
export function sendLocalResponse(
  status: u32,
  details: usize,
  detailsBytes: u32,
  body: usize,
  bodyBytes: u32,
  pairs: usize,
  pairsBytes: u32,
  grpcStatus: u32,
): u32 {
  return imports.proxy_send_local_response(
    status,
    details,
    detailsBytes,
    body,
    bodyBytes,
    pairs,
    pairsBytes,
    grpcStatus,
  );
}

export function continueRequest(): u32 {
  return imports.proxy_continue_stream(STREAM_REQUEST);
}

/** Refused when the context is gone; then nothing else may be called for it. */
export function setEffectiveContext(id: u32): bool {
  return imports.proxy_set_effective_context(id) == OK;
}

export function pluginConfiguration(bytes: u32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_buffer_bytes(BUFFER_PLUGIN_CONFIGURATION, 0, bytes, out, out + 4));
}

export function getShared(name: usize, nameBytes: u32): bool {
  store<u64>(out, 0);
  const ok = took(imports.proxy_get_shared_data(name, nameBytes, out, out + 4, out + 8));
  valueCas = ok ? load<u32>(out, 8) : 0;
  return ok;
}

/** `expected` 0 sets always; CREATE sets only what is absent. */
export const CREATE: u32 = 0xffffffff;
export function setShared(name: usize, nameBytes: u32, at: usize, bytes: u32, expected: u32): u32 {
  return imports.proxy_set_shared_data(name, nameBytes, at, bytes, expected);
}

/** A token, or 0 when the host refused. */
export function registerQueue(name: usize, nameBytes: u32): u32 {
  return imports.proxy_register_shared_queue(name, nameBytes, out) == OK ? load<u32>(out) : 0;
}

export function resolveQueue(name: usize, nameBytes: u32): u32 {
  return imports.proxy_resolve_shared_queue(0, 0, name, nameBytes, out) == OK ? load<u32>(out) : 0;
}

/** Wakes the VM that registered the queue; one byte is enough. */
export function wake(token: u32): u32 {
  store<u8>(out, 1);
  return imports.proxy_enqueue_shared_queue(token, out, 1);
}

export function drainQueue(token: u32): void {
  for (let i = 0; i < 64; i++) {
    if (imports.proxy_dequeue_shared_queue(token, out, out + 4) != OK) return;
  }
}

/** A call's token, or 0 when Envoy refused it (no such cluster, or it's not the time for calls). */
export function httpCall(
  cluster: usize,
  clusterBytes: u32,
  pairs: usize,
  pairsBytes: u32,
  body: usize,
  bodyBytes: u32,
  timeoutMs: u32,
): u32 {
  const status = imports.proxy_http_call(
    cluster,
    clusterBytes,
    pairs,
    pairsBytes,
    body,
    bodyBytes,
    0,
    0,
    timeoutMs,
    out,
  );
  return status == OK ? load<u32>(out) : 0;
}

/** The first value of a header. */
export function header(map: i32, name: usize, nameBytes: u32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_header_map_value(map, name, nameBytes, out, out + 4));
}

export function callResponseHeader(name: usize, nameBytes: u32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_header_map_value(MAP_CALL_RESPONSE_HEADERS, name, nameBytes, out, out + 4));
}

export function callResponseBody(start: u32, bytes: u32): bool {
  store<u64>(out, 0);
  return took(imports.proxy_get_buffer_bytes(BUFFER_CALL_RESPONSE_BODY, start, bytes, out, out + 4));
}

export function defineCounter(name: usize, nameBytes: u32): u32 {
  return imports.proxy_define_metric(METRIC_COUNTER, name, nameBytes, out) == OK ? load<u32>(out) : 0xffffffff;
}

export function defineGauge(name: usize, nameBytes: u32): u32 {
  return imports.proxy_define_metric(METRIC_GAUGE, name, nameBytes, out) == OK ? load<u32>(out) : 0xffffffff;
}

export function increment(metric: u32, by: u32): void {
  imports.proxy_increment_metric(metric, by);
}

export function record(metric: u32, to: u64): void {
  imports.proxy_record_metric(metric, to);
}
