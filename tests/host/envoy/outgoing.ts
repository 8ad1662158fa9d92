import { WasmResult } from "./abi.ts";
import type { RootContext } from "./context.ts";
import type { HeaderMap } from "./headerMap.ts";
import { timeoutAnswer, toResponse, type CallResponse, type HttpAnswer, type HttpCall } from "./httpCall.ts";
import type { Vm } from "./vm.ts";

interface Outgoing {
  cluster: string;
  headers: HeaderMap;
  body: Buffer;
  timeoutMs: number;
}

/**
 * Sends a call for a root context. Gives its token, or a WasmResult as a negative number. The answer goes to that root
 * context, on a later turn of the event loop, and never when the root context or its VM is gone.
 */
export function startHttpCall(vm: Vm, root: RootContext, outgoing: Outgoing): number {
  const { envoy } = vm;
  const { headers, cluster, timeoutMs, body } = outgoing;
  const handler = envoy.clusters.get(cluster);
  const method = headers.first(":method");
  const path = headers.first(":path");
  const authority = headers.first(":authority");
  if (handler === undefined || timeoutMs < 0 || method === undefined || path === undefined || authority === undefined)
    return -WasmResult.BadArgument;
  if (body.length > 0) headers.set("content-length", String(body.length));
  const token = root.nextCallToken++;
  let done = false;
  const deliver = (response: CallResponse | undefined): void => {
    if (done) return;
    finish();
    if (!vm.alive || root.destroyed) return;
    root.callResponse = response;
    vm.call(
      root,
      "proxy_on_http_call_response",
      root.id,
      token,
      response?.headers.size ?? 0,
      response?.body.length ?? 0,
      response?.trailers?.size ?? 0,
    );
    root.callResponse = undefined;
  };
  const cancelTimeout =
    timeoutMs > 0 ? envoy.loop.post(timeoutMs, () => deliver(toResponse(timeoutAnswer))) : undefined;
  const finish = (): void => {
    done = true;
    cancelTimeout?.();
    root.cancelCalls.delete(finish);
  };
  const call: HttpCall = {
    cluster,
    headers,
    method,
    path,
    authority,
    body,
    timeoutMs,
    sentAtMs: envoy.nowMs,
    get done() {
      return done;
    },
    answer: (answer: HttpAnswer) => {
      const response = toResponse(answer);
      envoy.loop.post(answer.delayMs ?? 0, () => deliver(response));
    },
    reset: (delayMs = 0) => void envoy.loop.post(delayMs, () => deliver(undefined)),
  };
  const answer = handler(call);
  if (answer === "unavailable") {
    finish();
    return -WasmResult.InternalFailure;
  }
  root.cancelCalls.add(finish);
  if (answer !== undefined) call.answer(answer);
  return token;
}
