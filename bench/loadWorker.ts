/** The load generator in Node: reads a LoadRequest as JSON from its input, writes a LoadResult as one JSON line. */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import type { LoadRequest, LoadResult } from "./load.ts";
import { percentile } from "./statistics.ts";

const load = JSON.parse(await text(process.stdin)) as LoadRequest;
const headerLines = Object.entries(load.headers).map(([name, value]) => `${name}: ${value}\r\n`).join("");
const requests = load.keys.map((key) => Buffer.from(`GET ${load.path} HTTP/1.1\r\n${headerLines}x-api-key: ${key}\r\n\r\n`));

const latenciesMs: number[] = [];
let turn = 0;
let refused = 0;
let broken = 0;
const startMs = performance.now();
const endMs = startMs + load.seconds * 1000;

await Promise.all(Array.from({ length: load.connections }, oneConnection));
const result: LoadResult = {
  requests: latenciesMs.length,
  refused,
  broken,
  seconds: (performance.now() - startMs) / 1000,
  p50Ms: percentile(latenciesMs, 50),
  p99Ms: percentile(latenciesMs, 99),
};
process.stdout.write(JSON.stringify(result) + "\n");

/** One connection: the next request goes out when the answer to the last is complete. Ends at the deadline or when it breaks. */
function oneConnection(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(load.port, "127.0.0.1");
    socket.setNoDelay(true);
    let received = Buffer.alloc(0);
    let sentMs = 0;
    let ended = false;
    const send = (): void => {
      turn = (turn + 1) % requests.length;
      sentMs = performance.now();
      socket.write(requests[turn]!);
    };
    const end = (): void => {
      ended = true;
      socket.destroy();
      resolve();
    };
    socket.on("connect", send);
    socket.on("error", () => (broken += 1));
    socket.on("close", () => {
      if (!ended) broken += 1;
      resolve();
    });
    socket.on("data", (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const size = answerSizeBytes(received);
      if (size < 0 || received.length < size) return;
      if (received[9] !== 0x32) refused += 1; // not "HTTP/1.1 2.."
      received = received.subarray(size);
      const nowMs = performance.now();
      latenciesMs.push(nowMs - sentMs);
      if (nowMs >= endMs) end();
      else send();
    });
  });
}

/** The whole length of the answer that begins here, or -1 when its head is not complete. Needs content-length, which Envoy sends. */
function answerSizeBytes(bytes: Buffer): number {
  const headEnd = bytes.indexOf("\r\n\r\n");
  if (headEnd < 0) return -1;
  const length = /\r\ncontent-length: (\d+)/i.exec(bytes.toString("latin1", 0, headEnd));
  return headEnd + 4 + Number(length?.[1] ?? 0);
}
