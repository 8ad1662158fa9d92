/** The load generator in Node: reads a LoadRequest as JSON from its input, writes a LoadResult as one JSON line. */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { answerSizeBytes, answerStatus, requestBytes } from "./httpAnswer.ts";
import type { LoadRequest, LoadResult } from "./load.ts";
import { percentile } from "./statistics.ts";

const load = JSON.parse(await text(process.stdin)) as LoadRequest;
const requests = load.keys.map((key) => requestBytes(load.path, { ...load.headers, "x-api-key": key }));

const latenciesMs: number[] = [];
let turn = (load.first ?? 0) % requests.length;
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
      sentMs = performance.now();
      socket.write(requests[turn]!);
      turn = (turn + 1) % requests.length;
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
      if (answerStatus(received) >= 400) refused += 1;
      received = received.subarray(size);
      const nowMs = performance.now();
      latenciesMs.push(nowMs - sentMs);
      if (nowMs >= endMs) end();
      else send();
    });
  });
}
