import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { compileFixture } from "./compile.ts";
import { decodePairs, encodePairs, Envoy, HeaderMap, utf8, type Pair, type RootContext, type Vm } from "./host.ts";

let module: WebAssembly.Module;

before(async () => {
  module = await compileFixture("tests/host/fixtures/probe.ts", "tests/host/fixtures/probe/abort");
});

interface Stage {
  envoy: Envoy;
  vm: Vm;
  root: RootContext;
}

function stage(configuration = "{}"): Stage {
  const envoy = new Envoy({ module, nodeId: "n1", vm: { environment: { TOKEN: "t" }, vmConfiguration: "vmc" } });
  const vm = envoy.newVm();
  const root = vm.newRoot(configuration, { pluginName: "probe", rootId: "r" });
  return { envoy, vm, root };
}

function messages(envoy: Envoy): string[] {
  return envoy.logs.map((line) => line.message);
}

function ask({ vm, root }: Stage, action: string, more: Record<string, string | string[]> = {}) {
  return vm.request(root, { headers: { ":method": "GET", ":path": "/", ":authority": "a", do: action, ...more } });
}

describe("pairs", () => {
  test("have a count, sizes and NUL-terminated texts", () => {
    assert.deepEqual(
      encodePairs([["a", "bc"]]),
      Buffer.from("01000000" + "01000000" + "02000000" + "6100" + "626300", "hex"),
    );
    const pairs: Pair[] = [
      ["a", ""],
      ["b", utf8("ü")],
    ];
    assert.deepEqual(decodePairs(encodePairs(pairs)), pairs);
  });

  test("that are cut short or too many give none", () => {
    const bytes = encodePairs([["name", "value"]]);
    for (let length = 0; length < bytes.length; length++) assert.deepEqual(decodePairs(bytes.subarray(0, length)), []);
    assert.deepEqual(decodePairs(Buffer.concat([bytes, Buffer.from([0])])), []);
    assert.deepEqual(decodePairs(encodePairs(Array.from({ length: 1025 }, () => ["a", "b"]))), []);
  });
});

describe("header map", () => {
  test("gives the first value, replaces to one line, removes all", () => {
    const map = HeaderMap.from([
      ["X-A", "1"],
      ["b", "2"],
      ["x-a", "3"],
    ]);
    assert.equal(map.first("x-a"), "1");
    assert.deepEqual(map.all("X-a"), ["1", "3"]);
    map.set("x-a", "4");
    assert.deepEqual(map.pairs, [
      ["x-a", "4"],
      ["b", "2"],
    ]);
    map.remove("X-A");
    assert.deepEqual(map.pairs, [["b", "2"]]);
  });

  test("joins repeated headers that have one slot, keeps pseudo-headers in front", () => {
    const map = HeaderMap.from([
      ["cookie", "a=1"],
      ["authorization", "x"],
      ["cookie", "b=2"],
      ["authorization", "y"],
      [":path", "/"],
    ]);
    assert.deepEqual(map.pairs, [
      [":path", "/"],
      ["cookie", "a=1"],
      ["authorization", "x,y"],
      ["cookie", "b=2"],
    ]);
  });

  test("holds bytes only", () => {
    assert.throws(() => HeaderMap.from([["a", "→"]]), /utf8\(\)/);
  });
});

describe("start", () => {
  test("creates the root context, then starts, then configures it", () => {
    const { envoy, root } = stage("hello");
    assert.equal(root.accepted, true);
    // http_call from on_vm_start fails; the environment and the monotonic clock are there
    assert.deepEqual(messages(envoy), [
      "create root 1",
      "vm_start 3 vmc env=TOKEN=t call=10 mono=1000000",
      "configure hello probe",
    ]);
  });

  test("a refused or trapping configuration is not taken over", () => {
    const { envoy, vm } = stage();
    assert.equal(envoy.accepts("refuse"), false);
    assert.equal(envoy.accepts("fine"), true);
    assert.equal(envoy.accepts("trap"), false);
    assert.equal(vm.alive, true);
    assert.equal(vm.newRoot("refuse").destroyed, true);
  });
});

