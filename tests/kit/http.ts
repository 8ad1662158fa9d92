/** Servers of tests, on ports that the system chooses, and answers of theirs. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo, Server as NetServer, Socket } from "node:net";

/** Listens on a free port, of the loopback unless told; returns the port. Works for servers of HTTP, HTTP/2 and TCP. */
export async function listen(server: NetServer, host = "127.0.0.1"): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  return (server.address() as AddressInfo).port;
}

/** Follows a server's connections from now on; returns what ends them all and closes the server. */
export function closer(server: NetServer): () => Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
  });
  return () =>
    new Promise((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
}

export interface HttpServer {
  port: number;
  /** `http://127.0.0.1:<port>` */
  url: string;
  /** ends open connections too */
  close(): Promise<void>;
}

/** An HTTP server that answers by the handler. */
export async function startHttpServer(handler: RequestListener, host = "127.0.0.1"): Promise<HttpServer> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler);
  const close = closer(server);
  const port = await listen(server, host);
  return { port, url: `http://${host}:${port}`, close };
}
