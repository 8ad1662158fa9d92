import { Runtime } from "../../../assembly/plugin/runtime";
import { PERIOD_DAY, SUBJECT_API } from "../../../assembly/wire/enums";
import { TAKEN, VIOLATED, takeLimits } from "../../../assembly/request/consumeLimits";
import {
  LEGACY_ENVOY,
  LEGACY_OFF,
  LEGACY_TYK,
  addNoted,
  noteHeaders,
} from "../../../assembly/request/rateLimitHeaders";
import { findSlot, freeSlot } from "../../../assembly/request/streamSlots";
import { Table } from "../../../assembly/snapshot/table";
import { clock, startHost, takeCalls } from "../core/host";
import { runtimeOf, tableOf } from "../core/tables";
import { Payload } from "../core/wire";
import { LimitSpec, putLimit } from "./records";

const SHADOW: u32 = 2;
/** 20 s into a minute, 12:34 of a day. */
const NOW_MS: u64 = 1_773_146_060_000;
let runtime: Runtime = runtimeOf();
let table: Table = new Table();

/** An Envoy that counts by itself, with these limits of API 2. */
function begin(limits: LimitSpec[]): void {
  startHost();
  clock(NOW_MS, 1_000_000);
  const payload = new Payload();
  for (let i = 0; i < limits.length; i++) putLimit(payload, limits[i].ofApi(2).counting(SUBJECT_API));
  table = tableOf(payload);
  runtime = runtimeOf(<u64>limits.length + 77);
  runtime.counters.slab.most = 1024;
  runtime.counters.prepare();
}

function take(price: u32): u32 {
  return takeLimits(runtime.counters, table, true, 0, 0, 2, -1, 0, 0, false, price, false, false);
}

/** What a response gets of the headers noted for it. */
function added(context: u32): string {
  takeCalls();
  const slot = findSlot(context);
  if (slot != 0) {
    addNoted(slot);
    freeSlot(slot);
  }
  return takeCalls();
}

function end(): void {
  runtime.counters.slab.clear();
  table.free();
}

describe("what is noted for a response", () => {
  it("is a policy for each limit, and what is left of it", () => {
    begin([new LimitSpec(1, "minute").amount(60), new LimitSpec(2, "day").amount(1000).each(PERIOD_DAY)]);
    expect(take(1)).toBe(TAKEN);
    noteHeaders(5, true, LEGACY_OFF);
    expect(added(5)).toBe(
      'trailers add ratelimit-policy: "minute";q=60;w=60, "day";q=1000;w=86400\n' +
        'trailers add ratelimit: "minute";r=59;t=40, "day";r=999;t=41140',
    );
    end();
  });

  it("tells the number of every size right", () => {
    const amounts: u64[] = [1, 9, 10, 99, 100, 1_000_000, 4_294_967_295, 4_294_967_296, 9_007_199_254_740_991];
    for (let i = 0; i < amounts.length; i++) {
      begin([new LimitSpec(1, "n").amount(amounts[i])]);
      take(1);
      noteHeaders(5, true, LEGACY_OFF);
      const left = (amounts[i] - 1).toString();
      expect(added(5)).toBe(
        'trailers add ratelimit-policy: "n";q=' +
          amounts[i].toString() +
          ';w=60\ntrailers add ratelimit: "n";r=' +
          left +
          ";t=40",
      );
      end();
    }
  });

  it("is nothing left of what is violated", () => {
    begin([new LimitSpec(1, "a").amount(2), new LimitSpec(2, "b").amount(9)]);
    take(2);
    expect(take(1)).toBe(VIOLATED);
    noteHeaders(6, true, LEGACY_OFF);
    expect(added(6)).toBe(
      'trailers add ratelimit-policy: "a";q=2;w=60, "b";q=9;w=60\ntrailers add ratelimit: "a";r=0;t=40, "b";r=7;t=40',
    );
    end();
  });

  it("is only for the stream that it was noted for, once, whatever others of its slot are under way", () => {
    begin([new LimitSpec(1, "a")]);
    take(1);
    noteHeaders(7, true, LEGACY_OFF);
    expect(added(8)).toBe("");
    expect(added(7 + 128)).toBe("");
    expect(added(7 + 8192)).toBe("");
    noteHeaders(7 + 128, true, LEGACY_OFF);
    noteHeaders(7 + 256, true, LEGACY_OFF);
    expect(added(7 + 128).length > 0).toBeTruthy();
    expect(added(7).length > 0).toBeTruthy();
    expect(added(7)).toBe("");
    noteHeaders(7 + 384, true, LEGACY_OFF);
    expect(added(7 + 256).length > 0).toBeTruthy();
    expect(added(7 + 384).length > 0).toBeTruthy();
    end();
  });

  it("makes room once the ring has come round, for those that never got a response", () => {
    begin([new LimitSpec(1, "a")]);
    take(1);
    noteHeaders(7, true, LEGACY_OFF);
    noteHeaders(7 + 128, true, LEGACY_OFF);
    noteHeaders(7 + 8192, true, LEGACY_OFF);
    expect(added(7)).toBe("");
    expect(added(7 + 8192).length > 0).toBeTruthy();
    noteHeaders(7 + 8192 + 128, true, LEGACY_OFF);
    expect(added(7 + 8192 + 128).length > 0).toBeTruthy();
    end();
  });

  it("leaves out limits that only watch", () => {
    begin([new LimitSpec(1, "a"), new LimitSpec(2, "b").flagged(SHADOW)]);
    take(1);
    noteHeaders(5, true, LEGACY_OFF);
    expect(added(5)).toBe('trailers add ratelimit-policy: "a";q=10;w=60\ntrailers add ratelimit: "a";r=9;t=40');
    end();
  });

  it("is nothing where everything is off, and the older headers alone where only these are on", () => {
    begin([new LimitSpec(1, "a"), new LimitSpec(2, "b").amount(5).every(3600)]);
    take(1);
    noteHeaders(5, false, LEGACY_OFF);
    expect(added(5)).toBe("");
    noteHeaders(5, false, LEGACY_ENVOY);
    expect(added(5)).toBe(
      "replace x-ratelimit-limit: 5\nreplace x-ratelimit-remaining: 4\nreplace x-ratelimit-reset: 1540",
    );
    noteHeaders(5, false, LEGACY_TYK);
    expect(added(5)).toBe(
      "replace x-ratelimit-limit: 5\nreplace x-ratelimit-remaining: 4\nreplace x-ratelimit-reset: 1773147600",
    );
    end();
  });

  it("stays within its slot, however many and long the limits are", () => {
    const limits: LimitSpec[] = [];
    const long = "n".repeat(60);
    for (let i: u32 = 0; i < 32; i++)
      limits.push(new LimitSpec(i + 1, (i < 10 ? "0" : "") + i.toString() + "-" + long).amount(9_007_199_254_740_991));
    begin(limits);
    noteHeaders(4, false, LEGACY_OFF);
    take(1);
    noteHeaders(4, false, LEGACY_ENVOY);
    const before = added(4);
    noteHeaders(4, false, LEGACY_ENVOY);
    noteHeaders(3, true, LEGACY_ENVOY);
    noteHeaders(5, true, LEGACY_ENVOY);
    expect(added(4)).toBe(before);
    const lines = added(5).split("\n");
    expect(lines.length).toBe(5);
    expect(lines[0].split(", ").length).toBe(lines[1].split(", ").length);
    end();
  });
});
