/** The leader and the follower together: what control answers becomes a table. */
import { beginCallback } from "../../../assembly/abi/memory";
import { Runtime } from "../../../assembly/plugin/runtime";
import {
  STATUS_BROKEN,
  STATUS_NEWER_FORMAT,
  STATUS_OK,
  STATUS_REFUSED,
  STATUS_UNREACHABLE,
} from "../../../assembly/gateway/sharedState";
import { runtimeOf } from "./tables";
import { clock, forget, give, permit, refuse, share, shared, sharedAt, startHost, takeCalls, withhold } from "./host";
import { rawBytes } from "../helpers";
import { API } from "../../../assembly/wire/enums";
import { ApiSpec, Payload, Writer, digestOf, frame, manifest, page } from "./wire";

const S: u64 = 1_000_000_000;
const NAME = "tg1/000000000000feed/";
const EPOCH: u64 = 0xabc;

let runtime: Runtime = runtimeOf();
let now: u64 = 0;
/** Tokens of the stub's calls go up by one. */
let token: u32 = 0;

function begin(): void {
  startHost();
  beginCallback();
  runtime = runtimeOf();
  runtime.state.serving = true;
  now = 10 * S;
  clock(0, 10_000);
}

/** A tick of the feed's owner; what it called, without what it only woke. */
function tick(): string {
  beginCallback();
  forget();
  runtime.state.readHead();
  runtime.state.headSound = true;
  runtime.leader.lead(now);
  return noteCall(takeCalls());
}

function noteCall(calls: string): string {
  token += calls.split("call control ").length - 1;
  return calls;
}

/** Control's answer to the last call; what was called upon it. */
function answer(status: string, body: Writer | null): string {
  beginCallback();
  forget();
  const text = rawBytes(status);
  give("response :status", changetype<usize>(text), text.length);
  if (body != null) give("response body", body.start, body.bytes);
  else withhold("response body");
  expect(runtime.leader.answered(token, 1, body == null ? 0 : body.bytes, now)).toBeTruthy("an answer to its call");
  return noteCall(takeCalls());
}

function follow(): void {
  for (let i = 0; i < 100; i++) {
    beginCallback();
    runtime.state.readHead();
    if (!runtime.follower.follow()) return;
  }
  expect(true).toBeFalsy("it never ends");
}

function first(): Payload {
  return new Payload().api(new ApiSpec(1)).tier(1, "bronze", ["read"]).consumer(1, "acme", 1);
}

function manifestOf(version: u64, pages: u32): Writer {
  return manifest(new Writer(), EPOCH, version, pages, 2, 1, 1, 1, 0, 1000);
}

function pageOf(version: u64, index: u32, count: u32, payload: Payload): Writer {
  return page(new Writer(), EPOCH, version, index, count, payload);
}

function delta(out: Writer, base: u64, version: u64, payload: Payload, more: u32 = 0): Writer {
  return frame(out, 3, more, EPOCH, version, base, payload);
}

function heartbeat(version: u64): Writer {
  return frame(new Writer(), 4, 0, EPOCH, version, 0, new Writer());
}

/** Brings the runtime to version 5 with the keys 1 and 2. */
function loadSnapshot(): void {
  tick();
  answer("200", manifestOf(5, 2));
  answer("200", pageOf(5, 0, 2, first().key(1, "k1", 1)));
  answer("200", pageOf(5, 1, 2, new Payload().key(2, "k2", 1)));
  follow();
  expect(runtime.state.table != null).toBeTruthy();
}

function knows(n: u32): bool {
  return runtime.state.table!.keys.get(digestOf(n)) != 0;
}

