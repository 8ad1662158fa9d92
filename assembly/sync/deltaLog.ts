/** The log of a generation in shared data: delta frames in chunks. */
import { CREATE, OK, cas, getShared, setShared, value, valueBytes } from "../abi/host";
import { mark, release, scratch } from "../abi/memory";
import { SharedState } from "../gateway/sharedState";

/** A chunk is written anew with each frame that is added, and read anew by each worker: it stays small. */
const CHUNK_BYTES: u32 = 64 << 10;

/** Adds a delta frame; counts it in the head, which the leader writes afterwards. False: somebody else writes too, or no room. */
export function appendLog(state: SharedState, frame: usize, bytes: u32): bool {
  const head = state.head;
  let index = head.chunks == 0 ? 0 : head.chunks - 1;
  const room = mark();
  let n = state.chunkName(head.generation, index);
  let there = getShared(n.start, n.bytes);
  // What a new log's first chunk holds is of an older generation.
  let before: u32 = there && head.chunks > 0 ? valueBytes() : 0;
  if (head.chunks > 0 && (!there || before + bytes > CHUNK_BYTES)) {
    if (!there) return false;
    release(room);
    index++;
    n = state.chunkName(head.generation, index);
    there = getShared(n.start, n.bytes);
    before = 0;
  }
  const expected = there ? cas() : CREATE;
  let at = frame;
  if (before > 0) {
    const from = value();
    at = scratch(before + bytes);
    if (at == 0) return false;
    memory.copy(at, from, before);
    memory.copy(at + before, frame, bytes);
  } else release(room);
  if (setShared(n.start, n.bytes, at, before + bytes, expected) != OK) return false;
  head.chunks = index + 1;
  head.logBytes += bytes;
  return true;
}
