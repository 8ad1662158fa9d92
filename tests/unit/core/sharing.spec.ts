import { beginCallback } from "../../../assembly/abi/memory";
import { Runtime } from "../../../assembly/plugin/runtime";
import { Head } from "../../../assembly/gateway/sharedState";
import { appendLog } from "../../../assembly/sync/deltaLog";
import { gatewayName } from "../../../assembly/gateway/identity";
import { LeaderLock } from "../../../assembly/sync/leaderLock";
import { Workers } from "../../../assembly/gateway/workers";
import { SnapshotStaging } from "../../../assembly/sync/snapshotStaging";
import { runtimeOf } from "./tables";
import { giveProperty, refuse, share, shared, sharedAt, startHost, takeCalls } from "./host";
import { Payload, Writer, flipBit, frame, manifest, textAt } from "./wire";

const S: u64 = 1_000_000_000;
const NAME = "tg1/000000000000feed/";

function begin(): void {
  startHost();
  beginCallback();
}

/** A runtime as another VM of the same Envoy sees it. */
function other(): Runtime {
  return runtimeOf();
}

/** A delta's frame of that many bytes; what is in it doesn't matter here. */
function delta(bytes: u32): Writer {
  const payload = new Payload();
  payload.take(bytes - 48);
  return frame(new Writer(), 3, 0, 1, 2, 1, payload);
}

/** When the VM of slot 0 said last that it is alive. */
function seenNs(): u64 {
  shared(NAME + "v0");
  return load<u64>(sharedAt, 8);
}

describe("a feed's head", () => {
  beforeEach(begin);

  it("is read as it was written, by every VM", () => {
    const runtime = runtimeOf();
    expect(runtime.state.readHead()).toBeFalsy();
    runtime.state.head.version = 42;
    runtime.state.head.generation = 3;
    expect(runtime.state.writeHead()).toBeTruthy();
    const reader = other();
    expect(reader.state.readHead()).toBeTruthy();
    expect(reader.state.head.version).toBe(42);
    expect(reader.state.head.generation).toBe(3);
    expect(runtimeOf(0xbeef).state.readHead()).toBeFalsy("another feed's");
  });

  it("is written by one at a time", () => {
    const a = runtimeOf();
    const b = other();
    expect(a.state.writeHead()).toBeTruthy();
    expect(b.state.writeHead()).toBeFalsy("it hasn't read what is there");
    expect(b.state.readHead()).toBeTruthy();
    b.state.head.version = 7;
    expect(b.state.writeHead()).toBeTruthy();
    expect(a.state.writeHead()).toBeFalsy("it's no longer what it read");
    expect(a.state.readHead()).toBeTruthy();
    expect(a.state.head.version).toBe(7);
    expect(a.state.writeHead()).toBeTruthy();
  });

  it("with any bit flipped, or of another size, isn't read, and what was read before stays", () => {
    const runtime = runtimeOf();
    runtime.state.head.version = 42;
    runtime.state.writeHead();
    const size = shared(NAME + "head");
    expect(size).toBe(<i32>offsetof<Head>());
    const copy = heap.alloc(size + 8);
    memory.copy(copy, sharedAt, size);
    let sound = 0;
    for (let bit = 0; bit < size * 8; bit++) {
      flipBit(copy, bit);
      share(NAME + "head", copy, size);
      beginCallback();
      if (runtime.state.readHead()) sound++;
      flipBit(copy, bit);
    }
    expect(sound).toBe(0);
    for (let bytes = 0; bytes < size; bytes++) {
      share(NAME + "head", copy, bytes);
      if (runtime.state.readHead()) sound++;
    }
    share(NAME + "head", copy, size + 8);
    expect(runtime.state.readHead()).toBeFalsy();
    expect(sound).toBe(0);
    expect(runtime.state.head.version).toBe(42);
    share(NAME + "head", copy, size);
    expect(runtime.state.readHead()).toBeTruthy();
  });

  it("proves a table again once control has answered", () => {
    const runtime = runtimeOf();
    runtime.state.head.contactNs = 5 * S;
    runtime.state.writeHead();
    runtime.state.unprovenSinceNs = 6 * S;
    runtime.state.readHead();
    expect(runtime.state.unprovenSinceNs).toBe(6 * S);
    runtime.state.head.contactNs = 7 * S;
    runtime.state.writeHead();
    expect(runtime.state.unprovenSinceNs).toBe(0);
  });

  it("that the host doesn't take isn't written", () => {
    const runtime = runtimeOf();
    refuse("shared data");
    expect(runtime.state.writeHead()).toBeFalsy();
  });
});

function lockOf(runtime: Runtime): LeaderLock {
  return new LeaderLock(runtime.state, runtime.workers);
}

