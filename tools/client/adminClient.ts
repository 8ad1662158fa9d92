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
  /** of a gateway's refusal alone */
  reason?: string;
  code?: string;
  detail?: string;
  remedy?: string;
  requestId?: string;
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
    this.#url = baseUrl(options.url);
    this.#token = options.token;
    this.#timeoutMs = options.timeoutMs ?? 60_000;
  }

  /** Makes a call and gives its parsed answer: JSON as a value, anything else as text, 204 as undefined. Throws ApiError or UnreachableError. */
  async call<T>(method: string, path: string, call: Call = {}): Promise<T> {
    const { status, headers, body } = await this.#send(method, path, call);
    const json = /\bjson\b/.test(headers["content-type"] ?? "");
    if (status >= 200 && status < 300) return (body === "" ? undefined : json ? JSON.parse(body) : body) as T;
    const problem = json ? parsedProblem(body) : undefined;
    if (problem?.code === undefined)
      throw new UnreachableError(`${this.#url} answered ${status}: ${notControl(headers, problem)} ${checkUrl}`);
    throw new ApiError(status, problem);
  }

  async #send(method: string, path: string, call: Call): Promise<HttpAnswer> {
    const headers: Record<string, string> = { accept: "application/json", ...call.headers };
    if (this.#token !== undefined) headers["authorization"] = `Bearer ${this.#token}`;
    const sent =
      call.raw ??
      (call.body === undefined ? undefined : { contentType: "application/json", body: JSON.stringify(call.body) });
    if (sent !== undefined) headers["content-type"] = sent.contentType;
    try {
      const url = withQuery(`${this.#url}${path}`, call.query ?? {});
      return await httpRequest(url, {
        method,
        headers,
        timeoutMs: this.#timeoutMs,
        ...(sent === undefined ? {} : { body: sent.body }),
      });
    } catch (error) {
      throw new UnreachableError(`${this.#url} can't be reached: ${reason(error, this.#url)} ${checkUrl}`);
    }
  }
}

function withQuery(url: string, query: NonNullable<Call["query"]>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value !== undefined) search.set(name, String(value));
  return search.size === 0 ? url : `${url}?${search}`;
}

const checkUrl = "Check TOLLGATE_URL (or --url): it is the admin API's, http://127.0.0.1:8090 unless set otherwise.";

/** The URL without a final slash. Throws an UnreachableError when nothing can be called by it. */
function baseUrl(text: string): string {
  const trimmed = text.trim();
  if (!/^[a-z][a-z0-9+.-]*:\/\//i.test(trimmed))
    throw new UnreachableError(
      `The control plane's URL \`${trimmed}\` has no scheme. Write http:// or https:// before it, such as http://${trimmed}. ${checkUrl}`,
    );
  const url = URL.canParse(trimmed) ? new URL(trimmed) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol))
    throw new UnreachableError(`The control plane's URL \`${trimmed}\` isn't an HTTP URL. ${checkUrl}`);
  return trimmed.replace(/\/+$/, "");
}

function parsedProblem(body: string): Problem | undefined {
  try {
    return JSON.parse(body) as Problem;
  } catch {
    return undefined;
  }
}

/** Who may have answered, when it wasn't the admin API. */
function notControl(headers: HttpAnswer["headers"], problem: Problem | undefined): string {
  if (problem?.reason !== undefined) return "this is a gateway, which decides about API calls; it isn't the admin API.";
  if (/envoy/i.test(String(headers["server"] ?? "")))
    return "an Envoy answered, not the admin API behind it, if there is one.";
  return "without a problem document, so it isn't Tollgate's admin API.";
}

/** Why there is no answer, and what that says of the URL. */
function reason(error: unknown, url: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === "ECONNREFUSED") return "connection refused. Is the control plane running (npm start, tollgate serve)?";
  if (code === "ENOTFOUND" || code === "EAI_AGAIN") return "its host name isn't known.";
  if (url.startsWith("https:") && (code === "EPROTO" || code === "ERR_SSL_WRONG_VERSION_NUMBER"))
    return "the port speaks plain HTTP, not TLS. Write http:// in place of https://.";
  if (url.startsWith("http:") && (code?.startsWith("HPE_") === true || code === "ECONNRESET"))
    return "what answers isn't HTTP; the port may want https://.";
  if (
    code?.startsWith("CERT_") === true ||
    code?.includes("SELF_SIGNED") === true ||
    code?.startsWith("UNABLE_TO_") === true ||
    code?.startsWith("ERR_TLS_") === true
  ) {
    return `its certificate isn't trusted (${message}). Name the CA's file in NODE_EXTRA_CA_CERTS.`;
  }
  return `${message || code || String(error)}.`;
}
