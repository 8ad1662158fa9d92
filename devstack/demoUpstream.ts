import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { acceptWebSocket } from "./webSocketEcho.ts";

export interface DemoUpstream {
  port: number;
  /** Ends every connection, open WebSockets too. */
  close(): Promise<void>;
}

/** What the upstream answers: the request as it received it. Header names are lower case; a repeated header is an array. */
export interface EchoedRequest {
  method: string;
  path: string;
  headers: Record<string, string | string[]>;
  body: string;
  /** when the request had any */
  trailers?: Record<string, string | string[]>;
}

/**
 * A service to put behind the gateway: answers any request 200 with an EchoedRequest as JSON, and echoes WebSocket messages.
 * Port 0 takes a free one.
 */
export async function startDemoUpstream(port: number, host = "127.0.0.1"): Promise<DemoUpstream> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => void echo(request, response));
  const upgraded = new Set<Socket>();
  server.on("upgrade", (request: IncomingMessage, socket: Socket, head: Buffer) => {
    upgraded.add(socket);
    socket.on("close", () => upgraded.delete(socket));
    acceptWebSocket(request, socket, head);
  });
  await listen(server, port, host);
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
        for (const socket of upgraded) socket.destroy();
      }),
  };
}

async function echo(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return; // the client went away in the middle of its body
  }
  const trailers = gather(request.rawTrailers);
  const answer: EchoedRequest = {
    method: request.method ?? "",
    path: request.url ?? "",
    headers: gather(request.rawHeaders),
    body: Buffer.concat(chunks).toString("utf8"),
    ...(Object.keys(trailers).length === 0 ? {} : { trailers }),
  };
  const body = Buffer.from(JSON.stringify(answer));
  response.writeHead(200, { "content-type": "application/json", "content-length": body.length });
  response.end(request.method === "HEAD" ? undefined : body);
}

/** Name-value pairs as they came over the wire, by lower-case name. */
function gather(pairs: string[]): Record<string, string | string[]> {
  // No prototype: a header may be named __proto__ or constructor.
  const result = Object.create(null) as Record<string, string | string[]>;
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i]!.toLowerCase();
    const value = pairs[i + 1]!;
    const known = result[name];
    result[name] = known === undefined ? value : Array.isArray(known) ? [...known, value] : [known, value];
  }
  return result;
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
