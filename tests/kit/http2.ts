/** An HTTP/2 client and an echo behind the gateway that speaks HTTP/2: for gRPC and for trailers. */
import {
  connect,
  createServer,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import type { Server as NetServer } from "node:net";
import { closer, listen } from "./http.ts";

export interface Http2Answer {
  status: number;
  headers: IncomingHttpHeaders;
  trailers: IncomingHttpHeaders;
  body: string;
}

/** One request on a connection of its own (prior knowledge, no TLS). */
export function sendHttp2(
  port: number,
  headers: OutgoingHttpHeaders,
  body = "",
  trailers?: OutgoingHttpHeaders,
): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const session = connect(`http://127.0.0.1:${port}`);
    session.on("error", reject);
    const stream = session.request(
      { ":method": "POST", ":authority": "api.example.com", ...headers },
      { endStream: false, waitForTrailers: trailers !== undefined },
    );
    const chunks: Buffer[] = [];
    let head: IncomingHttpHeaders = {};
    let tail: IncomingHttpHeaders = {};
    stream.on("wantTrailers", () => stream.sendTrailers(trailers ?? {}));
    stream.on("response", (received) => (head = received));
    stream.on("trailers", (received) => (tail = received));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", reject);
    stream.on("end", () => {
      session.close();
      resolve({
        status: Number(head[":status"]),
        headers: head,
        trailers: tail,
        body: Buffer.concat(chunks).toString(),
      });
    });
    stream.end(body);
  });
}

export interface Http2Upstream {
  port: number;
  close(): Promise<void>;
}

/** Answers with the request as JSON, and `grpc-status: 0` in trailers. */
export async function startHttp2Upstream(): Promise<Http2Upstream> {
  const server = createServer();
  const close = closer(server as unknown as NetServer);
  server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    const chunks: Buffer[] = [];
    let trailers: IncomingHttpHeaders = {};
    stream.on("trailers", (received: IncomingHttpHeaders) => (trailers = received));
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
    stream.on("error", () => {});
    stream.on("end", () => {
      stream.respond(
        { ":status": 200, "content-type": String(headers["content-type"] ?? "application/json") },
        { waitForTrailers: true },
      );
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(
        JSON.stringify({
          method: headers[":method"],
          path: headers[":path"],
          headers,
          trailers,
          body: Buffer.concat(chunks).toString(),
        }),
      );
    });
  });
  return { port: await listen(server as unknown as NetServer), close };
}
