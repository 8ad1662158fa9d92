import { beginCallback } from "../../../assembly/abi/memory";
import { Feed, Head } from "../../../assembly/feed";
import { appendLog } from "../../../assembly/feedLog";
import { gatewayName } from "../../../assembly/gateway";
import { Lease } from "../../../assembly/lease";
import { Members } from "../../../assembly/members";
import { Stage } from "../../../assembly/stage";
import { feedOf } from "./tables";
import { giveProperty, refuse, share, shared, sharedAt, startHost, takeCalls } from "./host";
import { Payload, Writer, flipBit, frame, manifest, textAt } from "./wire";

const S: u64 = 1_000_000_000;
const NAME = "tg1/000000000000feed/";

function begin(): void {
  startHost();
  beginCallback();
}

/** A feed as another VM of the same Envoy sees it. */
function other(): Feed {
  return feedOf();
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
    const feed = feedOf();
    expect(feed.readHead()).toBeFalsy();
    feed.head.version = 42;
    feed.head.generation = 3;
    expect(feed.writeHead()).toBeTruthy();
    const reader = other();
    expect(reader.readHead()).toBeTruthy();
    expect(reader.head.version).toBe(42);
    expect(reader.head.generation).toBe(3);
    expect(feedOf(0xbeef).readHead()).toBeFalsy("another feed's");
  });

  it("is written by one at a time", () => {
    const a = feedOf();
    const b = other();
    expect(a.writeHead()).toBeTruthy();
    expect(b.writeHead()).toBeFalsy("it hasn't read what is there");
    expect(b.readHead()).toBeTruthy();
    b.head.version = 7;
    expect(b.writeHead()).toBeTruthy();
    expect(a.writeHead()).toBeFalsy("it's no longer what it read");
    expect(a.readHead()).toBeTruthy();
    expect(a.head.version).toBe(7);
    expect(a.writeHead()).toBeTruthy();
  });

  it("with any bit flipped, or of another size, isn't read, and what was read before stays", () => {
    const feed = feedOf();
    feed.head.version = 42;
    feed.writeHead();
    const size = shared(NAME + "head");
    expect(size).toBe(<i32>offsetof<Head>());
    const copy = heap.alloc(size + 8);
    memory.copy(copy, sharedAt, size);
    let sound = 0;
    for (let bit = 0; bit < size * 8; bit++) {
      flipBit(copy, bit);
      share(NAME + "head", copy, size);
      beginCallback();
      if (feed.readHead()) sound++;
      flipBit(copy, bit);
    }
    expect(sound).toBe(0);
    for (let bytes = 0; bytes < size; bytes++) {
      share(NAME + "head", copy, bytes);
      if (feed.readHead()) sound++;
    }
    share(NAME + "head", copy, size + 8);
    expect(feed.readHead()).toBeFalsy();
    expect(sound).toBe(0);
    expect(feed.head.version).toBe(42);
    share(NAME + "head", copy, size);
    expect(feed.readHead()).toBeTruthy();
  });

  it("proves a table again once control has answered", () => {
    const feed = feedOf();
    feed.head.contactNs = 5 * S;
    feed.writeHead();
    feed.unprovenSinceNs = 6 * S;
    feed.readHead();
    expect(feed.unprovenSinceNs).toBe(6 * S);
    feed.head.contactNs = 7 * S;
    feed.writeHead();
    expect(feed.unprovenSinceNs).toBe(0);
  });

  it("that the host doesn't take isn't written", () => {
    const feed = feedOf();
    refuse("shared data");
    expect(feed.writeHead()).toBeFalsy();
  });
});

