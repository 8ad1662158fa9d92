/** A way between two servers, at the level of bytes: it can stand still, so that only time tells, and be cut. */
import { connect, createServer, type NetConnectOpts, type Socket } from "node:net";
import { listen } from "../../kit/http.ts";

export interface TcpLink {
  port: number;
  /** Nothing passes any more, in either direction, and nobody is told. */
  stall(): void;
  /** What waited passes, and all that comes. */
  flow(): void;
  /** Ends every connection; until `mend`, new ones are ended at once. */
  cut(): void;
  mend(): void;
  close(): Promise<void>;
}

export async function startTcpLink(target: NetConnectOpts): Promise<TcpLink> {
  const sockets = new Set<Socket>();
  let isCut = false;
  let isStalled = false;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    if (isStalled) socket.pause();
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(target);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      keep(from);
      from.on("data", (bytes) => void to.write(bytes));
      from.on("end", () => to.end());
      from.on("close", () => to.destroy());
    }
    if (isStalled) for (const socket of [near, far]) socket.pause();
  });
  const endAll = (): void => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: await listen(server),
    stall: () => {
      isStalled = true;
      for (const socket of sockets) socket.pause();
    },
    flow: () => {
      isStalled = false;
      for (const socket of sockets) socket.resume();
    },
    cut: () => {
      isCut = true;
      endAll();
    },
    mend: () => void (isCut = false),
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        endAll();
      }),
  };
}