describe("the first snapshot", () => {
  beforeEach(begin);

  it("is asked for with nothing, fetched page by page, and becomes the table", () => {
    const asked = tick();
    expect(
      asked.includes("call control 5000\n:method: GET\n:path: /sync/v1/watch?environment=default&gateway="),
    ).toBeTruthy(asked);
    expect(
      asked.includes(
        "&epoch=0000000000000000&version=0&waitMs=0&applied=0&workers=0\n:authority: tollgate-control\nauthorization: Bearer tgg_token",
      ),
    ).toBeTruthy(asked);
    expect(answer("200", manifestOf(5, 2)).includes("/sync/v1/pages/0?")).toBeTruthy();
    expect(answer("200", pageOf(5, 0, 2, first().key(1, "k1", 1))).includes("/sync/v1/pages/1?")).toBeTruthy();
    follow();
    expect(runtime.state.table == null).toBeTruthy("half a snapshot is none");
    const on = answer("200", pageOf(5, 1, 2, new Payload().key(2, "k2", 1)));
    expect(on.includes("/sync/v1/watch?") && on.includes("&epoch=0000000000000abc&version=5&waitMs=25000&")).toBeTruthy(
      on,
    );
    follow();
    expect(knows(1) && knows(2) && !knows(3)).toBeTruthy();
    expect(runtime.state.table!.version).toBe(5);
    expect(runtime.state.head.status).toBe(STATUS_OK);
    expect(runtime.follower.behind()).toBeFalsy();
  });

  it("that is older than control takes effect together with the changes since", () => {
    tick();
    const counts = new Writer().u32(1).u32(2).u32(1).u32(1).u32(1).u32(0).u64(1000).u64(0);
    answer("200", frame(new Writer(), 1, 0, EPOCH, 5, 6, counts));
    const on = answer("200", pageOf(5, 0, 1, first().key(1, "k1", 1)));
    expect(on.includes("&version=5&waitMs=0&")).toBeTruthy(on);
    follow();
    expect(runtime.state.table == null).toBeTruthy("the key may have been revoked since");
    answer("200", delta(new Writer(), 5, 6, new Payload().removeKey(1)));
    follow();
    expect(knows(1)).toBeFalsy();
    expect(runtime.state.table!.version).toBe(6);
  });

  it("is loaded only by a VM that serves", () => {
    runtime.state.serving = false;
    tick();
    answer("200", manifestOf(5, 1));
    answer("200", pageOf(5, 0, 1, first()));
    follow();
    expect(runtime.state.table == null).toBeTruthy();
    runtime.state.serving = true;
    follow();
    expect(runtime.state.table != null).toBeTruthy();
  });

  it("is asked for by one VM alone", () => {
    tick();
    const other = runtimeOf();
    beginCallback();
    forget();
    other.leader.lead(now);
    expect(takeCalls()).toBe("");
  });

  it("that its leader left half is gone on with by the next", () => {
    tick();
    answer("200", manifestOf(5, 2));
    answer("200", pageOf(5, 0, 2, first().key(1, "k1", 1)));
    runtime = runtimeOf();
    runtime.state.serving = true;
    now += 4 * S;
    expect(tick().includes("/sync/v1/pages/1?")).toBeTruthy();
    answer("200", pageOf(5, 1, 2, new Payload().key(2, "k2", 1)));
    follow();
    expect(knows(1) && knows(2)).toBeTruthy();
  });
});

