/** Upstreams that say which of them was reached. Node's HTTP server refuses methods that it doesn't know, so these read heads themselves. */
import { createServer, type AddressInfo, type Server, type Socket } from "node:net";

export const upstreamHeader = "x-reached";

export interface NamedUpstreams {
  port(name: string): number;
  close(): Promise<void>;
}

/** A listener for each name. Any request without a body is answered 200 with the name in `x-reached`. */
export async function startUpstreams(names: readonly string[]): Promise<NamedUpstreams> {
  const sockets = new Set<Socket>();
  const ports = new Map<string, number>();
  const servers = await Promise.all(
    names.map(async (name) => {
      const server = createServer((socket) => {
        sockets.add(socket);
        socket.on("close", () => sockets.delete(socket));
        socket.on("error", () => socket.destroy());
        answer(socket, name);
      });
      await new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, "127.0.0.1", resolve));
      ports.set(name, (server.address() as AddressInfo).port);
      return server;
    }),
  );
  return {
    port: (name) => ports.get(name)!,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server: Server) => new Promise((resolve) => server.close(resolve))));
    },
  };
}

function answer(socket: Socket, name: string): void {
  const response = `HTTP/1.1 200 OK\r\n${upstreamHeader}: ${name}\r\ncontent-length: 0\r\n\r\n`;
  let head = "";
  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    head += chunk.toString("latin1");
    for (let end = head.indexOf("\r\n\r\n"); end >= 0; end = head.indexOf("\r\n\r\n")) {
      head = head.slice(end + 4);
      socket.write(response);
    }
  });
}
