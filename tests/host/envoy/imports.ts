import {
  BufferType,
  bufferNames,
  decodePairs,
  encodePairs,
  HeaderMapType,
  headerMapNames,
  logLevels,
  StreamType,
  WasmResult,
} from "./abi.ts";
import { RootContext, type Context } from "./context.ts";
import { HeaderMap } from "./headerMap.ts";
import { startHttpCall } from "./outgoing.ts";
import type { Vm } from "./vm.ts";

const { Ok, NotFound, BadArgument, InvalidMemoryAccess, InternalFailure, Unimplemented } = WasmResult;
const MAX_RANDOM_BYTES = 64 * 1024;
const MAX_GRPC_STATUS = 16;

const mapArg = (type: number): string =>
  type === HeaderMapType.RequestHeaders ? "" : (headerMapNames[type] ?? String(type));

/** The functions that Envoy offers a module of ABI 0.2.0, for one VM. Each call is recorded with the context that it acts on. */
export function hostImports(vm: Vm): Record<string, Record<string, unknown>> {
  const envoy = vm.envoy;
  const at = (pointer: number): number => pointer >>> 0;
  const bytes = (pointer: number, size: number): Buffer => {
    if (at(pointer) + at(size) > vm.memoryBytes) throw new MemoryError();
    return vm.memory.subarray(at(pointer), at(pointer) + at(size));
  };
  const text = (pointer: number, size: number): string => bytes(pointer, size).toString("latin1");
  const putU32 = (pointer: number, value: number): void => void bytes(pointer, 4).writeUInt32LE(value >>> 0, 0);
  const putU64 = (pointer: number, value: bigint): void => void bytes(pointer, 8).writeBigUInt64LE(value, 0);
  const give = (value: Buffer, pointerAt: number, sizeAt: number): number => {
    const copied = vm.copyIn(value);
    if (copied === 0 && value.length > 0) return InvalidMemoryAccess;
    putU32(pointerAt, copied);
    putU32(sizeAt, value.length);
    return Ok;
  };
  const context = (): Context | undefined => vm.contextInEffect();

  /** Runs a host function: checks that it's allowed, turns bad addresses into a status, records it. */
  const host = <A extends number[]>(
    fn: string,
    body: (record: (...args: (string | number)[]) => void, ...args: A) => number,
  ) => {
    return (...args: A): number => {
      if (fn !== "log") vm.restrict(fn);
      let recorded: readonly (string | number)[] = [];
      const owner = fn === "set_effective_context" ? vm.current : context();
      let status: number;
      try {
        status = body((...decoded) => void (recorded = decoded), ...args);
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
        status = InvalidMemoryAccess;
      }
      envoy.record(owner, { fn, args: recorded, status });
      return status;
    };
  };

  const env = {
    proxy_log: host("log", (record, level: number, message: number, size: number) => {
      const name = logLevels[level];
      if (name === undefined) return BadArgument;
      const line = bytes(message, size).toString("utf8");
      record(name, Buffer.from(line, "utf8").toString("latin1"));
      envoy.logs.push({ level: name, message: line, thread: vm.thread, atMs: envoy.nowMs });
      return Ok;
    }),

    proxy_get_current_time_nanoseconds: host("get_current_time", (_record, resultAt: number) => {
      putU64(resultAt, envoy.wallNanoseconds());
      return Ok;
    }),

    proxy_set_tick_period_milliseconds: host("set_tick_period", (record, periodMs: number) => {
      record(periodMs);
      const root = context()?.root;
      if (root !== undefined) vm.setTickPeriod(root, at(periodMs));
      return Ok;
    }),

    proxy_get_property: host(
      "get_property",
      (record, path: number, pathSize: number, valueAt: number, sizeAt: number) => {
        const name = text(path, pathSize).split("\0").join(".");
        record(name);
        const owner = context();
        const value = owner?.properties[name] ?? owner?.root.properties[name] ?? envoy.nodeProperties[name];
        return value === undefined ? NotFound : give(Buffer.from(value), valueAt, sizeAt);
      },
    ),

    proxy_set_property: host(
      "set_property",
      (record, path: number, pathSize: number, value: number, valueSize: number) => {
        const name = text(path, pathSize);
        record(name, text(value, valueSize));
        const owner = context();
        if (owner === undefined || owner instanceof RootContext) return NotFound;
        owner.properties[name] = Buffer.from(bytes(value, valueSize));
        return Ok;
      },
    ),

    proxy_continue_stream: host("continue_stream", (record, type: number) => {
      record(type === StreamType.Request ? "" : type);
      if (type > StreamType.Upstream) return BadArgument;
      if (type === StreamType.Upstream) return Unimplemented;
      if (type === StreamType.Request) vm.continueStream(context());
      return Ok;
    }),

    proxy_close_stream: host("close_stream", (record, type: number) => {
      record(type);
      return type > StreamType.Upstream ? BadArgument : Ok;
    }),

    proxy_send_local_response: host(
      "send_local_response",
      (
        record,
        status: number,
        details: number,
        detailsSize: number,
        body: number,
        bodySize: number,
        pairs: number,
        pairsSize: number,
        grpcStatus: number,
      ) => {
        const detailsText = text(details, detailsSize).replace(/\s/g, "_");
        record(status, detailsText);
        vm.answerLocally(context(), {
          status,
          details: detailsText,
          headers: decodePairs(bytes(pairs, pairsSize)),
          body: Buffer.from(bytes(body, bodySize)),
          grpcStatus: at(grpcStatus) <= MAX_GRPC_STATUS ? at(grpcStatus) : undefined,
        });
        return Ok;
      },
    ),

    proxy_set_effective_context: host("set_effective_context", (record, id: number) => {
      record(id);
      if (id !== 0 && !vm.contexts.has(at(id))) return BadArgument;
      vm.effectiveId = at(id);
      return Ok;
    }),

    proxy_done: host("done", () => NotFound),

    proxy_get_shared_data: host(
      "get_shared_data",
      (record, key: number, keySize: number, valueAt: number, sizeAt: number, casAt: number) => {
        const name = text(key, keySize);
        record(name);
        const found = envoy.sharedData.get(vm.vmId, name);
        if (found === undefined) return NotFound;
        const status = give(found.value, valueAt, sizeAt);
        if (status === Ok) putU32(casAt, found.cas);
        return status;
      },
    ),

    proxy_set_shared_data: host(
      "set_shared_data",
      (record, key: number, keySize: number, value: number, valueSize: number, cas: number) => {
        const name = text(key, keySize);
        record(name, at(cas));
        return envoy.sharedData.set(vm.vmId, name, bytes(value, valueSize), at(cas));
      },
    ),

    proxy_register_shared_queue: host(
      "register_shared_queue",
      (record, name: number, nameSize: number, tokenAt: number) => {
        const queue = text(name, nameSize);
        record(queue);
        const contextId = context()?.root.id ?? 0;
        putU32(tokenAt, envoy.queues.register(vm.vmId, queue, { thread: vm.thread, contextId }));
        return Ok;
      },
    ),

    proxy_resolve_shared_queue: host(
      "resolve_shared_queue",
      (record, vmId: number, vmIdSize: number, name: number, nameSize: number, tokenAt: number) => {
        const queue = text(name, nameSize);
        record(queue);
        const token = envoy.queues.resolve(vmIdSize === 0 ? vm.vmId : text(vmId, vmIdSize), queue);
        if (token === undefined) return NotFound;
        putU32(tokenAt, token);
        return Ok;
      },
    ),

    proxy_dequeue_shared_queue: host(
      "dequeue_shared_queue",
      (record, token: number, valueAt: number, sizeAt: number) => {
        record(token);
        const item = envoy.queues.dequeue(at(token));
        return typeof item === "number" ? item : give(item, valueAt, sizeAt);
      },
    ),

    proxy_enqueue_shared_queue: host(
      "enqueue_shared_queue",
      (record, token: number, value: number, valueSize: number) => {
        record(token);
        const queue = envoy.queues.enqueue(at(token), bytes(value, valueSize));
        if (queue === undefined) return NotFound;
        envoy.wake(queue.vmId, queue.listener, at(token));
        return Ok;
      },
    ),

    proxy_get_header_map_value: host(
      "get_header",
      (record, type: number, name: number, nameSize: number, valueAt: number, sizeAt: number) => {
        if (at(type) > HeaderMapType.Max) return BadArgument;
        const header = text(name, nameSize);
        record(mapArg(type), header);
        const map = context()?.map(type, false);
        if (map === undefined) return BadArgument;
        const value = map.first(header);
        return value === undefined ? NotFound : give(Buffer.from(value, "latin1"), valueAt, sizeAt);
      },
    ),

    proxy_get_header_map_pairs: host(
      "get_header_map_pairs",
      (record, type: number, valueAt: number, sizeAt: number) => {
        if (at(type) > HeaderMapType.Max) return BadArgument;
        record(mapArg(type));
        const pairs = context()?.map(type, false)?.pairs ?? [];
        return give(pairs.length === 0 ? Buffer.alloc(0) : encodePairs(pairs), valueAt, sizeAt);
      },
    ),

    proxy_set_header_map_pairs: host(
      "set_header_map_pairs",
      (record, type: number, pairs: number, pairsSize: number) => {
        if (at(type) > HeaderMapType.Max) return BadArgument;
        record(mapArg(type));
        const map = context()?.map(type, true);
        if (map === undefined) return BadArgument;
        map.replaceAll(decodePairs(bytes(pairs, pairsSize)));
        return Ok;
      },
    ),

    proxy_add_header_map_value: host(
      "add_header",
      (record, type: number, name: number, nameSize: number, value: number, valueSize: number) => {
        if (at(type) > HeaderMapType.Max) return BadArgument;
        record(mapArg(type), `${text(name, nameSize)}: ${text(value, valueSize)}`);
        const map = context()?.map(type, true);
        if (map === undefined) return BadArgument;
        map.add(text(name, nameSize), text(value, valueSize));
        return Ok;
      },
    ),

    proxy_replace_header_map_value: host(
      "replace_header",
      (record, type: number, name: number, nameSize: number, value: number, valueSize: number) => {
        if (at(type) > HeaderMapType.Max) return BadArgument;
        record(mapArg(type), `${text(name, nameSize)}: ${text(value, valueSize)}`);
        const map = context()?.map(type, true);
        if (map === undefined) return BadArgument;
        map.set(text(name, nameSize), text(value, valueSize));
        return Ok;
      },
    ),

    proxy_remove_header_map_value: host("remove_header", (record, type: number, name: number, nameSize: number) => {
      if (at(type) > HeaderMapType.Max) return BadArgument;
      record(mapArg(type), text(name, nameSize));
      const map = context()?.map(type, true);
      if (map === undefined) return BadArgument;
      map.remove(text(name, nameSize));
      return Ok;
    }),

    proxy_get_header_map_size: host("get_header_map_size", (record, type: number, resultAt: number) => {
      if (at(type) > HeaderMapType.Max) return BadArgument;
      record(mapArg(type));
      const map = context()?.map(type, false);
      if (map === undefined) return BadArgument;
      putU32(resultAt, map.byteSize);
      return Ok;
    }),

    proxy_get_buffer_bytes: host(
      "get_buffer",
      (record, type: number, start: number, length: number, valueAt: number, sizeAt: number) => {
        if (at(type) > BufferType.Max) return BadArgument;
        record(bufferNames[type] ?? type, at(start), at(length));
        const buffer = bufferOf(vm, context(), type);
        if (buffer === undefined) return NotFound;
        return give(
          buffer.subarray(Math.min(at(start), buffer.length), Math.min(at(start) + at(length), buffer.length)),
          valueAt,
          sizeAt,
        );
      },
    ),

    proxy_get_buffer_status: host("get_buffer_status", (record, type: number, lengthAt: number, flagsAt: number) => {
      if (at(type) > BufferType.Max) return BadArgument;
      record(bufferNames[type] ?? type);
      const buffer = bufferOf(vm, context(), type);
      if (buffer === undefined) return NotFound;
      putU32(lengthAt, buffer.length);
      putU32(flagsAt, 0);
      return Ok;
    }),

    proxy_set_buffer_bytes: host("set_buffer", () => NotFound),

    proxy_http_call: host(
      "http_call",
      (
        record,
        cluster: number,
        clusterSize: number,
        pairs: number,
        pairsSize: number,
        body: number,
        bodySize: number,
        trailers: number,
        trailersSize: number,
        timeoutMs: number,
        tokenAt: number,
      ) => {
        const name = text(cluster, clusterSize);
        const headers = HeaderMap.from(decodePairs(bytes(pairs, pairsSize)));
        const payload = Buffer.from(bytes(body, bodySize));
        bytes(trailers, trailersSize);
        putU32(tokenAt, 0);
        record(name, headers.first(":method") ?? "", headers.first(":path") ?? "");
        const root = context()?.root;
        if (vm.starting || root === undefined) return InternalFailure;
        const token = startHttpCall(vm, root, { cluster: name, headers, body: payload, timeoutMs });
        if (token <= 0) return -token;
        putU32(tokenAt, token);
        return Ok;
      },
    ),

    proxy_define_metric: host("define_metric", (record, type: number, name: number, nameSize: number, idAt: number) => {
      const metric = text(name, nameSize);
      record(metric);
      const id = vm.metrics.define(type, metric);
      if (id === undefined) return BadArgument;
      putU32(idAt, id);
      return Ok;
    }),

    proxy_increment_metric: (id: number, offset: bigint): number =>
      metric("increment_metric", id, offset, vm.metrics.increment(at(id), offset)),
    proxy_record_metric: (id: number, value: bigint): number =>
      metric("record_metric", id, value, vm.metrics.record(at(id), BigInt.asUintN(64, value))),

    proxy_get_metric: host("get_metric", (record, id: number, resultAt: number) => {
      record(vm.metrics.name(at(id)));
      const value = vm.metrics.get(at(id));
      if (typeof value === "number") return value;
      putU64(resultAt, value);
      return Ok;
    }),

    proxy_get_status: host("get_status", (_record, codeAt: number, messageAt: number, sizeAt: number) => {
      putU32(codeAt, 0);
      return give(Buffer.alloc(0), messageAt, sizeAt);
    }),

    proxy_call_foreign_function: host("call_foreign_function", (record, name: number, nameSize: number) => {
      record(text(name, nameSize));
      return NotFound;
    }),

    proxy_grpc_call: host("grpc_call", () => Unimplemented),
    proxy_grpc_stream: host("grpc_stream", () => Unimplemented),
    proxy_grpc_cancel: host("grpc_cancel", () => NotFound),
    proxy_grpc_close: host("grpc_close", () => NotFound),
    proxy_grpc_send: host("grpc_send", () => NotFound),
  };

  const metric = (fn: string, id: number, value: bigint, status: number): number => {
    vm.restrict(fn);
    const owner = context();
    envoy.record(owner, { fn, args: [vm.metrics.name(at(id)), String(value)], status });
    return status;
  };

  const wasi = wasiImports(vm, bytes, putU32, putU64);
  return { env, wasi_snapshot_preview1: wasi, wasi_unstable: wasi };
}