describe("the lease", () => {
  beforeEach(begin);

  it("is one VM's, until it runs out", () => {
    const a = feedOf();
    const b = other();
    const leaseA = new Lease();
    const leaseB = new Lease();
    expect(leaseA.hold(a, 10 * S)).toBeTruthy();
    expect(leaseB.hold(b, 10 * S)).toBeFalsy();
    expect(leaseB.hold(b, 13 * S - 1)).toBeFalsy();
    expect(leaseB.hold(b, 13 * S)).toBeTruthy();
    expect(leaseA.hold(a, 13 * S)).toBeFalsy();
  });

  it("is renewed in time", () => {
    const a = feedOf();
    const leaseA = new Lease();
    const b = other();
    const leaseB = new Lease();
    for (let now = 10 * S; now < 30 * S; now += S) {
      expect(leaseA.hold(a, now)).toBeTruthy();
      expect(leaseB.hold(b, now)).toBeFalsy();
    }
  });

  it("that was given up is free at once", () => {
    const a = feedOf();
    const leaseA = new Lease();
    leaseA.hold(a, 10 * S);
    leaseA.release(a);
    expect(new Lease().hold(other(), 10 * S)).toBeTruthy();
  });

  it("that is none is taken: of another size, or with a deadline that no lease has", () => {
    const junk = new Writer().u64(99).u64(1000 * S);
    share(NAME + "lease", junk.start, 16);
    expect(new Lease().hold(feedOf(), 10 * S)).toBeTruthy();
    share(NAME + "lease", junk.start, 7);
    expect(new Lease().hold(feedOf(), 10 * S)).toBeTruthy();
    const sound = new Writer().u64(99).u64(12 * S);
    share(NAME + "lease", sound.start, 16);
    expect(new Lease().hold(feedOf(), 10 * S)).toBeFalsy();
  });

  it("isn't held when the host doesn't take it", () => {
    refuse("shared data");
    expect(new Lease().hold(feedOf(), 10 * S)).toBeFalsy();
  });
});

describe("a stage", () => {
  beforeEach(begin);

  it("goes on from page to page, and in another VM", () => {
    const feed = feedOf();
    const stage = new Stage();
    const first = manifest(new Writer(), 5, 9, 3, 1, 1, 1, 1, 0, 500);
    expect(stage.begin(feed, first.start)).toBeTruthy();
    expect(stage.generation).toBe(1);
    expect(stage.manifest.pageCount).toBe(3);
    const early = new Stage();
    early.resume(other());
    expect(early.active).toBeFalsy("no page has arrived yet");
    expect(stage.advance(feed)).toBeTruthy();
    expect(stage.nextPage).toBe(1);
    const successor = new Stage();
    successor.resume(other());
    expect(successor.active).toBeTruthy();
    expect(successor.epoch).toBe(5);
    expect(successor.version).toBe(9);
    expect(successor.nextPage).toBe(1);
    expect(successor.manifest.totalBytes).toBe(500);
    expect(successor.begin(feed, first.start)).toBeTruthy();
    expect(successor.nextPage).toBe(1, "the same snapshot is gone on with");
    const newer = manifest(new Writer(), 5, 10, 2, 1, 1, 1, 1, 0, 500);
    successor.begin(feed, newer.start);
    expect(successor.nextPage).toBe(0);
    expect(successor.leastVersion).toBe(10);
  });

  it("of another generation, or dropped, isn't gone on with", () => {
    const feed = feedOf();
    const stage = new Stage();
    stage.begin(feed, manifest(new Writer(), 5, 9, 3, 1, 1, 1, 1, 0, 500).start);
    stage.advance(feed);
    const later = other();
    later.head.generation = 1;
    const successor = new Stage();
    successor.resume(later);
    expect(successor.active).toBeFalsy();
    stage.drop(feed);
    successor.resume(other());
    expect(successor.active).toBeFalsy();
    share(NAME + "stage", new Writer().u64(1).start, 8);
    successor.resume(other());
    expect(successor.active).toBeFalsy();
  });
});

