/** Encodes decoded frames again: the way back that only tests need. */
import { RecordWriter } from "../../control/sync/codec.ts";
import { manifestFrame, sealFrame, type FrameHeader } from "../../control/sync/frames.ts";
import { answersFrame, opsFrame } from "../../control/sync/leasePayload.ts";
import type { DecodedFrame } from "../../control/sync/reader.ts";
import { recallsFrame } from "../../control/sync/recallPayload.ts";
import { tokenAnswersFrame, tokenAsksFrame } from "../../control/sync/tokenPayload.ts";
import { entriesFrame } from "../../control/sync/usagePayload.ts";
import { HEADER_BYTES } from "../../control/sync/wire.ts";

/** A frame to encode; `payload` stands in for records that the codec would not write. */
export type FrameSpec = (DecodedFrame extends infer F
  ? F extends DecodedFrame
    ? Omit<F, "frameBytes">
    : never
  : never) & { payload?: Uint8Array };

export function encodeFrame(spec: FrameSpec): Buffer {
  if (spec.payload === undefined && spec.type === "manifest") return manifestFrame(spec, spec.counts);
  const frame =
    spec.payload === undefined ? payloadFrame(spec) : Buffer.concat([Buffer.alloc(HEADER_BYTES), spec.payload]);
  return sealFrame(frame, spec as FrameHeader);
}

export function encodeFrames(specs: FrameSpec[]): Buffer {
  return Buffer.concat(specs.map(encodeFrame));
}

function payloadFrame(spec: FrameSpec): Buffer {
  if (spec.type === "recall") return recallsFrame(HEADER_BYTES, spec.counters);
  if (spec.type === "leases") return opsFrame(HEADER_BYTES, spec.ops);
  if (spec.type === "leasesAnswer") return answersFrame(HEADER_BYTES, spec.answers);
  if (spec.type === "usage") return entriesFrame(HEADER_BYTES, spec.entries);
  if (spec.type === "tokens") return tokenAsksFrame(HEADER_BYTES, spec.asks);
  if (spec.type === "tokensAnswer") return tokenAnswersFrame(HEADER_BYTES, spec.answers);
  const writer = new RecordWriter();
  if (spec.type === "page" || spec.type === "delta") for (const record of spec.records) writer.write(record);
  const [frame = Buffer.alloc(HEADER_BYTES), ...more] = writer.finish();
  if (more.length > 0) throw new RangeError("the records don't fit into one frame");
  return frame;
}
