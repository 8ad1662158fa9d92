/** The filter, for tests only: a request with the header `x-test-trap` makes its VM trap. */
import { headerPairs, MAP_REQUEST_HEADERS, value, valueBytes } from "../../assembly/abi/host";
import { beginCallback } from "../../assembly/abi/memory";
import { proxy_on_request_headers as decide } from "../../assembly/index";

export {
  malloc,
  proxy_abi_version_0_2_0,
  proxy_on_configure,
  proxy_on_context_create,
  proxy_on_http_call_response,
  proxy_on_queue_ready,
  proxy_on_request_trailers,
  proxy_on_tick,
  proxy_on_vm_start,
} from "../../assembly/index";

/** x-test-trap */
const NAME = memory.data<u8>([0x78, 0x2d, 0x74, 0x65, 0x73, 0x74, 0x2d, 0x74, 0x72, 0x61, 0x70]);

export function proxy_on_request_headers(context: u32, headers: u32, end: u32): i32 {
  beginCallback();
  if (headerPairs(MAP_REQUEST_HEADERS)) {
    const last = value() + valueBytes() - 11;
    for (let at = value(); at <= last; at++) if (memory.compare(at, NAME, 11) == 0) unreachable();
  }
  return decide(context, headers, end);
}
