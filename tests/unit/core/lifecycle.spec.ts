import { beginCallback } from "../../../assembly/abi/memory";
import { CONTINUE, decide } from "../../../assembly/request/decide";
import { answered, configure, serve, tick, woken } from "../../../assembly/lifecycle";
import { AUTH_NONE } from "../../../assembly/wire/enums";
import { Root, allRoots, rootById } from "../../../assembly/plugin/instance";
import { rawBytes } from "../helpers";
import { clock, forget, give, giveHeaders, giveProperty, giveVariable, refuse, startHost, takeCalls } from "./host";
import { ApiSpec, Payload, Writer, manifest, page } from "./wire";

const CONTROL = '{"environment":"default","control":{"cluster":"control","authority":"tollgate"}';
const EPOCH: u64 = 1;

let nowMs: u64 = 0;
/** The stub's tokens of calls go up by one. */
let token: u32 = 0;

function forgetRoots(): void {
  const roots = allRoots();
  for (let i = 0; i < roots.length; i++) refuse("context " + roots[i].id.toString());
  // one that is still there, to tick
  configureWith(999, "");
  advance(2000);
  tick(999);
  refuse("context 999");
  advance(2000);
  tick(999);
  expect(allRoots().length).toBe(0);
}

function begin(): void {
  startHost();
  forgetRoots();
  startHost();
  advance(10_000);
  giveProperty("plugin_name", "tollgate");
  giveProperty("plugin_root_id", "tollgate");
  giveVariable("OTHER=x");
  giveVariable("TOLLGATE_GATEWAY_TOKEN=tgg_token");
  giveVariable("TOLLGATE_GATEWAY_TOKEN_2=tgg_other");
}

function advance(ms: u64): void {
  nowMs += ms;
  clock(1_000_000 + nowMs, nowMs);
}

function configureWith(id: u32, json: string): bool {
  beginCallback();
  const bytes = rawBytes(json);
  give("configuration", changetype<usize>(bytes), bytes.length);
  return configure(id, bytes.length);
}

function tickOf(id: u32): string {
  beginCallback();
  forget();
  tick(id);
  return note(takeCalls());
}

function note(calls: string): string {
  token += calls.split("call control ").length - 1;
  return calls;
}

function answer(id: u32, status: string, body: Writer): string {
  beginCallback();
  forget();
  const text = rawBytes(status);
  give("response :status", changetype<usize>(text), text.length);
  give("response body", body.start, body.bytes);
  answered(id, token, 1, body.bytes);
  return note(takeCalls());
}

function openApi(): Payload {
  const api = new ApiSpec(1);
  api.mode = AUTH_NONE;
  return new Payload().api(api);
}

function manifestFrame(): Writer {
  return manifest(new Writer(), EPOCH, 1, 1, 0, 0, 0, 1, 0, 100);
}

function pageFrame(): Writer {
  return page(new Writer(), EPOCH, 1, 0, 1, openApi());
}

function base64(bytes: Writer): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  let text = "";
  for (let at = bytes.start; at < bytes.at; at += 3) {
    const left = bytes.at - at;
    const three =
      ((<u32>load<u8>(at)) << 16) |
      (left > 1 ? (<u32>load<u8>(at, 1)) << 8 : 0) |
      (left > 2 ? <u32>load<u8>(at, 2) : 0);
    text +=
      digits.charAt(three >> 18) +
      digits.charAt((three >> 12) & 63) +
      (left > 1 ? digits.charAt((three >> 6) & 63) : "=") +
      (left > 2 ? digits.charAt(three & 63) : "=");
  }
  return text;
}

/** What a stream of a root is answered with. */
function request(root: Root, context: u32 = 7): i32 {
  beginCallback();
  giveHeaders("headers", [":method", "GET", ":path", "/", ":authority", "h"]);
  serve(root);
  return decide(root, context, true, 0);
}