/** A guest's address or size that lies outside its memory. */
class MemoryError extends Error {}

function bufferOf(vm: Vm, context: Context | undefined, type: number): Buffer | undefined {
  const root = context?.root;
  if (type === BufferType.VmConfiguration) return vm.vmConfiguration;
  if (type === BufferType.PluginConfiguration) return root?.configuring === true ? root.configuration : undefined;
  if (type === BufferType.HttpCallResponseBody) return root?.callResponse?.body;
  return undefined;
}

/** What Envoy offers of WASI that AssemblyScript modules use: environment, clocks, random bytes, stdout and stderr as log lines. */
function wasiImports(
  vm: Vm,
  bytes: (pointer: number, size: number) => Buffer,
  putU32: (pointer: number, value: number) => void,
  putU64: (pointer: number, value: bigint) => void,
): Record<string, unknown> {
  const FAULT = 21;
  const INVALID = 28;
  const NOT_SUPPORTED = 58;
  const variables = (): Buffer[] =>
    Object.entries(vm.environment).map(([name, value]) => Buffer.from(`${name}=${value}\0`));
  const guarded =
    <A extends unknown[]>(body: (...args: A) => number) =>
    (...args: A): number => {
      try {
        return body(...args);
      } catch (error) {
        if (error instanceof MemoryError) return FAULT;
        throw error;
      }
    };
  return {
    environ_sizes_get: guarded((countAt: number, sizeAt: number) => {
      putU32(countAt, variables().length);
      putU32(
        sizeAt,
        variables().reduce((sum, variable) => sum + variable.length, 0),
      );
      return 0;
    }),
    environ_get: guarded((pointersAt: number, bufferAt: number) => {
      let to = bufferAt;
      variables().forEach((variable, i) => {
        putU32(pointersAt + 4 * i, to);
        variable.copy(bytes(to, variable.length));
        to += variable.length;
      });
      return 0;
    }),
    clock_time_get: guarded((clock: number, _precision: bigint, resultAt: number) => {
      if (clock > 1) return NOT_SUPPORTED;
      putU64(resultAt, clock === 0 ? vm.envoy.wallNanoseconds() : vm.envoy.monotonicNanoseconds());
      return 0;
    }),
    random_get: guarded((to: number, size: number) => {
      if (size > MAX_RANDOM_BYTES) return INVALID;
      const target = bytes(to, size);
      for (let i = 0; i < size; i++) target[i] = vm.envoy.randomByte();
      return 0;
    }),
    fd_write: guarded((descriptor: number, vectors: number, count: number, writtenAt: number) => {
      if (descriptor !== 1 && descriptor !== 2) return 8;
      const parts: Buffer[] = [];
      for (let i = 0; i < count; i++) {
        const vector = bytes(vectors + 8 * i, 8);
        parts.push(Buffer.from(bytes(vector.readUInt32LE(0), vector.readUInt32LE(4))));
      }
      const all = Buffer.concat(parts);
      const level = descriptor === 1 ? "info" : "error";
      vm.envoy.logs.push({
        level,
        message: all.toString("utf8").replace(/\n$/, ""),
        thread: vm.thread,
        atMs: vm.envoy.nowMs,
      });
      putU32(writtenAt, all.length);
      return 0;
    }),
    proc_exit: (code: number): never => {
      throw new WebAssembly.RuntimeError(`proc_exit(${code})`);
    },
    args_sizes_get: guarded((countAt: number, sizeAt: number) => {
      putU32(countAt, 0);
      putU32(sizeAt, 0);
      return 0;
    }),
    args_get: () => 0,
    fd_close: () => 0,
    fd_seek: () => 0,
  };
}