describe("the log", () => {
  beforeEach(begin);

  it("holds frames one after another, in chunks of 64 KiB", () => {
    const feed = feedOf();
    const one = delta(20_000);
    for (let i = 0; i < 7; i++) expect(appendLog(feed, one.start, one.bytes)).toBeTruthy();
    expect(feed.head.chunks).toBe(3);
    expect(feed.head.logBytes).toBe(140_000);
    expect(shared(NAME + "l0/0")).toBe(60_000);
    expect(memory.compare(sharedAt, one.start, one.bytes)).toBe(0);
    expect(memory.compare(sharedAt + 40_000, one.start, one.bytes)).toBe(0);
    expect(shared(NAME + "l0/1")).toBe(60_000);
    expect(shared(NAME + "l0/2")).toBe(20_000);
  });

  it("holds a frame of 1 MiB, and small ones behind it", () => {
    const feed = feedOf();
    const large = delta(1 << 20);
    const small = delta(100);
    expect(appendLog(feed, small.start, 100)).toBeTruthy();
    beginCallback();
    expect(appendLog(feed, large.start, large.bytes)).toBeTruthy();
    beginCallback();
    expect(appendLog(feed, large.start, large.bytes)).toBeTruthy();
    beginCallback();
    expect(appendLog(feed, small.start, 100)).toBeTruthy();
    expect(feed.head.chunks).toBe(4);
    expect(shared(NAME + "l0/3")).toBe(100);
  });

  it("begins anew with a generation, over what is there of an older one", () => {
    const feed = feedOf();
    const one = delta(100);
    appendLog(feed, one.start, 100);
    appendLog(feed, one.start, 100);
    feed.head.generation = 2;
    feed.head.chunks = 0;
    expect(appendLog(feed, one.start, 100)).toBeTruthy();
    expect(shared(NAME + "l0/0")).toBe(100);
  });

  it("isn't written by two", () => {
    const a = feedOf();
    const b = other();
    const one = delta(100);
    appendLog(a, one.start, 100);
    b.head.chunks = 1;
    share(NAME + "l0/0", one.start, 100);
    expect(appendLog(b, one.start, 100)).toBeTruthy("it read what is there");
    refuse("shared data");
    expect(appendLog(b, one.start, 100)).toBeFalsy();
    expect(b.head.chunks).toBe(1);
  });

  it("whose last chunk is gone takes no more", () => {
    const feed = feedOf();
    feed.head.chunks = 2;
    const one = delta(100);
    expect(appendLog(feed, one.start, 100)).toBeFalsy();
  });
});

describe("members", () => {
  beforeEach(begin);

  it("take a slot each, listen on its queue, and say how far they are", () => {
    const a = feedOf();
    const b = other();
    a.members.keep(a, 1, 10 * S);
    b.serving = true;
    b.members.keep(b, 1, 10 * S);
    expect(takeCalls()).toBe(`register ${NAME}q0\nregister ${NAME}q1`);
    expect(a.members.queue).not.toBe(b.members.queue);
    a.members.survey(a, 10 * S, true);
    expect(a.members.workers).toBe(1);
    expect(takeCalls()).toBe(`wake ${b.members.queue}`);
    b.members.survey(b, 10 * S, true);
    expect(takeCalls()).toBe("", "nobody wakes itself");
  });

  it("that serve and are alive count, the slowest decides", () => {
    const watcher = feedOf();
    for (let i: u64 = 0; i < 4; i++) {
      const slot = new Writer().u64(i + 1).u64(i == 3 ? 2 * S : 10 * S).u64(100 - i).u32(i == 2 ? 0 : 1).u32(0);
      share(NAME + "v" + i.toString(), slot.start, 32);
    }
    watcher.members.survey(watcher, 10 * S, false);
    expect(watcher.members.workers).toBe(2);
    expect(watcher.members.applied).toBe(99);
    watcher.members.survey(watcher, 20 * S, false);
    expect(watcher.members.workers).toBe(0);
    expect(watcher.members.applied).toBe(0);
  });

  it("say at most once a second that they are alive", () => {
    const feed = feedOf();
    feed.members.keep(feed, 1, 10 * S);
    feed.members.keep(feed, 1, 10 * S + S / 2);
    expect(seenNs()).toBe(10 * S);
    feed.members.keep(feed, 1, 11 * S);
    expect(seenNs()).toBe(11 * S);
    feed.serving = true;
    feed.members.keep(feed, 1, 11 * S + 1);
    expect(seenNs()).toBe(11 * S + 1);
  });

  it("take over the slot of one that is gone, and it finds another", () => {
    const a = feedOf();
    a.members.keep(a, 1, 10 * S);
    const b = other();
    b.members.keep(b, 1, 26 * S);
    expect(shared(NAME + "v1")).toBe(-1);
    a.members.keep(a, 1, 27 * S);
    expect(a.members.queue).toBe(0);
    a.members.keep(a, 1, 27 * S);
    expect(shared(NAME + "v1")).toBe(32);
    expect(a.members.queue).not.toBe(0);
  });

  it("of which there is no free slot take none", () => {
    for (let i = 0; i < 256; i++) share(NAME + "v" + i.toString(), new Writer().u64(7).u64(10 * S).u64(0).u64(0).start, 32);
    const feed = feedOf();
    feed.members.keep(feed, 1, 10 * S);
    expect(feed.members.queue).toBe(0);
  });

  it("are told apart by a number of their own", () => {
    expect(new Members().identity).not.toBe(new Members().identity);
    const one = new Members();
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
