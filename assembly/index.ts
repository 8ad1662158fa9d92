/** What Envoy calls. Callbacks that are not needed are not exported: each would cost every request a call. */
import "./abi/abort";
import { beginCallback } from "./abi/memory";
import { removeForgedTrailers } from "./request/identityHeaders";
import { deny } from "./request/deny";
import { CONTINUE, PAUSE, decide } from "./request/decide";
import { respond } from "./request/responses";
import { answered, configure, serve, tick, woken } from "./lifecycle";
import { NOT_CONFIGURED } from "./wire/reasons";
import { allRoots, noteStream, rootOfStream } from "./plugin/instance";

export { malloc } from "./abi/memory";

export function proxy_abi_version_0_2_0(): void {}

export function proxy_on_vm_start(_root: u32, _bytes: u32): u32 {
  beginCallback();
  return 1;
}

export function proxy_on_configure(root: u32, bytes: u32): u32 {
  beginCallback();
  return configure(root, bytes) ? 1 : 0;
}

export function proxy_on_context_create(context: u32, root: u32): void {
  if (root != 0) noteStream(context, root);
}

export function proxy_on_request_headers(context: u32, _headers: u32, _end: u32): i32 {
  beginCallback();
  const root = rootOfStream(context);
  if (root == null) {
    deny(NOT_CONFIGURED, false, 0, null);
    return PAUSE;
  }
  serve(root);
  return decide(root, context, true, 0);
}

/** Trailers can carry forged claims as well; those that can't be read don't pass. */
export function proxy_on_request_trailers(context: u32, _trailers: u32): i32 {
  beginCallback();
  const root = rootOfStream(context);
  if (root != null) return removeForgedTrailers(root.plan) ? CONTINUE : PAUSE;
  // So many streams have begun since this one that its root isn't known any more: no root's claims may pass.
  const roots = allRoots();
  for (let i = 0; i < roots.length; i++) if (!removeForgedTrailers(roots[i].plan)) return PAUSE;
  return CONTINUE;
}

export function proxy_on_response_headers(context: u32, _headers: u32, _end: u32): i32 {
  beginCallback();
  respond(context);
  return CONTINUE;
}

export function proxy_on_tick(root: u32): void {
  beginCallback();
  tick(root);
}

export function proxy_on_queue_ready(root: u32, token: u32): void {
  beginCallback();
  woken(root, token);
}

export function proxy_on_http_call_response(root: u32, token: u32, headers: u32, bodyBytes: u32, _trailers: u32): void {
  beginCallback();
  answered(root, token, headers, bodyBytes);
}
