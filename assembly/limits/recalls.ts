/** Heeds recalls: gives back what counters hold here that others in need want. */
import { mark, release } from "../abi/memory";
import { Workers } from "../gateway/workers";
import { SharedState } from "../gateway/sharedState";
import { Counters } from "./counters";
import { recallAt, recallsLost, recallsPosition, recallsSince, recallsWord } from "../gateway/recallRing";

/** Gives back what the counters added to the ring since the last time hold here. When entries were lost, everything goes back. */
export function heedRecalls(state: SharedState, workers: Workers, counters: Counters, now: u64): void {
  const room = mark();
  let touched = false;
  const from = counters.heeded;
  if (recallsSince(state, counters.heededWord, from)) {
    const position = recallsPosition;
    counters.heededWord = recallsWord;
    counters.heeded = position;
    if (recallsLost) touched = counters.returnAll(now);
    else {
      for (let i = from; i < position; i++) {
        const at = recallAt(i);
        if (counters.recall(load<u32>(at), load<u64>(at, 8), load<u64>(at, 16), now)) touched = true;
      }
    }
  }
  release(room);
  // A worker of this Envoy that is starving need not wait for a tick.
  if (touched) workers.survey(now, true);
}
