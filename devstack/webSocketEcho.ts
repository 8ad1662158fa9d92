import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";

const maxMessageBytes = 1024 * 1024;
const opcode = { close: 8, ping: 9, pong: 10 } as const;

/** Completes a WebSocket handshake and sends every message back as it came (RFC 6455, no extensions). */
export function acceptWebSocket(request: IncomingMessage, socket: Socket, head: Buffer): void {
  socket.on("error", () => socket.destroy());
  const key = request.headers["sec-websocket-key"];
  if (key === undefined || request.headers.upgrade?.toLowerCase() !== "websocket") {
    socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    return;
  }
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: ${accept}\r\n\r\n`,
  );

  let pending = head;
  const consume = (): void => {
    for (let frame = readFrame(pending); frame !== undefined; frame = readFrame(pending)) {
      if (frame === "invalid") {
        socket.end(writeFrame(0x80 | opcode.close, Buffer.from([0x03, 0xea]))); // 1002, protocol error
        return;
      }
      pending = pending.subarray(frame.totalBytes);
      const kind = frame.first & 0x0f;
      if (kind === opcode.close) {
        socket.end(writeFrame(0x80 | opcode.close, frame.payload));
        return;
      }
      if (kind !== opcode.pong)
        socket.write(writeFrame(kind === opcode.ping ? 0x80 | opcode.pong : frame.first, frame.payload));
    }
  };
  socket.on("data", (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    consume();
  });
  consume();
}

interface Frame {
  /** FIN, reserved bits and opcode: fragments go back as fragments */
  first: number;
  payload: Buffer;
  totalBytes: number;
}

/** The first frame of `bytes`, unmasked; undefined while it isn't complete. */
function readFrame(bytes: Buffer): Frame | "invalid" | undefined {
  if (bytes.length < 2) return undefined;
  const first = bytes[0]!;
  const second = bytes[1]!;
  if ((first & 0x70) !== 0 || (second & 0x80) === 0) return "invalid";
  let length = second & 0x7f;
  let offset = 2;
  if (length === 126) {
    if (bytes.length < 4) return undefined;
    length = bytes.readUInt16BE(2);
    offset = 4;
  } else if (length === 127) {
    if (bytes.length < 10) return undefined;
    const long = bytes.readBigUInt64BE(2);
    if (long > BigInt(maxMessageBytes)) return "invalid";
    length = Number(long);
    offset = 10;
  }
  const totalBytes = offset + 4 + length;
  if (bytes.length < totalBytes) return undefined;
  const mask = bytes.subarray(offset, offset + 4);
  const payload = Buffer.from(bytes.subarray(offset + 4, totalBytes));
  for (let i = 0; i < length; i++) payload[i]! ^= mask[i & 3]!;
  return { first, payload, totalBytes };
}

/** A frame as a server sends it: unmasked. */
function writeFrame(first: number, payload: Buffer): Buffer {
  const length = payload.length;
  const header =
    length < 126
      ? Buffer.from([first, length])
      : length < 65536
        ? Buffer.from([first, 126, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([first, 127]), bigEndian64(length)]);
  return Buffer.concat([header, payload]);
}

function bigEndian64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
