/** A TCP-level neighbour of control: an HTTP proxy that can spoil what control answers, or refuse to answer. */
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { closer, listen } from "../../kit/http.ts";

/** Gets the path and the body of an answer of 200 from control; gives the body that the gateway receives. */
type Tamper = (path: string, body: Buffer) => Buffer;

export interface TamperingProxy {
  port: number;
  /** what is done to answers from now on; undefined: nothing */
  tamper: Tamper | undefined;
  /** how many answers were changed */
  tampered: number;
  /** the paths that were asked for */
  paths: string[];
  close(): Promise<void>;
}

export async function startTamperingProxy(targetPort: number): Promise<TamperingProxy> {
  const server = createServer((incoming, outgoing) => forward(incoming, outgoing));
  const proxy: TamperingProxy = {
    port: 0,
    tamper: undefined,
    tampered: 0,
    paths: [],
    close: closer(server),
  };

  function forward(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const path = incoming.url ?? "/";
    proxy.paths.push(path);
    const call = httpRequest(
      { host: "127.0.0.1", port: targetPort, method: incoming.method, path, headers: incoming.headers },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          let body: Buffer = Buffer.concat(chunks);
          if (answer.statusCode === 200 && proxy.tamper) {
            const changed = proxy.tamper(path, body);
            if (!changed.equals(body)) proxy.tampered += 1;
            body = changed;
          }
          const { "transfer-encoding": _chunked, "content-length": _length, ...headers } = answer.headers;
          outgoing.writeHead(answer.statusCode ?? 502, { ...headers, "content-length": body.length });
          outgoing.end(body);
        });
        answer.on("error", () => outgoing.destroy());
      },
    );
    call.on("error", () => {
      if (!outgoing.headersSent) outgoing.writeHead(502, { "content-length": 0 });
      outgoing.end();
    });
    outgoing.on("close", () => call.destroy());
    incoming.pipe(call);
  }

  proxy.port = await listen(server);
  return proxy;
}