/** Configures a root with control and brings the snapshot to it. */
function loaded(id: u32): Root {
  expect(configureWith(id, CONTROL + "}")).toBeTruthy();
  const root = rootById(id)!;
  request(root);
  tickOf(id);
  answer(id, "200", manifestFrame());
  answer(id, "200", pageFrame());
  expect(root.table != null).toBeTruthy();
  return root;
}

describe("a configuration", () => {
  beforeEach(begin);

  it("that is empty makes a root that refuses, and ticks", () => {
    expect(configureWith(1, "")).toBeTruthy();
    expect(takeCalls()).toBe("tick 10");
    expect(rootById(1)!.config.empty).toBeTruthy();
    expect(tickOf(1).startsWith("tick 200")).toBeTruthy();
  });

  it("that is refused says why, and leaves what is there", () => {
    configureWith(1, "");
    forget();
    expect(configureWith(2, '{"environmental":"x"}')).toBeFalsy();
    expect(takeCalls().includes('log 4 tollgate: configuration refused: unknown field "environmental"')).toBeTruthy();
    expect(rootById(2) == null).toBeTruthy();
    expect(rootById(1) != null).toBeTruthy();
  });

  it("that can't be read is refused", () => {
    expect(configure(1, 0xffffffff)).toBeFalsy();
  });

  it("needs the gateway token where it says", () => {
    expect(configureWith(1, CONTROL + "}")).toBeTruthy();
    expect(
      configureWith(
        2,
        '{"environment":"default","control":{"cluster":"control","authority":"tollgate","tokenEnv":"TOLLGATE"}}',
      ),
    ).toBeFalsy();
    expect(takeCalls().includes("control.tokenEnv: the VM's environment has no such variable")).toBeTruthy();
  });

  it("may hold a snapshot", () => {
    const bytes = manifestFrame();
    const one = pageFrame();
    bytes.raw(one.start, one.bytes);
    expect(configureWith(1, '{"environment":"default","snapshot":"' + base64(bytes) + '"}')).toBeTruthy();
    expect(request(rootById(1)!)).toBe(CONTINUE);
    bytes.u8(0);
    forget();
    expect(configureWith(2, '{"environment":"default","snapshot":"' + base64(bytes) + '"}')).toBeFalsy();
    expect(takeCalls().includes("snapshot: not a snapshot, or a damaged one: compile it again")).toBeTruthy();
  });
});

