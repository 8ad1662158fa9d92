/** The frame that asks a gateway to return what it parks (docs/wire.md): type 5. */
import type { Recall } from "../counters/model.ts";
import { sealFrame, type Stamp } from "./frames.ts";
import { writeAmount } from "./leaseFrames.ts";
import { HEADER_BYTES } from "./wire.ts";

const COUNT_BYTES = 8;
const ENTRY_BYTES = 28;

export function recallFrame(stamp: Stamp, recalls: readonly Recall[]): Buffer {
  const frame = Buffer.alloc(HEADER_BYTES + COUNT_BYTES + recalls.length * ENTRY_BYTES);
  frame.writeUInt32LE(recalls.length, HEADER_BYTES);
  recalls.forEach(({ wireId, subject, windowStartMs }, index) => {
    const at = HEADER_BYTES + COUNT_BYTES + index * ENTRY_BYTES;
    frame.writeUInt32LE(wireId, at);
    frame.write(subject, at + 4, "hex");
    writeAmount(frame, at + 20, windowStartMs);
  });
  return sealFrame(frame, { ...stamp, type: "recall" });
}
