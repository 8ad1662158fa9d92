import { HeaderMap, type HeaderInput } from "./headerMap.ts";

/** What a cluster answers. `headers` needs no `:status`. */
export interface HttpAnswer {
  status: number;
  headers?: HeaderInput;
  body?: Buffer | string;
  trailers?: HeaderInput;
  /** how long it takes, default 0: the next turn of the event loop */
  delayMs?: number;
}

/** What the module gets to see of an answer. */
export interface CallResponse {
  headers: HeaderMap;
  body: Buffer;
  trailers: HeaderMap | undefined;
}

/** A call as its cluster sees it. A handler that returns nothing answers it later by `answer` or `reset`. */
export interface HttpCall {
  readonly cluster: string;
  readonly headers: HeaderMap;
  readonly method: string;
  readonly path: string;
  readonly authority: string;
  readonly body: Buffer;
  readonly timeoutMs: number;
  /** when it was sent, on the simulated process's monotonic clock */
  readonly sentAtMs: number;
  /** answered, timed out, or given up because its VM or root context is gone */
  readonly done: boolean;
  answer(answer: HttpAnswer): void;
  /** The connection breaks: the module is called back with no headers, no body and no trailers. */
  reset(delayMs?: number): void;
}

/** A cluster: gives an answer, nothing (answered later), or "unavailable" (no healthy endpoint: the host call itself fails). */
export type ClusterHandler = (call: HttpCall) => HttpAnswer | "unavailable" | undefined;

/** Gives what the module reads of an answer, with the pseudo-header in front. */
export function toResponse(answer: HttpAnswer): CallResponse {
  const headers = HeaderMap.from(answer.headers ?? []);
  headers.set(":status", String(answer.status));
  return {
    headers,
    body: Buffer.from(answer.body ?? ""),
    trailers: answer.trailers === undefined ? undefined : HeaderMap.from(answer.trailers),
  };
}

/** Envoy answers a call that takes longer than its timeout itself. */
export const timeoutAnswer: HttpAnswer = {
  status: 504,
  headers: { "content-type": "text/plain" },
  body: "upstream request timeout",
};
