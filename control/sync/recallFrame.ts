/** The frame that asks a gateway to return what it parks (docs/internals/protocol.md): type 5. */
import { sealFrame, type Stamp } from "./frames.ts";
import { type RecalledCounter, recallsFrame } from "./recallPayload.ts";
import { HEADER_BYTES } from "./wire.ts";

export function recallFrame(stamp: Stamp, counters: readonly RecalledCounter[]): Buffer {
  return sealFrame(recallsFrame(HEADER_BYTES, counters), { ...stamp, type: "recall" });
}