describe("a root with control", () => {
  beforeEach(begin);

  it("makes no call before its first tick, for it may be a trial", () => {
    configureWith(1, CONTROL + "}");
    expect(takeCalls().includes("call")).toBeFalsy();
    expect(tickOf(1).includes("call control 5000\n")).toBeTruthy();
  });

  it("lets a request that waits go on in the callback that brings the snapshot", () => {
    configureWith(1, CONTROL + "}");
    expect(request(rootById(1)!, 7)).not.toBe(CONTINUE);
    tickOf(1);
    answer(1, "200", manifestFrame());
    const calls = answer(1, "200", pageFrame());
    expect(calls.includes("\ncontext 7\ncontinue\n") && calls.endsWith("context 1")).toBeTruthy(calls);
    expect(request(rootById(1)!)).toBe(CONTINUE);
  });

  it("ticks quickly while something loads, then slowly", () => {
    const root = loaded(1);
    expect(tickOf(1).includes("tick 200")).toBeTruthy();
    expect(root.tickMs).toBe(200);
    expect(tickOf(1).includes("tick")).toBeFalsy("only when it changes");
  });

  it("shows gauges once a second", () => {
    loaded(1);
    advance(3000);
    const calls = tickOf(1);
    expect(calls.includes("gauge tollgate.default.snapshot_version = 1\n")).toBeTruthy(calls);
    expect(calls.includes("gauge tollgate.default.snapshot_age_seconds = 3\n")).toBeTruthy(calls);
    expect(calls.includes("gauge tollgate.default.keys = 0\n")).toBeTruthy(calls);
    advance(500);
    expect(tickOf(1).includes("gauge")).toBeFalsy();
  });

  it("believes nothing that is older than it may be", () => {
    expect(configureWith(1, CONTROL + ',"maxSnapshotAgeSeconds":60}')).toBeTruthy();
    const root = rootById(1)!;
    request(root);
    tickOf(1);
    answer(1, "200", manifestFrame());
    answer(1, "200", pageFrame());
    advance(60_999);
    tickOf(1);
    expect(root.table != null).toBeTruthy();
    advance(1);
    tickOf(1);
    expect(root.table == null).toBeTruthy();
  });

  it("shares its table with roots of the same control, not of another", () => {
    const one = loaded(1);
    expect(configureWith(2, CONTROL + ',"mode":"observe"}')).toBeTruthy();
    expect(rootById(2)!.table == one.table).toBeTruthy();
    expect(one.superseded).toBeFalsy();
    const others: StaticArray<string> = [
      '{"environment":"staging","control":{"cluster":"control","authority":"tollgate"}}',
      '{"environment":"default","control":{"cluster":"control-2","authority":"tollgate"}}',
      '{"environment":"default","control":{"cluster":"control","authority":"tollgate-2"}}',
      '{"environment":"default","control":{"cluster":"control","authority":"tollgate","tokenEnv":"TOLLGATE_GATEWAY_TOKEN_2"}}',
    ];
    for (let i = 0; i < others.length; i++) {
      expect(configureWith(3 + i, others[i])).toBeTruthy();
      expect(rootById(3 + i)!.runtime != one.runtime).toBeTruthy();
      expect(rootById(3 + i)!.table == null).toBeTruthy();
    }
  });

  it("of several with one control the newest makes the calls, as long as it ticks", () => {
    const one = loaded(1);
    configureWith(2, CONTROL + ',"mode":"observe"}');
    tickOf(2);
    expect(one.runtime!.owner).toBe(2);
    advance(999);
    tickOf(1);
    expect(one.runtime!.owner).toBe(2);
    advance(1);
    tickOf(1);
    expect(one.runtime!.owner).toBe(1);
  });

  it("is superseded by one of the same plugin with another control, and gives the lead up", () => {
    const one = loaded(1);
    configureWith(2, '{"environment":"staging","control":{"cluster":"control","authority":"tollgate"}}');
    expect(one.superseded).toBeTruthy();
    expect(one.table != null).toBeTruthy("its streams go on");
    expect(tickOf(1).includes("call")).toBeFalsy();
    expect(one.runtime!.owner).toBe(0);
    giveProperty("plugin_name", "another");
    const two = rootById(2)!;
    configureWith(3, CONTROL + "}");
    expect(two.superseded).toBeFalsy("another plugin's");
  });

  it("that was superseded long ago believes its table again only when control has answered", () => {
    const one = loaded(1);
    configureWith(2, '{"environment":"staging","control":{"cluster":"control","authority":"tollgate"}}');
    tickOf(1);
    advance(120_000);
    expect(request(one)).not.toBe(CONTINUE);
    expect(one.table == null).toBeTruthy();
    expect(tickOf(1).includes("call control")).toBeTruthy("it watches again");
  });

  it("that is gone takes its runtime with it", () => {
    loaded(1);
    configureWith(2, "");
    refuse("context 1");
    advance(2000);
    tickOf(2);
    expect(rootById(1) == null).toBeTruthy();
    expect(answer(1, "200", manifestFrame())).toBe("", "nobody waits for the answer");
    configureWith(3, CONTROL + "}");
    expect(rootById(3)!.table == null).toBeTruthy();
  });

  it("is woken by its queue, and by no other", () => {
    const root = loaded(1);
    forget();
    beginCallback();
    woken(1, root.runtime!.state.queue);
    expect(takeCalls().startsWith("context 1")).toBeTruthy();
    woken(1, 12345);
    expect(takeCalls()).toBe("");
  });
});
