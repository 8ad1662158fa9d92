/**
 * A host for the as-pect tests: it gives what a test has put in, refuses the rest, and notes every call that changes something. Tests reach
 * it through the imports of the module "stub" (host.ts). Much smaller than the simulated Envoy of tests/host, on purpose.
 */
const OK = 0;
const NOT_FOUND = 1;
const BAD_ARGUMENT = 2;
const EMPTY = 7;
const CAS_MISMATCH = 8;

/** What the ABI's numbers of maps and buffers give, by the names that tests use (host.ts). */
const MAPS = new Map([[0, "headers"], [1, "trailers"]]);
const BUFFERS = new Map([[4, "response body"], [7, "configuration"]]);

export function stubHost() {
  let exports;
  let malloc;
  let calls;
  let given;
  let properties;
  let shared;
  let queues;
  /** These outlive a reset, as they do the test's own meters. */
  const metrics = [];
  let variables;
  let refused;
  let clock;
  let counter;

  const memory = () => Buffer.from(exports.memory.buffer);
  const bytes = (at, count) => Buffer.from(memory().subarray(at >>> 0, (at >>> 0) + (count >>> 0)));
  const text = (at, count) => bytes(at, count).toString("latin1");
  const u32 = (at, value) => memory().writeUInt32LE(value >>> 0, at >>> 0);
  const note = (line) => (calls.push(line), OK);
  const is = (name) => refused.has(name);

  function reset() {
    calls = [];
    given = new Map();
    properties = new Map();
    shared = new Map();
    queues = new Map();
    variables = [];
    refused = new Set();
    clock = { wall: 0n, monotonic: 0n };
    counter = 0n;
  }
  reset();

  /** Hands bytes to the guest by its own malloc, as Envoy does. */
  function hand(value, at, size) {
    if (value === undefined) return NOT_FOUND;
    const to = value.length === 0 ? 0 : malloc(value.length);
    if (value.length > 0 && to === 0) return BAD_ARGUMENT;
    memory().set(value, to);
    u32(at, to);
    u32(size, value.length);
    return OK;
  }

  function pairs(at, count) {
    if (count === 0) return [];
    const view = bytes(at, count);
    const total = view.readUInt32LE(0);
    let place = 4 + total * 8;
    return Array.from({ length: total }, (_, i) => {
      const [name, value] = [0, 4].map((half) => {
        const size = view.readUInt32LE(4 + i * 8 + half);
        const part = view.toString("latin1", place, place + size);
        if (view[place + size] !== 0) throw new Error("a pair without its NUL");
        place += size + 1;
        return part;
      });
      return `${name}: ${value}`;
    });
  }

  const env = {
    proxy_log: (level, at, count) => note(`log ${level} ${text(at, count)}`),
    proxy_get_current_time_nanoseconds: (out) => (memory().writeBigUInt64LE(clock.wall, out), OK),
    proxy_set_tick_period_milliseconds: (ms) => note(`tick ${ms}`),
    proxy_get_header_map_pairs: (map, at, size) => hand(given.get(MAPS.get(map)), at, size),
    proxy_get_header_map_value: (map, name, count, at, size) => hand(map === 6 ? given.get(`response ${text(name, count)}`) : undefined, at, size),
    proxy_add_header_map_value: (map, name, nameBytes, value, valueBytes) => note(`${map === 0 ? "" : "trailers "}add ${text(name, nameBytes)}: ${text(value, valueBytes)}`),
    proxy_replace_header_map_value: (map, name, nameBytes, value, valueBytes) => note(`replace ${text(name, nameBytes)}: ${text(value, valueBytes)}`),
    proxy_remove_header_map_value: (map, name, count) => note(`${map === 0 ? "" : "trailers "}remove ${text(name, count)}`),
    proxy_get_property: (path, count, at, size) => hand(properties.get(text(path, count)), at, size),
    proxy_get_buffer_bytes: (buffer, start, count, at, size) => hand(given.get(BUFFERS.get(buffer))?.subarray(start >>> 0, (start >>> 0) + (count >>> 0)), at, size),
    proxy_send_local_response: (status, details, detailsBytes, body, bodyBytes, headers, headersBytes, grpc) =>
      note([`answer ${status} ${text(details, detailsBytes)} ${grpc}`, ...pairs(headers, headersBytes), text(body, bodyBytes)].join("\n")),
    proxy_continue_stream: (stream) => note(stream === 0 ? "continue" : `continue stream ${stream}`),
    proxy_set_effective_context: (context) => (is(`context ${context}`) ? BAD_ARGUMENT : note(`context ${context}`)),
    proxy_get_shared_data(name, count, at, size, cas) {
      const entry = shared.get(text(name, count));
      const status = hand(entry?.value, at, size);
      if (status === OK) u32(cas, entry.cas);
      return status;
    },
    proxy_set_shared_data(name, count, at, size, expected) {
      const key = text(name, count);
      const was = shared.get(key);
      if (is("shared data")) return BAD_ARGUMENT;
      if (was !== undefined && expected !== 0 && expected >>> 0 !== was.cas) return CAS_MISMATCH;
      shared.set(key, { value: bytes(at, size), cas: (was?.cas ?? 0) + 1 });
      return OK;
    },
    proxy_register_shared_queue(name, count, out) {
      const key = text(name, count);
      if (!queues.has(key)) queues.set(key, queues.size + 1);
      u32(out, queues.get(key));
      return note(`register ${key}`);
    },
    proxy_resolve_shared_queue(_vm, _vmBytes, name, count, out) {
      const token = queues.get(text(name, count));
      if (token === undefined) return NOT_FOUND;
      u32(out, token);
      return OK;
    },
    proxy_dequeue_shared_queue: () => EMPTY,
    proxy_enqueue_shared_queue: (token) => note(`wake ${token}`),
    proxy_http_call(cluster, clusterBytes, headers, headersBytes, _body, _bodyBytes, _trailers, _trailersBytes, timeout, out) {
      if (is("calls")) return BAD_ARGUMENT;
      u32(out, ++counterOfCalls);
      return note([`call ${text(cluster, clusterBytes)} ${timeout}`, ...pairs(headers, headersBytes)].join("\n"));
    },
    proxy_define_metric(type, name, count, out) {
      if (is("metrics")) return BAD_ARGUMENT;
      metrics.push(`${type === 0 ? "counter" : "gauge"} ${text(name, count)}`);
      u32(out, metrics.length - 1);
      return OK;
    },
    proxy_increment_metric: (metric, by) => note(`${metrics[metric >>> 0] ?? "unknown"} +${by}`),
    proxy_record_metric: (metric, value) => note(`${metrics[metric >>> 0] ?? "unknown"} = ${BigInt.asUintN(64, value)}`),
  };
  let counterOfCalls = 0;

  const wasi = {
    clock_time_get: (id, _precision, out) => (memory().writeBigUInt64LE(id === 1 ? clock.monotonic : clock.wall, out), 0),
    random_get(at, count) {
      const block = Buffer.alloc(8);
      block.writeBigUInt64LE(++counter);
      for (let i = 0; i < count; i++) memory()[at + i] = block[i % 8];
      return 0;
    },
    environ_sizes_get: (count, size) => (u32(count, variables.length), u32(size, variables.join("").length), 0),
    environ_get(pointers, at) {
      variables.forEach((variable, i) => {
        u32(pointers + i * 4, at);
        memory().write(variable, at, "latin1");
        at += variable.length;
      });
      return 0;
    },
  };

  const stub = {
    reset,
    useMalloc: (index) => void (malloc = exports.table.get(index)),
    forget: () => void (calls = []),
    calls(out, max) {
      const all = Buffer.from(calls.join("\n"), "latin1");
      if (all.length > max) throw new RangeError("more calls than the test has room for");
      memory().set(all, out);
      return all.length;
    },
    give: (name, nameBytes, at, count) => void given.set(text(name, nameBytes), bytes(at, count)),
    withhold: (name, nameBytes) => void given.delete(text(name, nameBytes)),
    property: (path, pathBytes, at, count) => void properties.set(text(path, pathBytes), bytes(at, count)),
    refuse: (what, count) => void refused.add(text(what, count)),
    permit: (what, count) => void refused.delete(text(what, count)),
    share: (name, nameBytes, at, count) => void shared.set(text(name, nameBytes), { value: bytes(at, count), cas: (shared.get(text(name, nameBytes))?.cas ?? 0) + 1 }),
    shared(name, nameBytes, out, max) {
      const value = shared.get(text(name, nameBytes))?.value;
      if (value === undefined) return -1;
      if (value.length > max) throw new RangeError("more shared data than the test has room for");
      memory().set(value, out);
      return value.length;
    },
    variable: (at, count) => void variables.push(`${text(at, count)}\0`),
    setClock: (wall, monotonic) => void (clock = { wall: BigInt.asUintN(64, wall), monotonic: BigInt.asUintN(64, monotonic) }),
  };

  return { imports: { env, wasi_snapshot_preview1: wasi, stub }, attach: (instance) => void (exports = instance.exports) };
}
