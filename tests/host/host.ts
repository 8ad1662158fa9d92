/**
 * A proxy-wasm host in Node: one simulated Envoy process that runs the real module, with simulated time and every host call
 * recorded. It follows proxy-wasm-cpp-host and Envoy 1.40 (source/extensions/common/wasm/context.cc).
 */
export { decodePairs, encodePairs, type Pair } from "./envoy/abi.ts";
export { RootContext, Stream, type Properties } from "./envoy/context.ts";
export { Envoy, loadModule, type EnvoyOptions } from "./envoy/envoy.ts";
export { EventLoop } from "./envoy/eventLoop.ts";
export { HeaderMap, utf8, type HeaderInput } from "./envoy/headerMap.ts";
export type { ClusterHandler, HttpAnswer, HttpCall } from "./envoy/httpCall.ts";
export { Vm, type RequestOptions, type VmOptions } from "./envoy/vm.ts";
