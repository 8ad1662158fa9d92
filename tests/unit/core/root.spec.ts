import { liveBlockBytes } from "../../../assembly/lib/blocks";
import { allRoots, dropGone, enterRoot, noteStream, rootById, rootOfStream } from "../../../assembly/plugin/instance";
import { configWith } from "./configs";
import { refuse, startHost } from "./host";
import { runtimeOf, rootOf, tableOf } from "./tables";
import { ApiSpec, Payload } from "./wire";

function begin(): void {
  startHost();
  allRoots().length = 0;
  // settles which root is the only one
  dropGone();
  const last = rootOf(0xffff, configWith());
  enterRoot(last);
  refuse("context 65535");
  expect(dropGone()).toBeTruthy();
  expect(allRoots().length).toBe(0);
}

describe("roots", () => {
  beforeEach(begin);

  it("are found by their id", () => {
    expect(rootById(1) == null).toBeTruthy();
    const one = rootOf(1, configWith());
    enterRoot(one);
    expect(rootById(1) == one).toBeTruthy();
    expect(rootById(2) == null).toBeTruthy();
    const two = rootOf(2, configWith());
    enterRoot(two);
    expect(rootById(1) == one).toBeTruthy();
    expect(rootById(2) == two).toBeTruthy();
    expect(rootById(0) == null).toBeTruthy();
  });

  it("of one id replace each other", () => {
    enterRoot(rootOf(1, configWith()));
    enterRoot(rootOf(2, configWith()));
    const again = rootOf(1, configWith());
    enterRoot(again);
    expect(allRoots().length).toBe(2);
    expect(rootById(1) == again).toBeTruthy();
  });

  it("that are replaced hand over what they hold, and give their memory back", () => {
    const before = liveBlockBytes();
    const old = rootOf(1, configWith(), null, tableOf(new Payload().api(new ApiSpec(1))));
    old.held = 3;
    enterRoot(old);
    const again = rootOf(1, configWith());
    enterRoot(again);
    expect(again.held).toBe(3);
    expect(liveBlockBytes()).toBe(before);
  });

  it("that the host has no more are forgotten, and give their memory back", () => {
    const before = liveBlockBytes();
    enterRoot(rootOf(1, configWith(), null, tableOf(new Payload().api(new ApiSpec(1)))));
    enterRoot(rootOf(2, configWith()));
    enterRoot(rootOf(3, configWith()));
    expect(dropGone()).toBeFalsy();
    expect(allRoots().length).toBe(3);
    refuse("context 1");
    refuse("context 3");
    expect(dropGone()).toBeTruthy();
    expect(rootById(1) == null).toBeTruthy();
    expect(rootById(2)!.id).toBe(2);
    expect(rootById(3) == null).toBeTruthy();
    expect(liveBlockBytes()).toBe(before);
  });
});

describe("a root's table", () => {
  beforeEach(begin);

  it("is its own, or its feed's, or none", () => {
    expect(rootOf(1, configWith()).table == null).toBeTruthy();
    const own = tableOf(new Payload());
    expect(rootOf(1, configWith(), null, own).table == own).toBeTruthy();
    const runtime = runtimeOf();
    const root = rootOf(1, configWith(), runtime);
    expect(root.table == null).toBeTruthy();
    runtime.state.table = own;
    expect(root.table == own).toBeTruthy();
    own.free();
  });

  it("isn't believed when it's stale or was not watched", () => {
    const runtime = runtimeOf();
    const root = rootOf(1, configWith(), runtime);
    runtime.state.table = tableOf(new Payload());
    root.stale = true;
    expect(root.table == null).toBeTruthy();
    root.stale = false;
    runtime.state.unprovenSinceNs = 5;
    expect(root.table == null).toBeTruthy();
    runtime.state.unprovenSinceNs = 0;
    expect(root.table != null).toBeTruthy();
  });
});

describe("a superseded root", () => {
  beforeEach(begin);

  it("watches no more, but for 30 s after a stream came", () => {
    const root = rootOf(1, configWith(), runtimeOf());
    expect(root.watches(0)).toBeTruthy();
    root.superseded = true;
    expect(root.watches(0)).toBeFalsy();
    root.revive(1_000_000_000);
    expect(root.watches(2_000_000_000)).toBeTruthy();
    expect(root.watches(30_999_999_999)).toBeTruthy();
    expect(root.watches(31_000_000_000)).toBeFalsy();
  });
});

describe("a stream", () => {
  beforeEach(begin);

  it("belongs to the root that it was noted with", () => {
    const one = rootOf(1, configWith());
    const two = rootOf(2, configWith());
    enterRoot(one);
    enterRoot(two);
    noteStream(10, 1);
    noteStream(11, 2);
    expect(rootOfStream(10) == one).toBeTruthy();
    expect(rootOfStream(11) == two).toBeTruthy();
    expect(rootOfStream(12) == null).toBeTruthy();
  });

  it("is forgotten when a later one takes its place, and its root with the root", () => {
    enterRoot(rootOf(1, configWith()));
    noteStream(10, 1);
    noteStream(10 + 8192, 1);
    expect(rootOfStream(10) == null).toBeTruthy();
    expect(rootOfStream(10 + 8192) != null).toBeTruthy();
    noteStream(0xffffffff, 1);
    expect(rootOfStream(0xffffffff) != null).toBeTruthy();
    noteStream(20, 7);
    expect(rootOfStream(20) == null).toBeTruthy();
  });

  it("keeps its root among 8192 that are open at once", () => {
    enterRoot(rootOf(1, configWith()));
    for (let context: u32 = 100; context < 100 + 8192; context++) noteStream(context, 1);
    let known = 0;
    for (let context: u32 = 100; context < 100 + 8192; context++) if (rootOfStream(context) != null) known++;
    expect(known).toBe(8192);
  });
});
