import { request as requestPlain, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { request as requestTls } from "node:https";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { text } from "node:stream/consumers";

export interface HttpAnswer {
  status: number;
  headers: IncomingMessage["headers"];
  body: string;
}

export interface HttpRequest {
  method?: string;
  headers?: OutgoingHttpHeaders;
  body?: string | Readable;
  /** for the whole exchange */
  timeoutMs: number;
}

/**
 * One HTTP exchange on a connection of its own. Not `fetch`: that refuses a list of ports (10080 is one), and a gateway may be on any.
 * Rejects with the socket's error, or a TimeoutError.
 */
export async function httpRequest(
  url: string,
  { method = "GET", headers = {}, body, timeoutMs }: HttpRequest,
): Promise<HttpAnswer> {
  const start = url.startsWith("https:") ? requestTls : requestPlain;
  const request = start(url, { method, headers, agent: false, signal: AbortSignal.timeout(timeoutMs) });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once("response", resolve);
    request.on("error", (error) => reject(error.name === "AbortError" ? new Error("no answer in time") : error));
  });
  if (body === undefined || typeof body === "string") request.end(body);
  // The answer may come, and end the connection, before the whole body is sent: then it counts, not the broken pipe.
  else pipeline(body, request).catch(() => undefined);
  const response = await answered;
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) };
}
