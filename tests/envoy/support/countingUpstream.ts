/** An upstream that answers every request at once, in few words, and counts them by path: what has reached it was admitted. */
import { createServer } from "node:net";
import { closer, listen } from "../../kit/http.ts";

export interface CountingUpstream {
  port: number;
  /** how many requests of this path have come, without its query */
  count(path: string): number;
  /** the head of the last one, as it came */
  last(path: string): string;
  close(): Promise<void>;
}

const answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const headEnd = "\r\n\r\n";

/** Reads requests without a body only. */
export async function startCountingUpstream(): Promise<CountingUpstream> {
  const seen = new Map<string, { count: number; last: string }>();
  const note = (head: string): void => {
    const path = head.slice(head.indexOf(" ") + 1, head.indexOf(" HTTP/")).replace(/\?.*/, "");
    const entry = seen.get(path);
    if (entry === undefined) seen.set(path, { count: 1, last: head });
    else {
      entry.count++;
      entry.last = head;
    }
  };
  const server = createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => socket.destroy());
    let received = "";
    socket.setEncoding("latin1").on("data", (text: string) => {
      received += text;
      for (let end = received.indexOf(headEnd); end >= 0; end = received.indexOf(headEnd)) {
        note(received.slice(0, end));
        received = received.slice(end + headEnd.length);
        socket.write(answer);
      }
    });
  });
  const close = closer(server);
  return {
    port: await listen(server),
    count: (path) => seen.get(path)?.count ?? 0,
    last: (path) => seen.get(path)?.last ?? "",
    close,
  };
}
