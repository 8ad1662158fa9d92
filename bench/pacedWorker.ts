/** The generator of even load: reads a PacedRequest as JSON from its input, writes a PacedResult as one JSON line. */
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { answerSizeBytes, answerStatus, requestBytes } from "./httpAnswer.ts";
import type { PacedRequest, PacedResult } from "./pacedLoad.ts";
import { percentile } from "./statistics.ts";

/** What is under way at the end is waited for, so long at most. */
const lastAnswersMs = 5000;

const load = JSON.parse(await text(process.stdin)) as PacedRequest;
const requests = load.keys.map((key) => requestBytes(load.path, { ...load.headers, "x-api-key": key }));

interface Due {
  request: Buffer;
  dueMs: number;
}

const statuses: Record<string, number> = {};
const latenciesMs: number[] = [];
const waiting: Due[] = [];
const free: ((due: Due) => void)[] = [];
let broken = 0;
let underWay = 0;

await Promise.all(Array.from({ length: load.connections }, openConnection));
const startMs = performance.now();
const total = Math.floor(load.requestsPerSecond * load.seconds);
const random = randomOf(load.seed);
for (let made = 0; made < total; ) {
  const nowMs = performance.now();
  const due = Math.min(total, Math.ceil(((nowMs - startMs) / 1000) * load.requestsPerSecond));
  for (; made < due; made++) dispatch({ request: requests[random() % requests.length]!, dueMs: nowMs });
  await sleep(1);
}
const endMs = performance.now();
while (underWay + waiting.length > 0 && performance.now() < endMs + lastAnswersMs) await sleep(1);
const result: PacedResult = {
  requests: latenciesMs.length,
  statuses,
  broken: broken + underWay + waiting.length,
  seconds: (endMs - startMs) / 1000,
  p50Ms: percentile(latenciesMs, 50),
  p99Ms: percentile(latenciesMs, 99),
  longestMs: percentile(latenciesMs, 100),
};
process.stdout.write(JSON.stringify(result) + "\n", () => process.exit());

function dispatch(due: Due): void {
  const send = free.pop();
  if (send) send(due);
  else waiting.push(due);
}

/** A keep-alive connection that takes one request after the other. One that breaks is not opened again: the run counts as broken. */
function openConnection(): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(load.port, "127.0.0.1", resolve);
    socket.setNoDelay(true);
    let received = Buffer.alloc(0);
    let current: Due | undefined;
    const send = (due: Due): void => {
      current = due;
      underWay++;
      socket.write(due.request);
    };
    free.push(send);
    socket.on("error", () => resolve());
    socket.on("close", () => {
      if (current) underWay--;
      broken++;
    });
    socket.on("data", (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
      const size = answerSizeBytes(received);
      if (size < 0 || received.length < size || !current) return;
      const status = answerStatus(received);
      statuses[status] = (statuses[status] ?? 0) + 1;
      received = received.subarray(size);
      latenciesMs.push(performance.now() - current.dueMs);
      current = undefined;
      underWay--;
      const next = waiting.shift();
      if (next) send(next);
      else free.push(send);
    });
  });
}

/** xorshift32; gives whole numbers from 0 on. */
function randomOf(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
