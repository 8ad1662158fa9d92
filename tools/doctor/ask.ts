/** One question over HTTP: the answer with the server's clock beside ours, or why there is none. */
import { httpRequest, type HttpAnswer } from "../client/httpRequest.ts";
import type { ClockReading } from "./evidence.ts";

export interface Asked {
  answer: HttpAnswer;
  clock: ClockReading | undefined;
}

const timeoutMs = 10_000;

/** Rejects when there is no answer. */
export async function ask(url: string, headers: Record<string, string> = {}): Promise<Asked> {
  const sentMs = Date.now();
  const answer = await httpRequest(url, { headers, timeoutMs });
  return { answer, clock: clockOf(answer.headers.date, sentMs, Date.now()) };
}

/** In words of their own, for findings. */
export function whyNot(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "connection refused";
  if (code === "ENOTFOUND") return "no such host";
  return message || code || String(error);
}

/** A Date header is cut off to whole seconds, so that it's half a second late on average. */
function clockOf(date: string | undefined, sentMs: number, answeredMs: number): ClockReading | undefined {
  const theirMs = Date.parse(date ?? "");
  return Number.isNaN(theirMs) ? undefined : { theirMs: theirMs + 500, hereMs: Math.round((sentMs + answeredMs) / 2) };
}
