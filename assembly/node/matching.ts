/**
 * The matching of hosts, paths and methods by itself, for Node (`build/matching.wasm`, loaded by tools/matching.ts): the same code as
 * in the filter, fed with the same API records. No imports. One instance serves one set of APIs.
 */
import "../abi/abort";
import { beginCallback } from "../abi/memory";
import { findPlace, readTarget } from "../snapshot/matching";
import { IdIndex } from "../snapshot/recordIndex";
import { API } from "../wire/enums";
import { readRecord, recordBody, recordEnd, recordType } from "../wire/recordHead";
import { validRecord } from "../wire/validate";
import { API_FOUND, Router, matchedApi, matchedRoute, matchedRouteIndex } from "../snapshot/router";

const apis = new IdIndex();
const router = new Router();
/** What the last `match` found: u32 wire id of the API, i32 index of the route or -1. */
const found = memory.data(8, 4);

/** Room of so many bytes that stays. */
export function room(bytes: u32): usize {
  return heap.alloc(bytes);
}

/** Makes room for so many APIs. */
export function reserve(count: u32): bool {
  if (!apis.reserve(count)) return false;
  while (!apis.clear()) {}
  return true;
}

/** Enters the API records between two addresses, which must stay there. False when one isn't valid. */
export function add(at: usize, end: usize): bool {
  while (at < end) {
    if (!readRecord(at, end) || recordType != API || !validRecord(API, recordBody, recordEnd) || !apis.put(recordBody))
      return false;
    at = recordEnd;
  }
  return true;
}

/** Call once, when all APIs are there. */
export function build(): bool {
  return router.build(apis);
}

/** Where `match` leaves what it found. */
export function result(): usize {
  return found;
}

/** Host, target (path and query) and method, one behind the other at `at`. Returns what `findPlace` does; `result` holds the API and its route. */
export function match(at: usize, hostBytes: u32, targetBytes: u32, methodBytes: u32, anyCase: bool): u32 {
  beginCallback();
  readTarget(router, anyCase, at, hostBytes, at + hostBytes, targetBytes);
  const place = findPlace(at + hostBytes + targetBytes, methodBytes);
  if (place == API_FOUND) {
    store<u32>(found, load<u32>(matchedApi));
    store<i32>(found, matchedRoute == 0 ? -1 : <i32>matchedRouteIndex, 4);
  }
  return place;
}
