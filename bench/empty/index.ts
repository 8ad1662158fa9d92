/** A filter that is called for every request and does nothing: the price of proxy-wasm itself. */

const arena = memory.data(65536);

export function proxy_abi_version_0_2_0(): void {}

/** Gives the host the same bytes each time: nothing is kept between its calls. */
export function malloc(_sizeBytes: i32): usize {
  return arena;
}

export function proxy_on_vm_start(_root: u32, _sizeBytes: u32): u32 {
  return 1;
}

export function proxy_on_configure(_root: u32, _sizeBytes: u32): u32 {
  return 1;
}

export function proxy_on_context_create(_context: u32, _parent: u32): void {}

export function proxy_on_request_headers(_context: u32, _headers: u32, _endOfStream: u32): i32 {
  return 0;
}
