import { Config } from "../../../assembly/config/parse";
import { Manifest } from "../../../assembly/wire/frame";
import { Runtime } from "../../../assembly/plugin/runtime";
import { SharedState } from "../../../assembly/gateway/sharedState";
import { Root } from "../../../assembly/plugin/instance";
import { APPLIED, APPLY_MORE, RECORDS_GOOD, Table, applyCursor, checkRecords } from "../../../assembly/snapshot/table";
import { Meter } from "../../../assembly/telemetry";
import { ascii } from "../../../assembly/lib/text";
import { Payload } from "./wire";

/** A table that holds the records, its router built. */
export function tableOf(payload: Payload): Table {
  const counts = changetype<Manifest>(heap.alloc(40));
  memory.fill(changetype<usize>(counts), 0, 40);
  counts.keyCount = 64;
  const table = new Table();
  expect(table.reserve(counts, 64)).toBeTruthy();
  heap.free(changetype<usize>(counts));
  while (!table.clear()) {}
  expect(checkRecords(payload.start, payload.end, true)).toBe(RECORDS_GOOD);
  let at = payload.start;
  let result = APPLY_MORE;
  while (result == APPLY_MORE) {
    result = table.apply(at, payload.end);
    at = applyCursor;
  }
  expect(result).toBe(APPLIED);
  expect(table.refreshRouter()).toBeTruthy();
  return table;
}

export function rootOf(id: u32, config: Config, runtime: Runtime | null = null, standalone: Table | null = null): Root {
  const root = new Root(id, 1, config, new Meter(config.environment));
  root.runtime = runtime;
  root.standalone = standalone;
  return root;
}

/** A runtime of the environment `default`, whose hash is in all its names. */
export function runtimeOf(hash: u64 = 0xfeed): Runtime {
  return new Runtime(
    new SharedState(
      hash,
      ascii("default"),
      ascii("control"),
      ascii("tollgate-control"),
      ascii("tgg_token"),
      5000,
      25000,
      new Meter(ascii("default")),
    ),
  );
}