describe("changes", () => {
  beforeEach(() => {
    begin();
    loadSnapshot();
  });

  it("go into the table in place", () => {
    const table = runtime.state.table;
    answer("200", delta(new Writer(), 5, 6, new Payload().removeKey(1).key(3, "k3", 1)));
    follow();
    expect(runtime.state.table == table).toBeTruthy();
    expect(!knows(1) && knows(2) && knows(3)).toBeTruthy();
    expect(runtime.state.table!.version).toBe(6);
  });

  it("may come several at once, and in parts", () => {
    const several = delta(new Writer(), 5, 6, new Payload().key(3, "k3", 1));
    delta(several, 6, 8, new Payload().key(4, "k4", 1), 1);
    delta(several, 6, 8, new Payload().removeKey(3));
    delta(several, 8, 9, new Payload());
    answer("200", several);
    follow();
    expect(!knows(3) && knows(4)).toBeTruthy();
    expect(runtime.state.table!.version).toBe(9);
    expect(runtime.state.head.version).toBe(9);
  });

  it("of which the last part is missing don't count", () => {
    answer("200", delta(new Writer(), 5, 6, new Payload().key(3, "k3", 1), 1));
    expect(runtime.state.head.version).toBe(5);
    expect(runtime.state.head.status).toBe(STATUS_BROKEN);
  });

  it("change routes too", () => {
    const api = new ApiSpec(2);
    api.paths = ["/new"];
    answer("200", delta(new Writer(), 5, 6, new Payload().api(api).remove(API, 1)));
    follow();
    const host = rawBytes("h");
    const path = rawBytes("/new");
    const old = rawBytes("/old");
    expect(
      runtime.state.table!.router.match(
        changetype<usize>(host),
        1,
        changetype<usize>(path),
        4,
        1,
        changetype<usize>(host),
        1,
      ),
    ).toBe(1);
    expect(
      runtime.state.table!.router.match(
        changetype<usize>(host),
        1,
        changetype<usize>(old),
        4,
        1,
        changetype<usize>(host),
        1,
      ),
    ).toBe(0);
  });

  it("are none in a heartbeat", () => {
    const on = answer("200", heartbeat(5));
    expect(on.includes("&version=5&waitMs=25000&")).toBeTruthy(on);
    expect(runtime.state.head.contactNs).toBe(now);
  });

  it("reach a VM that begins to serve later from shared data alone", () => {
    answer("200", delta(new Writer(), 5, 6, new Payload().removeKey(1).key(3, "k3", 1)));
    const late = runtimeOf();
    late.state.serving = true;
    runtime = late;
    follow();
    expect(!knows(1) && knows(2) && knows(3)).toBeTruthy();
    expect(runtime.state.table!.version).toBe(6);
  });

  it("that are too many for the table make it be built anew", () => {
    const many = new Payload();
    for (let n: u32 = 10; n < 3000; n++) many.key(n, "k", 1);
    answer("200", delta(new Writer(), 5, 6, many));
    follow();
    expect(knows(2) && knows(10) && knows(2999)).toBeTruthy();
    expect(runtime.state.table!.version).toBe(6);
  });

  it("of another epoch, or with a gap, ask for a snapshot", () => {
    answer("200", frame(new Writer(), 3, 0, EPOCH + 1, 6, 5, new Payload()));
    expect(runtime.state.head.version).toBe(5);
    now += 10 * S;
    expect(tick().includes("&epoch=0000000000000000&version=0&")).toBeTruthy();
    answer("200", manifestOf(7, 1));
    answer("200", pageOf(7, 0, 1, first().key(7, "k7", 1)));
    follow();
    expect(knows(7) && !knows(1)).toBeTruthy();
    answer("200", delta(new Writer(), 8, 9, new Payload()));
    expect(runtime.state.head.version).toBe(7);
    now += 10 * S;
    expect(tick().includes("&epoch=0000000000000000&version=0&")).toBeTruthy();
  });

  it("that the table has already are passed over", () => {
    answer("200", delta(new Writer(), 3, 5, new Payload().removeKey(1)));
    follow();
    expect(knows(1)).toBeTruthy();
    expect(runtime.state.head.chunks).toBe(0);
  });
});

describe("what can't be used", () => {
  beforeEach(() => {
    begin();
    loadSnapshot();
  });

  it("leaves the table as it is, whatever bit of it is flipped or wherever it ends", () => {
    const good = delta(new Writer(), 5, 6, new Payload().removeKey(1));
    for (let turn: u32 = 0; turn < good.bytes; turn += 5) {
      const bad = new Writer().raw(good.start, good.bytes);
      store<u8>(bad.start + turn, <u8>(<u32>load<u8>(bad.start + turn) ^ 4));
      answer("200", bad);
      expect(runtime.state.head.version).toBe(5);
      now += 10 * S;
      tick();
      const cut = new Writer().raw(good.start, turn);
      answer("200", cut);
      expect(runtime.state.head.version).toBe(5);
      now += 10 * S;
      tick();
    }
    follow();
    expect(knows(1)).toBeTruthy();
    answer("200", good);
    follow();
    expect(knows(1)).toBeFalsy();
  });

  it("of a newer format is called so", () => {
    const newer = new Payload();
    newer.record(99, new Writer().u32(1));
    const calls = answer("200", delta(new Writer(), 5, 6, newer));
    expect(calls.includes("control speaks a newer format")).toBeTruthy(calls);
    expect(runtime.state.head.status).toBe(STATUS_NEWER_FORMAT);
  });

  it("with a manifest that no gateway can hold is refused", () => {
    answer("200", manifest(new Writer(), EPOCH, 9, 0, 0, 0, 0, 0, 0, 0));
    expect(runtime.state.head.status).toBe(STATUS_BROKEN);
    now += 10 * S;
    tick();
    answer("200", manifest(new Writer(), EPOCH, 9, 100_000, 0, 0, 0, 0, 0, 0));
    expect(runtime.state.head.generation).toBe(1);
  });

  it("in pages of another snapshot, place or number isn't mixed in", () => {
    answer("200", manifestOf(9, 2));
    for (let turn = 0; turn < 2; turn++) {
      answer("200", turn == 0 ? pageOf(8, 0, 2, first()) : pageOf(9, 1, 2, first()));
      expect(runtime.state.head.generation).toBe(1);
      now += 10 * S;
      expect(tick().includes("/sync/v1/pages/0?")).toBeTruthy();
    }
    answer("200", pageOf(9, 0, 3, first()));
    now += 10 * S;
    expect(tick().includes("/sync/v1/watch?")).toBeTruthy("after the third time it begins anew");
  });

  it("in shared data is reported, and a new snapshot asked for", () => {
    answer("200", manifestOf(9, 1));
    answer("200", pageOf(9, 0, 1, first().key(9, "k9", 1)));
    const size = shared(NAME + "p0/0");
    const copy = heap.alloc(size);
    memory.copy(copy, sharedAt, size);
    store<u8>(copy + 60, <u8>(<u32>load<u8>(copy + 60) ^ 1));
    share(NAME + "p0/0", copy, size);
    follow();
    expect(knows(1)).toBeTruthy("the old table stays");
    expect(shared(NAME + "resync")).toBe(4);
    const asked = answer("200", heartbeat(9));
    expect(asked.includes("&epoch=0000000000000000&version=0&")).toBeTruthy(asked);
    answer("200", manifestOf(9, 1));
    answer("200", pageOf(9, 0, 1, first().key(9, "k9", 1)));
    follow();
    expect(knows(9) && !knows(1)).toBeTruthy();
  });
});