describe("the lease", () => {
  beforeEach(begin);

  it("is one VM's, until it runs out", () => {
    const a = runtimeOf();
    const b = other();
    const leaseA = lockOf(a);
    const leaseB = lockOf(b);
    expect(leaseA.hold(10 * S)).toBeTruthy();
    expect(leaseB.hold(10 * S)).toBeFalsy();
    expect(leaseB.hold(13 * S - 1)).toBeFalsy();
    expect(leaseB.hold(13 * S)).toBeTruthy();
    expect(leaseA.hold(13 * S)).toBeFalsy();
  });

  it("is renewed in time", () => {
    const a = runtimeOf();
    const leaseA = lockOf(a);
    const b = other();
    const leaseB = lockOf(b);
    for (let now = 10 * S; now < 30 * S; now += S) {
      expect(leaseA.hold(now)).toBeTruthy();
      expect(leaseB.hold(now)).toBeFalsy();
    }
  });

  it("that was given up is free at once", () => {
    const a = runtimeOf();
    const leaseA = lockOf(a);
    leaseA.hold(10 * S);
    leaseA.release();
    expect(lockOf(other()).hold(10 * S)).toBeTruthy();
  });

  it("that is none is taken: of another size, or with a deadline that no lease has", () => {
    const junk = new Writer().u64(99).u64(1000 * S);
    share(NAME + "lease", junk.start, 16);
    expect(lockOf(runtimeOf()).hold(10 * S)).toBeTruthy();
    share(NAME + "lease", junk.start, 7);
    expect(lockOf(runtimeOf()).hold(10 * S)).toBeTruthy();
    const sound = new Writer().u64(99).u64(12 * S);
    share(NAME + "lease", sound.start, 16);
    expect(lockOf(runtimeOf()).hold(10 * S)).toBeFalsy();
  });

  it("isn't held when the host doesn't take it", () => {
    refuse("shared data");
    expect(lockOf(runtimeOf()).hold(10 * S)).toBeFalsy();
  });
});

describe("a stage", () => {
  beforeEach(begin);

  it("goes on from page to page, and in another VM", () => {
    const runtime = runtimeOf();
    const stage = new SnapshotStaging(runtime.state);
    const first = manifest(new Writer(), 5, 9, 3, 1, 1, 1, 1, 0, 500);
    expect(stage.begin(first.start)).toBeTruthy();
    expect(stage.generation).toBe(1);
    expect(stage.manifest.pageCount).toBe(3);
    const early = new SnapshotStaging(other().state);
    early.resume();
    expect(early.active).toBeFalsy("no page has arrived yet");
    expect(stage.advance()).toBeTruthy();
    expect(stage.nextPage).toBe(1);
    const successor = new SnapshotStaging(other().state);
    successor.resume();
    expect(successor.active).toBeTruthy();
    expect(successor.epoch).toBe(5);
    expect(successor.version).toBe(9);
    expect(successor.nextPage).toBe(1);
    expect(successor.manifest.totalBytes).toBe(500);
    expect(successor.begin(first.start)).toBeTruthy();
    expect(successor.nextPage).toBe(1, "the same snapshot is gone on with");
    const newer = manifest(new Writer(), 5, 10, 2, 1, 1, 1, 1, 0, 500);
    successor.begin(newer.start);
    expect(successor.nextPage).toBe(0);
    expect(successor.leastVersion).toBe(10);
  });

  it("of another generation, or dropped, isn't gone on with", () => {
    const runtime = runtimeOf();
    const stage = new SnapshotStaging(runtime.state);
    stage.begin(manifest(new Writer(), 5, 9, 3, 1, 1, 1, 1, 0, 500).start);
    stage.advance();
    const later = other();
    later.state.head.generation = 1;
    const successor = new SnapshotStaging(later.state);
    successor.resume();
    expect(successor.active).toBeFalsy();
    stage.drop();
    const afterDrop = new SnapshotStaging(other().state);
    afterDrop.resume();
    expect(afterDrop.active).toBeFalsy();
    share(NAME + "stage", new Writer().u64(1).start, 8);
    afterDrop.resume();
    expect(afterDrop.active).toBeFalsy();
  });
});

describe("the log", () => {
  beforeEach(begin);

  it("holds frames one after another, in chunks of 64 KiB", () => {
    const runtime = runtimeOf();
    const one = delta(20_000);
    for (let i = 0; i < 7; i++) expect(appendLog(runtime.state, one.start, one.bytes)).toBeTruthy();
    expect(runtime.state.head.chunks).toBe(3);
    expect(runtime.state.head.logBytes).toBe(140_000);
    expect(shared(NAME + "l0/0")).toBe(60_000);
    expect(memory.compare(sharedAt, one.start, one.bytes)).toBe(0);
    expect(memory.compare(sharedAt + 40_000, one.start, one.bytes)).toBe(0);
    expect(shared(NAME + "l0/1")).toBe(60_000);
    expect(shared(NAME + "l0/2")).toBe(20_000);
  });

  it("holds a frame of 1 MiB, and small ones behind it", () => {
    const runtime = runtimeOf();
    const large = delta(1 << 20);
    const small = delta(100);
    expect(appendLog(runtime.state, small.start, 100)).toBeTruthy();
    beginCallback();
    expect(appendLog(runtime.state, large.start, large.bytes)).toBeTruthy();
    beginCallback();
    expect(appendLog(runtime.state, large.start, large.bytes)).toBeTruthy();
    beginCallback();
    expect(appendLog(runtime.state, small.start, 100)).toBeTruthy();
    expect(runtime.state.head.chunks).toBe(4);
    expect(shared(NAME + "l0/3")).toBe(100);
  });

  it("begins anew with a generation, over what is there of an older one", () => {
    const runtime = runtimeOf();
    const one = delta(100);
    appendLog(runtime.state, one.start, 100);
    appendLog(runtime.state, one.start, 100);
    runtime.state.head.generation = 2;
    runtime.state.head.chunks = 0;
    expect(appendLog(runtime.state, one.start, 100)).toBeTruthy();
    expect(shared(NAME + "l0/0")).toBe(100);
  });

  it("isn't written by two", () => {
    const a = runtimeOf();
    const b = other();
    const one = delta(100);
    appendLog(a.state, one.start, 100);
    b.state.head.chunks = 1;
    share(NAME + "l0/0", one.start, 100);
    expect(appendLog(b.state, one.start, 100)).toBeTruthy("it read what is there");
    refuse("shared data");
    expect(appendLog(b.state, one.start, 100)).toBeFalsy();
    expect(b.state.head.chunks).toBe(1);
  });

  it("whose last chunk is gone takes no more", () => {
    const runtime = runtimeOf();
    runtime.state.head.chunks = 2;
    const one = delta(100);
    expect(appendLog(runtime.state, one.start, 100)).toBeFalsy();
  });
});

