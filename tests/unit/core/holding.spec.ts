import "../../../assembly/request/decide";
import { beginCallback } from "../../../assembly/abi/memory";
import { anyHeld, hold, resume } from "../../../assembly/request/snapshotWaiters";
import { AUTH_NONE } from "../../../assembly/wire/enums";
import { Root, allRoots, dropGone, enterRoot } from "../../../assembly/plugin/instance";
import { Runtime } from "../../../assembly/plugin/runtime";
import { configWith } from "./configs";
import { clock, forget, giveHeaders, refuse, startHost, takeCalls } from "./host";
import { runtimeOf, rootOf, tableOf } from "./tables";
import { ApiSpec, Payload } from "./wire";

const MS: u64 = 1_000_000;
let runtime: Runtime = runtimeOf();
let root: Root = rootOf(1, configWith());

function nowNs(ms: u64): u64 {
  return ms * MS;
}

/** A root that holds for 2 s at most this many requests. */
function begin(requests: u32 = 4): void {
  startHost();
  clock(0, 1000);
  // whatever an earlier test left in the ring
  allRoots().length = 0;
  while (resume(u64.MAX_VALUE)) {}
  startHost();
  clock(0, 1000);
  runtime = runtimeOf();
  root = rootOf(1, configWith(`,"maxSnapshotWaiters":${requests}`), runtime);
  enterRoot(root);
  giveHeaders("headers", [":method", "GET", ":path", "/", ":authority", "a.example.com"]);
  beginCallback();
  expect(anyHeld()).toBeFalsy();
  forget();
}

function load(): void {
  const api = new ApiSpec(1);
  api.mode = AUTH_NONE;
  runtime.state.table = tableOf(new Payload().api(api));
}

function went(first: u32, last: u32): string {
  let text = "";
  for (let context = first; context <= last; context++)
    text += (context > first ? "\n" : "") + `context ${context}\ncontinue`;
  return text;
}

describe("a request", () => {
  beforeEach(() => {
    begin();
  });

  it("is held for a table that is still to come, and goes on with it", () => {
    expect(hold(root, 7)).toBeTruthy();
    expect(anyHeld()).toBeTruthy();
    expect(resume(nowNs(1500))).toBeFalsy();
    expect(takeCalls()).toBe("");
    expect(anyHeld()).toBeTruthy();
    load();
    expect(resume(nowNs(1600))).toBeFalsy();
    expect(takeCalls()).toBe("context 7\ncontinue");
    expect(anyHeld()).toBeFalsy();
    expect(root.held).toBe(0);
  });

  it("is refused when its time is up", () => {
    hold(root, 7);
    resume(nowNs(2999));
    expect(takeCalls()).toBe("");
    resume(nowNs(3000));
    expect(takeCalls().startsWith("context 7\nanswer 503 tollgate_not_ready")).toBeTruthy();
    expect(root.held).toBe(0);
  });

  it("that is gone meanwhile is left alone", () => {
    hold(root, 7);
    hold(root, 8);
    refuse("context 7");
    load();
    resume(nowNs(1100));
    expect(takeCalls()).toBe("context 8\ncontinue");
    expect(anyHeld()).toBeFalsy();
  });

  it("whose root is gone meanwhile is left alone", () => {
    const other = rootOf(2, configWith(), runtime);
    enterRoot(other);
    hold(root, 7);
    hold(other, 8);
    refuse("context 1");
    dropGone();
    forget();
    load();
    resume(nowNs(1100));
    expect(takeCalls()).toBe("context 8\ncontinue");
    expect(anyHeld()).toBeFalsy();
  });

  it("of a root that was configured again is decided by the new one", () => {
    hold(root, 7);
    hold(root, 8);
    const again = rootOf(1, configWith(',"maxSnapshotWaiters":3'), runtime);
    enterRoot(again);
    expect(hold(again, 9)).toBeTruthy();
    expect(hold(again, 10)).toBeFalsy("two of three places are the old root's");
    load();
    resume(nowNs(1100));
    expect(takeCalls()).toBe(went(7, 9));
    expect(again.held).toBe(0);
    runtime.state.table = null;
    expect(hold(again, 11)).toBeTruthy();
  });
});

