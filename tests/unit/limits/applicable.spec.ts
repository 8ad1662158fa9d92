import { applicable, findApplicable } from "../../../assembly/snapshot/applicableLimits";
import {
  SUBJECT_API,
  SUBJECT_CONSUMER,
  SUBJECT_CONSUMER_API,
  SUBJECT_IP,
  SUBJECT_KEY,
} from "../../../assembly/wire/enums";
import { limitId } from "../../../assembly/wire/records";
import { startHost } from "../core/host";
import { tableOf } from "../core/tables";
import { Payload, digestOf } from "../core/wire";
import { LimitSpec, putLimit } from "./records";
import { Table } from "../../../assembly/snapshot/table";

const TIER: u32 = 1;
const API: u32 = 2;

function table(limits: LimitSpec[]): Table {
  startHost();
  const payload = new Payload();
  for (let i = 0; i < limits.length; i++) putLimit(payload, limits[i]);
  return tableOf(payload);
}

/** Wire ids of the limits that were found, in their order. */
function found(t: Table, tier: u32, api: u32, route: i32, digest: usize): u32[] {
  const ids: u32[] = [];
  const n = findApplicable(t, tier, api, route, digest);
  for (let i: u32 = 0; i < n; i++) ids.push(limitId(applicable(i)));
  return ids;
}

describe("the limits of a request", () => {
  it("are those of its tier, API, route and key", () => {
    const t = table([
      new LimitSpec(1, "a").ofTier(TIER),
      new LimitSpec(2, "b").ofTier(TIER),
      new LimitSpec(3, "c").ofApi(API),
      new LimitSpec(4, "d").ofRoute(API, 1),
      new LimitSpec(5, "e").ofKey(9),
      new LimitSpec(11, "f").ofTier(7),
      new LimitSpec(12, "g").ofApi(8),
      new LimitSpec(13, "h").ofRoute(API, 0),
      new LimitSpec(14, "i").ofKey(8),
    ]);
    const all = found(t, TIER, API, 1, digestOf(9)).sort((a, b) => <i32>a - <i32>b);
    expect(all).toStrictEqual([1, 2, 3, 4, 5]);
    expect(found(t, TIER, API, -1, 0).sort((a, b) => <i32>a - <i32>b)).toStrictEqual([1, 2, 3]);
    expect(found(t, 99, 99, -1, 0)).toStrictEqual([]);
    t.free();
  });

  it("of one name are one: route before API before tier, and the key's before all", () => {
    const t = table([
      new LimitSpec(1, "m").ofTier(TIER),
      new LimitSpec(2, "m").ofApi(API),
      new LimitSpec(3, "m").ofRoute(API, 0),
      new LimitSpec(4, "m").ofKey(9),
    ]);
    expect(found(t, TIER, 77, -1, 0)).toStrictEqual([1]);
    expect(found(t, TIER, API, -1, 0)).toStrictEqual([2]);
    expect(found(t, TIER, API, 0, 0)).toStrictEqual([3]);
    expect(found(t, TIER, API, 0, digestOf(9))).toStrictEqual([4]);
    expect(found(t, TIER, 77, -1, digestOf(9))).toStrictEqual([4]);
    t.free();
  });

  it("of names of which one begins with the other are two", () => {
    const t = table([
      new LimitSpec(1, "minute").ofTier(TIER),
      new LimitSpec(2, "minutes").ofApi(API),
      new LimitSpec(3, "minut").ofRoute(API, 0),
    ]);
    expect(found(t, TIER, API, 0, 0).sort((a, b) => <i32>a - <i32>b)).toStrictEqual([1, 2, 3]);
    t.free();
  });

  it("without a caller are those that count APIs and addresses", () => {
    const t = table([
      new LimitSpec(1, "a").ofApi(API).counting(SUBJECT_KEY),
      new LimitSpec(2, "b").ofApi(API).counting(SUBJECT_CONSUMER),
      new LimitSpec(3, "c").ofApi(API).counting(SUBJECT_API),
      new LimitSpec(4, "d").ofRoute(API, 0).counting(SUBJECT_CONSUMER_API),
      new LimitSpec(5, "e").ofRoute(API, 0).counting(SUBJECT_IP),
      new LimitSpec(6, "f").ofTier(TIER).counting(SUBJECT_IP),
    ]);
    expect(found(t, 0, API, 0, 0).sort((a, b) => <i32>a - <i32>b)).toStrictEqual([3, 5]);
    t.free();
  });

  it("follow what deltas change", () => {
    const t = table([new LimitSpec(1, "a").ofTier(TIER), new LimitSpec(2, "b").ofTier(TIER)]);
    const payload = new Payload();
    putLimit(payload, new LimitSpec(1, "a").ofTier(7));
    payload.remove(6, 2);
    t.apply(payload.start, payload.end);
    expect(found(t, TIER, API, -1, 0)).toStrictEqual([]);
    expect(found(t, 7, API, -1, 0)).toStrictEqual([1]);
    t.free();
  });

  it("are none where there are none at all", () => {
    const t = table([]);
    expect(findApplicable(t, TIER, API, 0, digestOf(1))).toBe(0);
    t.free();
  });

  it("are all found up to 32 of each owner", () => {
    const limits: LimitSpec[] = [];
    for (let i: u32 = 0; i < 32; i++) {
      limits.push(new LimitSpec(100 + i, "t" + i.toString()).ofTier(TIER));
      limits.push(new LimitSpec(200 + i, "a" + i.toString()).ofApi(API));
      limits.push(new LimitSpec(300 + i, "r" + i.toString()).ofRoute(API, 0));
      limits.push(new LimitSpec(400 + i, "k" + i.toString()).ofKey(9));
    }
    const t = table(limits);
    expect(findApplicable(t, TIER, API, 0, digestOf(9))).toBe(128);
    t.free();
  });
});
