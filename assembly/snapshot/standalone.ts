/** A snapshot from the plugin's configuration: a manifest and its pages, loaded at once. */
import {
  FRAME_BROKEN,
  FRAME_GOOD,
  FRAME_HEAD_BYTES,
  FRAME_NEWER,
  checkFrame,
  frameBytes,
  frameEpoch,
  frameType,
  frameVersion,
  manifestOf,
  pageCount,
  pageIndex,
} from "../wire/frame";
import { FRAME_MANIFEST, FRAME_PAGE } from "../wire/enums";
import { NAMES_ALL } from "./callerNames";
import { APPLIED, APPLY_MORE, RECORDS_GOOD, RECORDS_NEWER, Table, applyCursor, checkRecords } from "./table";

let lastError: string = "";

/** Why the last `loadStandalone` gave null. */
export function standaloneError(): string {
  return lastError;
}

/** The table of a compiled snapshot, or null. */
export function loadStandalone(snapshot: StaticArray<u8>): Table | null {
  const table = new Table();
  lastError = load(table, changetype<usize>(snapshot), snapshot.length);
  if (lastError.length == 0) return table;
  table.free();
  return null;
}

function frameError(state: i32): string {
  return state == FRAME_NEWER
    ? "of a newer format: upgrade the plugin, or compile it with this version"
    : "not a snapshot, or a damaged one: compile it again";
}

function load(table: Table, at: usize, bytes: u32): string {
  const end = at + bytes;
  let state = checkFrame(at, bytes);
  if (state != FRAME_GOOD || frameType(at) != FRAME_MANIFEST) return frameError(state);
  const manifest = at;
  if (manifestOf(manifest).pageCount > bytes || !table.reserve(manifestOf(manifest), 0, NAMES_ALL))
    return "no memory for it";
  while (!table.clear()) {}
  table.epoch = frameEpoch(manifest);
  table.version = frameVersion(manifest);
  at += frameBytes(at);
  const pages = manifestOf(manifest).pageCount;
  for (let page: u32 = 0; page < pages; page++) {
    state = checkFrame(at, <u32>(end - at));
    if (
      state != FRAME_GOOD ||
      frameType(at) != FRAME_PAGE ||
      pageIndex(at) != page ||
      pageCount(at) != pages ||
      frameEpoch(at) != table.epoch ||
      frameVersion(at) != table.version
    )
      return frameError(state);
    const size = frameBytes(at) - FRAME_HEAD_BYTES;
    const records = checkRecords(at + FRAME_HEAD_BYTES, at + FRAME_HEAD_BYTES + size, false);
    if (records != RECORDS_GOOD) return frameError(records == RECORDS_NEWER ? FRAME_NEWER : FRAME_BROKEN);
    const region: usize = size == 0 ? 0 : table.region(size);
    if (region != 0) {
      memory.copy(region, at + FRAME_HEAD_BYTES, size);
      let from: usize = region;
      let result = APPLY_MORE;
      while (result == APPLY_MORE) {
        result = table.apply(from, region + size);
        from = applyCursor;
      }
      if (result != APPLIED) return "its manifest counts less than its pages hold: compile it again";
    }
    at += FRAME_HEAD_BYTES + size;
  }
  if (at != end) return frameError(FRAME_BROKEN);
  return table.refreshRouter() ? "" : "no memory for it";
}
