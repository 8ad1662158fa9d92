/** The payloads of calls for internal tokens and of their answers (docs/internals/protocol.md). */
import { type CallerKind, callerKinds, type TokenVerdict, tokenVerdicts } from "../../protocol/enums.ts";
import { writeAmount } from "./amounts.ts";
import { type Fields, Refused } from "./fields.ts";
import { COUNT_BYTES } from "./leasePayload.ts";

/** So many answers with the largest tokens fit into one frame. */
const maxAsks = 64;

const ASK_BYTES = 28;
const ANSWER_BYTES = 36;
const SCOPES_FOLLOW = 1;

export interface WireTokenAsk {
  /** 32 hex digits; of a key the first 16 bytes of its digest */
  id: string;
  /** absent: a kind that this version doesn't know */
  kind?: CallerKind;
  /** wire ids, as the gateway knows the caller */
  consumer: number;
  tier: number;
  /** what the caller's scopes are narrowed to; absent: they are not */
  scopes?: string[];
}

export interface WireTokenAnswer {
  id: string;
  verdict: TokenVerdict;
  refreshAtMs: number;
  expiresAtMs: number;
  token: string;
}

export function readTokenAsks(payload: Fields): WireTokenAsk[] {
  return readEntries(payload, ASK_BYTES, (): WireTokenAsk => {
    const id = payload.hex(16);
    const consumer = payload.u32();
    const tier = payload.u32();
    const kind = callerKinds[payload.u8()];
    const flags = payload.u8();
    const scopes = payload.str();
    const ask = { id, ...(kind === undefined ? {} : { kind }), consumer, tier };
    return (flags & SCOPES_FOLLOW) === 0 ? ask : { ...ask, scopes: scopes.split(" ").filter((scope) => scope !== "") };
  });
}

export function readTokenAnswers(payload: Fields): WireTokenAnswer[] {
  return readEntries(payload, ANSWER_BYTES, (): WireTokenAnswer => {
    const id = payload.hex(16);
    const [refreshAtMs, expiresAtMs] = [payload.u64(), payload.u64()];
    const verdict = tokenVerdicts[payload.u8()] ?? "unknown";
    payload.skip(1);
    return { id, verdict, refreshAtMs, expiresAtMs, token: payload.str() };
  });
}

/** A frame's bytes with the asks in their place and room for the header. */
export function tokenAsksFrame(headerBytes: number, asks: readonly WireTokenAsk[]): Buffer {
  return entriesFrame(
    headerBytes,
    asks.map(({ id, kind, consumer, tier, scopes }) => {
      const head = Buffer.alloc(ASK_BYTES);
      const text = Buffer.from(scopes?.join(" ") ?? "");
      head.write(id, 0, "hex");
      head.writeUInt32LE(consumer, 16);
      head.writeUInt32LE(tier, 20);
      head.writeUInt8(callerKinds.indexOf(kind!), 24);
      head.writeUInt8(scopes === undefined ? 0 : SCOPES_FOLLOW, 25);
      head.writeUInt16LE(text.length, 26);
      return Buffer.concat([head, text]);
    }),
  );
}

/** A frame's bytes with the answers in their place and room for the header. */
export function tokenAnswersFrame(headerBytes: number, answers: readonly WireTokenAnswer[]): Buffer {
  return entriesFrame(
    headerBytes,
    answers.map(({ id, verdict, refreshAtMs, expiresAtMs, token }) => {
      const head = Buffer.alloc(ANSWER_BYTES);
      head.write(id, 0, "hex");
      writeAmount(head, 16, refreshAtMs);
      writeAmount(head, 24, expiresAtMs);
      head.writeUInt8(tokenVerdicts.indexOf(verdict), 32);
      head.writeUInt16LE(token.length, 34);
      return Buffer.concat([head, Buffer.from(token, "latin1")]);
    }),
  );
}

function entriesFrame(headerBytes: number, entries: readonly Buffer[]): Buffer {
  const head = Buffer.alloc(headerBytes + COUNT_BYTES);
  head.writeUInt32LE(entries.length, headerBytes);
  return Buffer.concat([head, ...entries]);
}

function readEntries<T>(payload: Fields, leastBytes: number, read: () => T): T[] {
  const at = payload.pos;
  if (payload.left < COUNT_BYTES) throw new Refused(at, "payload", "the payload has no count");
  const count = payload.u32();
  payload.u32();
  if (count > maxAsks) throw new Refused(at, "payload", `${count} entries, at most ${maxAsks}`);
  if (count * leastBytes > payload.left) throw new Refused(at, "payload", `${count} entries in ${payload.left} bytes`);
  const entries = Array.from({ length: count }, read);
  if (payload.left > 0) throw new Refused(payload.pos, "payload", `${payload.left} bytes follow the last entry`);
  return entries;
}
