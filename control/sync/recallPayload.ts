/** The payload of the frame that asks a gateway to return what it parks (docs/internals/protocol.md). */
import type { Recall } from "../counters/model.ts";
import { writeAmount } from "./amounts.ts";
import type { Fields } from "./fields.ts";
import { COUNT_BYTES, readCount } from "./leasePayload.ts";

/** A counter's window, of which all is to come back. */
export type RecalledCounter = Pick<Recall, "wireId" | "subject" | "windowStartMs">;

const ENTRY_BYTES = 28;
/** of one frame */
export const maxRecalls = 4096;

export function readRecalls(payload: Fields): RecalledCounter[] {
  return Array.from({ length: readCount(payload, maxRecalls, ENTRY_BYTES) }, () => ({
    wireId: payload.u32(),
    subject: payload.hex(16),
    windowStartMs: payload.u64(),
  }));
}

/** A frame's bytes with the counters in their place and room for the header. */
export function recallsFrame(headerBytes: number, counters: readonly RecalledCounter[]): Buffer {
  const frame = Buffer.alloc(headerBytes + COUNT_BYTES + counters.length * ENTRY_BYTES);
  frame.writeUInt32LE(counters.length, headerBytes);
  counters.forEach(({ wireId, subject, windowStartMs }, index) => {
    const at = headerBytes + COUNT_BYTES + index * ENTRY_BYTES;
    frame.writeUInt32LE(wireId, at);
    frame.write(subject, at + 4, "hex");
    writeAmount(frame, at + 20, windowStartMs);
  });
  return frame;
}
