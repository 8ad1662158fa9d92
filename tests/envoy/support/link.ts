/** The way from a gateway to control, at the level of HTTP calls: it can be slow, lose what control answers, and be cut. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { listen } from "../../kit/http.ts";

/**
 * What becomes of a call. `lost`: it never reaches control. `unanswered`: control has heard it and answered, and the connection is reset in the
 * answer's place. `silent`: the same without the reset, so that only time tells.
 */
export type Fate = "delivered" | "lost" | "unanswered" | "silent";

export interface Link {
  port: number;
  /** of a call and of its answer, each */
  delayMs: number;
  /** decides a call's fate from now on, at once or later; default: delivered */
  fate: (path: string) => Fate | Promise<Fate>;
  /** calls by what became of them */
  calls: Record<Fate, number>;
  /** Ends all calls under way; until `mend`, nobody gets through. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function startLink(targetPort: number): Promise<Link> {
  const server = createServer(
    (incoming, outgoing) => void forward(incoming, outgoing).catch(() => incoming.socket.destroy()),
  );
  server.keepAliveTimeout = 0;
  const sockets = new Set<Socket>();
  let isCut = false;
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    if (isCut) socket.destroy();
  });
  const link: Link = {
    port: 0,
    delayMs: 0,
    fate: () => "delivered",
    calls: { delivered: 0, lost: 0, unanswered: 0, silent: 0 },
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      isCut = false;
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of sockets) socket.destroy();
      }),
  };

  async function forward(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const path = incoming.url ?? "/";
    const fate = await link.fate(path);
    link.calls[fate]++;
    const body = await bodyOf(incoming);
    if (link.delayMs > 0) await sleep(link.delayMs);
    if (fate === "lost") return void incoming.socket.destroy();
    const answer = await ask(incoming, path, body, outgoing);
    if (link.delayMs > 0) await sleep(link.delayMs);
    if (fate === "silent") return;
    if (fate === "unanswered" || outgoing.destroyed) return void incoming.socket.destroy();
    outgoing.writeHead(answer.status, answer.headers);
    outgoing.end(answer.body);
  }

  interface Answer {
    status: number;
    headers: Record<string, string | string[] | number | undefined>;
    body: Buffer;
  }

  function ask(incoming: IncomingMessage, path: string, body: Buffer, outgoing: ServerResponse): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const call = httpRequest(
        { host: "127.0.0.1", port: targetPort, method: incoming.method, path, headers: incoming.headers },
        (answer) => {
          bodyOf(answer).then((content) => {
            const {
              "transfer-encoding": _chunked,
              "content-length": _length,
              connection: _connection,
              ...headers
            } = answer.headers;
            resolve({
              status: answer.statusCode ?? 502,
              headers: { ...headers, "content-length": content.length },
              body: content,
            });
          }, reject);
        },
      );
      call.on("error", reject);
      outgoing.on("close", () => call.destroy());
      call.end(body);
    });
  }

  link.port = await listen(server);
  return link;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
