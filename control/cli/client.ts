/** The admin API as the command line and the local stack call it. */
import type { Readable } from "node:stream";
import { httpRequest, type HttpAnswer } from "./httpRequest.ts";

/** Control answered, with an error. */
export class ApiError extends Error {
  readonly status: number;
  /** the problem document, or what was found in its place */
  readonly problem: Problem;

  constructor(status: number, problem: Problem) {
    super(problem.detail ?? problem.title ?? `control answered ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.problem = problem;
  }
}

/** Control's RFC 9457 problem, as far as it's used here. */
export interface Problem {
  title?: string;
  code?: string;
  detail?: string;
  remedy?: string;
  errors?: { path?: string; message: string; remedy?: string; line?: number; column?: number; severity?: string }[];
  references?: { kind: string; id: string }[];
}

/** Control could not be reached, or what answered isn't control. */
export class UnreachableError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "UnreachableError";
  }
}

export interface ClientOptions {
  /** e.g. http://127.0.0.1:8090 */
  url: string;
  token: string | undefined;
  timeoutMs?: number;
}

export interface Call {
  query?: Record<string, string | number | boolean | undefined>;
  /** sent as JSON */
  body?: unknown;
  /** sent as it is, with this content type */
  raw?: { contentType: string; body: string | Readable };
  headers?: Record<string, string>;
}

export class AdminClient {
  readonly #url: string;
  readonly #token: string | undefined;
  readonly #timeoutMs: number;

  constructor(options: ClientOptions) {
    this.#url = options.url.replace(/\/+$/, "");
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
  }

  /** Makes a call and gives its parsed answer: JSON as a value, anything else as text, 204 as undefined. Throws ApiError or UnreachableError. */
  async call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const { status, headers, body } = await this.#send(method, path, call);
    const json = /\bjson\b/.test(headers["content-type"] ?? "");
    if (status >= 200 && status < 300) return (body === "" ? undefined : json ? JSON.parse(body) : body) as T;
    if (!json) throw new UnreachableError(`${this.#url} answered ${status} without a problem document: is it Tollgate's admin API? Check TOLLGATE_URL (or --url).`);
    throw new ApiError(status, JSON.parse(body) as Problem);
  }

  async #send(method: string, path: string, call: Call): Promise<HttpAnswer> {
    const headers: Record<string, string> = { accept: "application/json", ...call.headers };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    const sent = call.raw ?? (call.body === undefined ? undefined : { contentType: "application/json", body: JSON.stringify(call.body) });
    if (sent !== undefined) headers["content-type"] = sent.contentType;
    try {
      const url = withQuery(`${this.#url}${path}`, call.query ?? {});
      return await httpRequest(url, { method, headers, timeoutMs: this.#timeoutMs, ...(sent === undefined ? {} : { body: sent.body }) });
    } catch (error) {
      throw new UnreachableError(`${this.#url} can't be reached: ${reason(error)}. Is control running (npm start, tollgate serve)? Check TOLLGATE_URL (or --url).`);
    }
  }
}

function withQuery(url: string, query: NonNullable<Call["query"]>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? url : `${url}?${search}`;
}

function reason(error: unknown): string {
  const { code, message } = error as NodeJS.ErrnoException;
  return code === "ECONNREFUSED" ? "connection refused" : message || code || String(error);
}