describe("headers", () => {
  test("pairs count each line", () => {
    const it = stage();
    const stream = ask(it, "pairs", { "x-twice": ["1", "2"] });
    assert.equal(messages(it.envoy).at(-1), `pairs 6/6 bytes=${encodePairs(stream.headers.pairs).length} end=1`);
    assert.equal(stream.state, "forwarded");
  });

  test("change as Envoy changes them, and every call is recorded", () => {
    const it = stage();
    const stream = ask(it, "change", { "x-a": ["1", "2"], "x-b": ["3", "4"] });
    assert.equal(messages(it.envoy).at(-1), "first 1 absent #1 no map #2");
    assert.deepEqual(stream.headers.toObject(), {
      ":method": "GET",
      ":path": "/",
      ":authority": "a",
      do: "change",
      "x-a": ["new", "new"],
    });
    assert.deepEqual(stream.calls, [
      "get_header do",
      "get_header x-a",
      "get_header x-none -> NotFound",
      "get_header response_headers x-a -> BadArgument",
      "log info first 1 absent #1 no map #2",
      "replace_header X-A: new",
      "add_header X-A: new",
      "remove_header x-b",
    ]);
    assert.equal(stream.mallocs, 2);
    assert.deepEqual(it.vm.mallocSizes.slice(-2), ["change".length, "1".length]);
  });

  test("are no longer there for the trailers", () => {
    const it = stage();
    const stream = it.vm.request(it.root, { headers: { do: "x" }, trailers: { "x-t": "1", "x-u": "2" } });
    assert.equal(messages(it.envoy).at(-1), "trailers 2 1 #2");
    assert.deepEqual(stream.trailers?.toObject(), { "x-u": "2" });
    const late = it.vm.request(it.root, { headers: { do: "x" }, endOfStream: false });
    it.vm.trailers(late, { "x-t": "9" });
    assert.equal(messages(it.envoy).at(-1), "trailers 1 9 #2");
  });
});

describe("local response", () => {
  test("stops the request whatever the callback returns", () => {
    const it = stage();
    const stream = ask(it, "deny");
    assert.equal(stream.state, "answered");
    assert.deepEqual(stream.localResponse, {
      status: 401,
      details: "probe_denied",
      headers: [
        ["Content-Type", "application/json"],
        ["x-extra", "1"],
      ],
      body: Buffer.from("{}"),
      grpcStatus: undefined,
    });
    assert.deepEqual(stream.response?.headers.toObject(), {
      ":status": "401",
      "content-type": "application/json",
      "x-extra": "1",
      "content-length": "2",
    });
    assert.deepEqual(stream.calls.slice(-2), [
      "send_local_response 401 probe_denied",
      "get_header response_headers do -> NotFound",
    ]);
  });

  test("has no body for HEAD, and is a gRPC status for gRPC", () => {
    const it = stage();
    const head = ask(it, "deny", { ":method": "HEAD" });
    assert.equal(head.response?.body, "");
    assert.equal(head.response?.headers.first("content-length"), "2");
    const grpc = ask(it, "deny", { "content-type": "application/grpc" });
    assert.deepEqual(grpc.response?.headers.toObject(), {
      ":status": "200",
      "content-type": "application/grpc",
      "x-extra": "1",
      "grpc-status": "16",
      "grpc-message": "{}",
    });
  });
});