describe("no request is held", () => {
  beforeEach(() => {
    begin();
  });

  it("where nothing is loaded from control", () => {
    expect(hold(rootOf(1, configWith()), 7)).toBeFalsy();
  });

  it("where the configuration says so", () => {
    expect(hold(rootOf(1, configWith(',"snapshotWaitTimeoutMs":0'), runtime), 7)).toBeFalsy();
    expect(hold(rootOf(1, configWith(',"maxSnapshotWaiters":0'), runtime), 7)).toBeFalsy();
  });

  it("for a snapshot that is too old", () => {
    root.stale = true;
    expect(hold(root, 7)).toBeFalsy();
  });

  it("beyond the number that the configuration gives", () => {
    for (let context: u32 = 1; context <= 4; context++) expect(hold(root, context)).toBeTruthy();
    expect(hold(root, 5)).toBeFalsy();
    expect(root.held).toBe(4);
    load();
    resume(nowNs(1100));
    runtime.state.table = null;
    expect(hold(root, 6)).toBeTruthy();
  });

  it("when the first load has taken its time already", () => {
    expect(hold(root, 7)).toBeTruthy();
    clock(0, 3000);
    expect(hold(root, 8)).toBeTruthy();
    clock(0, 3001);
    expect(hold(root, 9)).toBeFalsy("2 s after the first one");
    runtime.state.head.generation = 1;
    expect(hold(root, 10)).toBeTruthy("a snapshot is on its way");
  });
});

describe("many requests", () => {
  it("go on in the order in which they came, 128 at a time", () => {
    begin(1000);
    for (let context: u32 = 1; context <= 300; context++) expect(hold(root, context)).toBeTruthy();
    load();
    expect(resume(nowNs(1100))).toBeTruthy();
    expect(takeCalls()).toBe(went(1, 128));
    expect(resume(nowNs(1100))).toBeTruthy();
    expect(takeCalls()).toBe(went(129, 256));
    expect(resume(nowNs(1100))).toBeFalsy();
    expect(takeCalls()).toBe(went(257, 300));
    expect(root.held).toBe(0);
  });

  it("that are not due keep their order while others go", () => {
    begin();
    const late = rootOf(2, configWith(',"maxSnapshotWaiters":100'), runtimeOf(2));
    enterRoot(late);
    hold(root, 1);
    hold(late, 2);
    hold(root, 3);
    hold(late, 4);
    load();
    expect(resume(nowNs(1100))).toBeFalsy();
    expect(takeCalls()).toBe("context 1\ncontinue\ncontext 3\ncontinue");
    hold(late, 5);
    const table = runtime.state.table;
    late.runtime!.state.table = table;
    resume(nowNs(1200));
    expect(takeCalls()).toBe("context 2\ncontinue\ncontext 4\ncontinue\ncontext 5\ncontinue");
  });

  it("may be 8192 in all, over and over", () => {
    begin(8192);
    const other = rootOf(2, configWith(',"maxSnapshotWaiters":8192'), runtime);
    enterRoot(other);
    for (let turn: u32 = 0; turn < 2; turn++) {
      let kept = 0;
      for (let context: u32 = 0; context < 8000; context++) if (hold(root, context)) kept++;
      for (let context: u32 = 0; context < 192; context++) if (hold(other, context)) kept++;
      expect(kept).toBe(8192);
      expect(hold(other, 1)).toBeFalsy();
      resume(nowNs(1100));
      expect(anyHeld()).toBeTruthy();
      load();
      let turns = 1;
      while (resume(nowNs(1200))) turns++;
      expect(turns).toBe(64);
      expect(anyHeld()).toBeFalsy();
      expect(root.held + other.held).toBe(0);
      runtime.state.table = null;
      forget();
    }
  });

  it("whose time is up are all refused at once", () => {
    begin(1000);
    for (let context: u32 = 1; context <= 300; context++) hold(root, context);
    while (resume(nowNs(3000))) {}
    expect(takeCalls().split("tollgate_not_ready").length).toBe(301);
    expect(root.held).toBe(0);
  });
});
