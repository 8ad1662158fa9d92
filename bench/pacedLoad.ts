/**
 * Load at a fixed rate, with keys in an order as by chance (the same in every run): requests are due at even distances, whether or not
 * earlier ones were answered. One that finds all connections taken waits, and that counts as its time, too.
 */
import { runWorker } from "./load.ts";

export interface PacedRequest {
  port: number;
  path: string;
  headers: Record<string, string>;
  /** one of them is sent as `x-api-key` */
  keys: readonly string[];
  requestsPerSecond: number;
  seconds: number;
  connections: number;
  seed: number;
}

export interface PacedResult {
  requests: number;
  /** answers by status */
  statuses: Record<string, number>;
  /** connections that failed, requests without an answer */
  broken: number;
  seconds: number;
  p50Ms: number;
  p99Ms: number;
  longestMs: number;
}

export function runPaced(load: PacedRequest): Promise<PacedResult> {
  return runWorker("pacedWorker.ts", load);
}