describe("http call", () => {
  test("needs a cluster, pseudo-headers and a timeout that isn't negative", () => {
    const it = stage();
    it.envoy.cluster("up", () => ({ status: 200 }));
    ask(it, "call");
    assert.equal(messages(it.envoy).at(-1), "calls 2 2 2");
  });

  test("answers the root context later, and a held stream goes on from there", () => {
    const it = stage();
    it.envoy.cluster("up", () => ({
      status: 201,
      headers: { "x-h": "1" },
      body: "hello world",
      trailers: { "x-end": "bye" },
      delayMs: 20,
    }));
    const stream = ask(it, "hold");
    assert.equal(stream.state, "held");
    it.envoy.pump();
    assert.equal(stream.state, "held");
    it.envoy.advance(20);
    // after continue_stream the headers can't be changed any more
    assert.deepEqual(messages(it.envoy).slice(-3), [
      "response root=1 token=1 headers=2 body=11 trailers=1 201 hello bye",
      "effective 0",
      "late add 2",
    ]);
    assert.equal(stream.state, "forwarded");
    assert.equal(stream.resumed, true);
    assert.equal(stream.headers.first("x-held"), "x-held");
    assert.deepEqual(stream.calls.slice(-4), [
      "add_header x-held: x-held",
      "continue_stream",
      "add_header x-held: x-held -> BadArgument",
      "log info late add 2",
    ]);
  });

  test("for a stream that is gone by then finds no context", () => {
    const it = stage();
    it.envoy.cluster("up", () => ({ status: 200 }));
    it.vm.end(ask(it, "hold"));
    it.envoy.pump();
    assert.equal(messages(it.envoy).at(-1), "effective 2");
  });

  test("carries its body and says how long it is", () => {
    const it = stage();
    it.envoy.cluster("up", ({ method, body, headers }) => {
      assert.deepEqual([method, body.toString(), headers.first("content-length")], ["POST", "some bytes", "10"]);
      return { status: 200 };
    });
    ask(it, "post");
    assert.ok(messages(it.envoy).includes("post 0"), messages(it.envoy).join("\n"));
  });

  test("times out as 504, breaks as nothing, fails at once without an endpoint", () => {
    const it = stage();
    it.envoy.cluster("up", () => undefined);
    ask(it, "hold");
    it.envoy.advance(999);
    assert.equal(messages(it.envoy).at(-1), "call 0");
    it.envoy.advance(1);
    assert.match(messages(it.envoy).join("\n"), /headers=2 body=24 trailers=0 504 upstr/);
    it.envoy.cluster("up", (call) => void call.reset());
    ask(it, "hold");
    it.envoy.pump();
    assert.match(messages(it.envoy).join("\n"), /token=2 headers=0 body=0 trailers=0 #2 #1 #2/);
    it.envoy.cluster("up", () => "unavailable");
    ask(it, "hold");
    assert.equal(messages(it.envoy).at(-1), "call 10");
  });

  test("is given up with its VM or root context", () => {
    const it = stage();
    it.envoy.cluster("up", () => ({ status: 200, delayMs: 5 }));
    ask(it, "hold");
    it.vm.kill();
    it.envoy.advance(10);
    assert.equal(messages(it.envoy).at(-1), "call 0");
  });
});

describe("shared data", () => {
  const share = (it: Stage, cas: number, value: string): string[] => {
    ask(it, "share", { value, cas: String(cas) });
    return messages(it.envoy).slice(-2);
  };

  test("sets always with 0, on an absent key with anything, else only with the current number", () => {
    const it = stage();
    assert.deepEqual(share(it, 0xffffffff, "a"), ["set 0", "got a cas 1"]);
    assert.deepEqual(share(it, 0xffffffff, "b"), ["set 8", "got a cas 1"]);
    assert.deepEqual(share(it, 1, "c"), ["set 0", "got c cas 2"]);
    assert.deepEqual(share(it, 0, "d"), ["set 0", "got d cas 3"]);
  });

  test("is one per vm_id for all VMs of the process", () => {
    const first = stage();
    share(first, 0, "a");
    const vm = first.envoy.newVm();
    const second = { ...first, vm, root: vm.newRoot("{}") };
    assert.deepEqual(share(second, 1, "b"), ["set 0", "got b cas 2"]);
    const other = first.envoy.newVm({ vmId: "other" });
    assert.deepEqual(share({ ...first, vm: other, root: other.newRoot("{}") }, 7, "c"), ["set 0", "got c cas 3"]);
    assert.deepEqual(first.envoy.sharedData.keys(""), ["k"]);
  });
});

describe("shared queue", () => {
  test("wakes the VM that registered it last, later and in order", () => {
    const it = stage("queue=q");
    const second = it.envoy.newVm();
    second.newRoot("{}");
    const secondRoot = second.newRoot("queue=q");
    ask(it, "enqueue", { name: "q", value: "one" });
    ask(it, "enqueue", { name: "q", value: "two" });
    assert.equal(messages(it.envoy).at(-1), "resolve 0");
    it.envoy.pump();
    assert.deepEqual(messages(it.envoy).slice(-2), [`queue ${secondRoot.id} one`, `queue ${secondRoot.id} two`]);
    ask(it, "enqueue", { name: "unknown", value: "x" });
    assert.equal(messages(it.envoy).at(-1), "resolve 1");
    second.kill();
    ask(it, "enqueue", { name: "q", value: "three" });
    it.envoy.pump();
    assert.equal(it.envoy.queues.depth(1), 1);
  });

  test("a wake-up goes to the VM that took the dead one's place on its thread", () => {
    const it = stage("queue=q");
    const helper = it.envoy.newVm();
    const helperRoot = helper.newRoot("{}");
    it.vm.kill();
    const successor = it.envoy.newVm({ thread: it.vm.thread });
    successor.newRoot("{}");
    ask({ ...it, vm: helper, root: helperRoot }, "enqueue", { name: "q", value: "one" });
    it.envoy.pump();
    assert.equal(messages(it.envoy).at(-1), "queue 1 one");
  });
});

describe("ticks", () => {
  test("come in their period, never with the configuration at hand, and end with the root context", () => {
    const it = stage("tick=50");
    it.envoy.advance(149);
    assert.deepEqual(messages(it.envoy).slice(3), ["tick 1 late #1", "tick 1 late #1"]);
    it.vm.closeRoot(it.root);
    it.envoy.advance(1000);
    assert.equal(messages(it.envoy).length, 5);
  });

  test("of a VM that doesn't dispatch never come", () => {
    const it = stage();
    it.envoy.newVm({ dispatches: false }).newRoot("tick=10");
    const before = it.envoy.logs.length;
    it.envoy.advance(100);
    assert.equal(it.envoy.logs.length, before);
  });
});

describe("life of a root context", () => {
  test("lasts as long as a stream of it is open", () => {
    const it = stage("tick=50");
    const stream = ask(it, "x");
    const successor = it.vm.newRoot("tick=50");
    it.vm.closeRoot(it.root);
    it.envoy.advance(50);
    assert.equal(it.root.destroyed, false);
    assert.equal(messages(it.envoy).filter((line) => line.startsWith("tick 1 ")).length, 1);
    it.vm.end(stream);
    assert.equal(it.root.destroyed, true);
    it.envoy.advance(100);
    assert.equal(messages(it.envoy).filter((line) => line.startsWith("tick 1 ")).length, 1);
    assert.equal(messages(it.envoy).filter((line) => line.startsWith(`tick ${successor.id} `)).length, 3);
    assert.throws(() => ask(it, "x"), /gone/);
  });
});

describe("other host calls", () => {
  test("properties come from stream, plugin and node", () => {
    const it = stage();
    it.envoy.streamProperties = { "source.address": "10.0.0.1:1" };
    ask(it, "properties");
    assert.equal(messages(it.envoy).at(-1), "properties n1 10.0.0.1:1 r #1");
  });

  test("metrics are shared by name, and a counter takes no 0", () => {
    const it = stage();
    ask(it, "metric");
    ask(it, "metric");
    assert.deepEqual(messages(it.envoy).slice(-2), ["metric 4 0 2", "metric 8 0 2"]);
    assert.equal(it.envoy.stats.value("probe.hits"), 4);
  });

  test("an address outside memory is a status", () => {
    const it = stage();
    ask(it, "wild");
    assert.equal(messages(it.envoy).at(-1), "wild 6");
  });

  test("continue_stream on a stream that isn't held is noted", () => {
    const it = stage();
    it.vm.end(ask(it, "continue-twice"));
    assert.deepEqual(it.envoy.violations, []);
    const stream = ask(it, "hold");
    assert.equal(stream.state, "held");
    ask(it, "continue-twice");
    assert.equal(stream.state, "held");
  });
});

describe("a trap", () => {
  test("kills the VM: this and later requests get 503, and nothing of it is called again", () => {
    const it = stage("tick=50");
    const stream = ask(it, "trap");
    assert.equal(stream.localResponse?.details, "wasm_fail_stream");
    assert.equal(stream.localResponse?.status, 503);
    assert.equal(it.vm.alive, false);
    assert.equal(it.envoy.traps.length, 1);
    const logged = it.envoy.logs.length;
    assert.equal(ask(it, "pairs").localResponse?.details, "wasm_fail_stream");
    it.envoy.advance(200);
    assert.equal(it.envoy.logs.length, logged);
  });

  test("comes from a malloc that calls the host", () => {
    const it = stage();
    ask(it, "bad-malloc");
    assert.match(it.envoy.traps[0]!.message, /restricted/);
  });
});

describe("a response", () => {
  test("passes the filter on its way to the client, with the request's headers gone", () => {
    const it = stage();
    const stream = ask(it, "nothing");
    it.vm.respond(stream, { status: 404, headers: { "X-A": ["1", "2"], do: "change" }, body: "b" });
    assert.ok(messages(it.envoy).includes("response 4 end=0 404 1 #2"), messages(it.envoy).join("\n"));
    assert.deepEqual(stream.response!.headers.pairs, [
      [":status", "404"],
      ["x-a", "new"],
      ["do", "change"],
      ["x-a", "new"],
    ]);
    assert.throws(() => it.vm.respond(stream), /no upstream/);
  });

  test("of Envoy itself passes it too", () => {
    const it = stage();
    const stream = ask(it, "deny");
    assert.equal(
      stream.trace.filter(({ fn, args }) => fn === "get_header" && args.includes("response_headers")).length,
      1,
    );
  });

  test("that the filter holds is noted, for nothing would let it go on", () => {
    const it = stage();
    it.vm.respond(ask(it, "nothing"), { headers: { do: "hold" } });
    assert.deepEqual(it.envoy.violations, ["on_response_headers held the response"]);
  });
});

describe("several processes", () => {
  test("may share their time, and nothing else", () => {
    const first = new Envoy({ module });
    const second = new Envoy({ module, loop: first.loop, wallMs: first.wallMs + 5000 });
    first.sharedData.set("", "k", Buffer.from("v"), 0);
    first.advance(250);
    assert.deepEqual([second.nowMs, second.wallMs - first.wallMs], [250, 5000]);
    assert.equal(second.sharedData.get("", "k"), undefined);
    first.kill();
    assert.equal(first.vms.length, 0);
  });

  test("that are killed leave no shared data to those after them", () => {
    const it = stage();
    it.envoy.sharedData.set("", "k", Buffer.from("v"), 0);
    it.envoy.kill();
    assert.equal(it.vm.alive, false);
    assert.equal(it.envoy.sharedData.get("", "k"), undefined);
  });
});

test("time stands still unless moved, and a look at the clock can be made to take time", () => {
  const { envoy } = stage();
  const start = envoy.wallNanoseconds();
  assert.equal(envoy.wallNanoseconds(), start);
  envoy.wallMs += 3_600_000;
  assert.equal(envoy.wallNanoseconds() - start, 3_600_000_000_000n);
  envoy.clockStepMs = 0.5;
  const monotonic = envoy.monotonicNanoseconds();
  assert.equal(envoy.monotonicNanoseconds() - monotonic, 500_000n);
});