describe("a control that fails", () => {
  beforeEach(begin);

  it("is asked again after a while that grows to 5 s", () => {
    refuse("calls");
    let tries = 0;
    let longest: u64 = 0;
    let last = now;
    for (let i = 0; i < 6000; i++) {
      now += 10_000_000;
      const failed = runtime.state.meter;
      failed.flush();
      forget();
      tick();
      failed.flush();
      if (!takeCalls().includes("sync_failed")) continue;
      tries++;
      if (now - last > longest) longest = now - last;
      last = now;
    }
    expect(tries).toBeGreaterThan(12);
    expect(tries).toBeLessThan(40);
    expect(longest).toBeGreaterThan(2 * S);
    expect(longest).toBeLessThanOrEqual(5 * S + 20_000_000);
    permit("calls");
    now += 6 * S;
    expect(tick().includes("/sync/v1/watch?")).toBeTruthy();
  });

  it("by a refused token leaves the lead to others for a while", () => {
    tick();
    expect(answer("401", null).includes("401: the gateway token is refused")).toBeTruthy();
    expect(runtime.state.head.status).toBe(STATUS_REFUSED);
    const other = runtimeOf();
    beginCallback();
    forget();
    other.leader.lead(now);
    expect(noteCall(takeCalls()).includes("/sync/v1/watch?")).toBeTruthy();
    now += 10 * S;
    expect(tick().includes("/sync/v1/watch?")).toBeTruthy();
  });

  it("by an error keeps what is there", () => {
    loadSnapshot();
    expect(answer("500", null).includes("what is loaded stays in force")).toBeTruthy();
    expect(runtime.state.head.status).toBe(STATUS_UNREACHABLE);
    expect(knows(1)).toBeTruthy();
    now += 10 * S;
    expect(tick().includes("&version=5&waitMs=0&")).toBeTruthy("the next watch answers at once");
    answer("200", heartbeat(5));
    expect(runtime.state.head.status).toBe(STATUS_OK);
  });

  it("by never answering is asked again", () => {
    tick();
    now += 6 * S;
    expect(tick()).toBe("");
    now += 2 * S;
    tick();
    now += S;
    expect(tick().includes("/sync/v1/watch?")).toBeTruthy();
  });

  it("by a page that is gone is asked for the snapshot anew", () => {
    tick();
    answer("200", manifestOf(5, 2));
    answer("410", null);
    now += S;
    expect(tick().includes("/sync/v1/watch?")).toBeTruthy();
  });

  it("and answers to other calls are left to whom they belong", () => {
    tick();
    expect(runtime.leader.answered(token + 1, 1, 0, now)).toBeFalsy();
    expect(runtime.leader.answered(0, 1, 0, now)).toBeFalsy();
  });
});
