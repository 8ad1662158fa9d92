/** Frames of calls for internal tokens (docs/internals/protocol.md): types 10 and 11. */
import { sealFrame } from "./frames.ts";
import { type NumberedCall, readCall } from "./laneCall.ts";
import { tokenAnswersFrame, tokenAsksFrame, type WireTokenAnswer, type WireTokenAsk } from "./tokenPayload.ts";
import { HEADER_BYTES } from "./wire.ts";

export interface TokensCall extends NumberedCall {
  asks: WireTokenAsk[];
}

/** The call in a request's body. Throws SyncProblem parameter_invalid. */
export function readTokensCall(body: Uint8Array): TokensCall {
  const { epoch, version, lane, asks } = readCall(body, "tokens");
  return { epoch, seq: version, lane, asks };
}

export function tokensFrame({ epoch, seq, lane, asks }: TokensCall): Buffer {
  return sealFrame(tokenAsksFrame(HEADER_BYTES, asks), { type: "tokens", epoch, version: seq, lane, timeMs: 0 });
}

/** The answer to a call: one for each ask, in order. `timeMs`: control's clock, by which the answers' times are meant. */
export function tokensAnswerFrame(
  { epoch, seq, lane }: NumberedCall,
  timeMs: number,
  answers: readonly WireTokenAnswer[],
): Buffer {
  return sealFrame(tokenAnswersFrame(HEADER_BYTES, answers), {
    type: "tokensAnswer",
    epoch,
    version: seq,
    lane,
    timeMs,
  });
}