describe("members", () => {
  beforeEach(begin);

  it("take a slot each, listen on its queue, and say how far they are", () => {
    const a = runtimeOf();
    const b = other();
    a.workers.keep(1, 10 * S);
    b.state.serving = true;
    b.workers.keep(1, 10 * S);
    expect(takeCalls()).toBe(`register ${NAME}q0\nregister ${NAME}q1`);
    expect(a.state.queue).not.toBe(b.state.queue);
    a.workers.survey(10 * S, true);
    expect(a.workers.serving).toBe(1);
    expect(takeCalls()).toBe(`wake ${b.state.queue}`);
    b.workers.survey(10 * S, true);
    expect(takeCalls()).toBe("", "nobody wakes itself");
  });

  it("that serve and are alive count, the slowest decides", () => {
    const watcher = runtimeOf();
    for (let i: u64 = 0; i < 4; i++) {
      const slot = new Writer()
        .u64(i + 1)
        .u64(i == 3 ? 2 * S : 10 * S)
        .u64(100 - i)
        .u32(i == 2 ? 0 : 1)
        .u32(0);
      share(NAME + "v" + i.toString(), slot.start, 32);
    }
    watcher.workers.survey(10 * S, false);
    expect(watcher.workers.serving).toBe(2);
    expect(watcher.workers.applied).toBe(99);
    watcher.workers.survey(20 * S, false);
    expect(watcher.workers.serving).toBe(0);
    expect(watcher.workers.applied).toBe(0);
  });

  it("say at most once a second that they are alive", () => {
    const runtime = runtimeOf();
    runtime.workers.keep(1, 10 * S);
    runtime.workers.keep(1, 10 * S + S / 2);
    expect(seenNs()).toBe(10 * S);
    runtime.workers.keep(1, 11 * S);
    expect(seenNs()).toBe(11 * S);
    runtime.state.serving = true;
    runtime.workers.keep(1, 11 * S + 1);
    expect(seenNs()).toBe(11 * S + 1);
  });

  it("take over the slot of one that is gone, and it finds another", () => {
    const a = runtimeOf();
    a.workers.keep(1, 10 * S);
    const b = other();
    b.workers.keep(1, 26 * S);
    expect(shared(NAME + "v1")).toBe(-1);
    a.workers.keep(1, 27 * S);
    expect(a.state.queue).toBe(0);
    a.workers.keep(1, 27 * S);
    expect(shared(NAME + "v1")).toBe(32);
    expect(a.state.queue).not.toBe(0);
  });

  it("of which there is no free slot take none", () => {
    for (let i = 0; i < 256; i++)
      share(
        NAME + "v" + i.toString(),
        new Writer()
          .u64(7)
          .u64(10 * S)
          .u64(0)
          .u64(0).start,
        32,
      );
    const runtime = runtimeOf();
    runtime.workers.keep(1, 10 * S);
    expect(runtime.state.queue).toBe(0);
  });

  it("are told apart by a number of their own", () => {
    expect(new Workers(runtimeOf().state).identity).not.toBe(new Workers(runtimeOf().state).identity);
    const one = new Workers(runtimeOf().state);
    expect(one.identity).toBe(one.identity);
    expect(one.identity).not.toBe(0);
  });
});

describe("the gateway's name", () => {
  it("is the node's id and a number of the process", () => {
    begin();
    giveProperty("xds\0node\0id", "router~10.9.9.9~gw.istio-system");
    const name = gatewayName();
    const text = textAt(changetype<usize>(name), name.length);
    expect(text.startsWith("router~10.9.9.9~gw.istio-system~")).toBeTruthy();
    expect(text.length).toBe(32 + 16);
    expect(shared("tg1/boot")).toBe(8);
    startHost();
    expect(gatewayName() == name).toBeTruthy("it stays");
  });
});
