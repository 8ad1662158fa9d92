/** One port in front of several replicas: each connection goes to the next of them that takes it. */
import { connect, createServer, type Socket } from "node:net";
import { listen } from "../../kit/http.ts";

export interface Balancer {
  port: number;
  /** connections that each replica took */
  taken: number[];
  close(): Promise<void>;
}

export async function startBalancer(ports: readonly number[]): Promise<Balancer> {
  const sockets = new Set<Socket>();
  const taken = ports.map(() => 0);
  let turn = 0;
  const keep = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  };

  function join(incoming: Socket, tries: number): void {
    const replica = turn++ % ports.length;
    const outgoing = connect(ports[replica]!, "127.0.0.1");
    keep(outgoing);
    const refused = (): void => {
      if (tries > 1) join(incoming, tries - 1);
      else incoming.destroy();
    };
    outgoing.once("error", refused);
    outgoing.once("connect", () => {
      outgoing.off("error", refused);
      taken[replica]!++;
      incoming.pipe(outgoing);
      outgoing.pipe(incoming);
      // One end that breaks off breaks the other.
      incoming.on("close", () => outgoing.destroy());
      outgoing.on("close", () => incoming.destroy());
    });
  }

  const server = createServer({ noDelay: true }, (incoming) => {
    keep(incoming);
    join(incoming, ports.length);
  });
  return {
    port: await listen(server),
    taken,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        for (const socket of sockets) socket.destroy();
      }),
  };
}
