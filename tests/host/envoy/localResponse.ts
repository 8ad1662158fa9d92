import type { Pair } from "./abi.ts";
import { HeaderMap } from "./headerMap.ts";

/** What the module asked to be answered. */
export interface LocalResponse {
  status: number;
  /** response code details, white space replaced by `_` */
  details: string;
  headers: Pair[];
  body: Buffer;
  /** undefined when the module gave none (anything but 0 to 16) */
  grpcStatus: number | undefined;
}

/** What the client gets. */
export interface ClientResponse {
  status: number;
  headers: HeaderMap;
  body: string;
}

/** Envoy's `sendLocalReply`: gRPC requests get a trailers-only answer of status 200, HEAD requests no body. */
export function clientResponse(local: LocalResponse, request: HeaderMap): ClientResponse {
  const headers = HeaderMap.from([[":status", String(local.status)]]);
  for (const [name, value] of local.headers) headers.add(name, value);
  const isHead = request.first(":method") === "HEAD";
  const body = local.body.toString("utf8");
  if (isGrpc(request)) {
    headers.set(":status", "200");
    headers.set("content-type", "application/grpc");
    headers.set("grpc-status", String(local.grpcStatus ?? grpcStatusOf(local.status)));
    if (body !== "" && !isHead) headers.set("grpc-message", percentEncode(local.body));
    headers.remove("content-length");
    return { status: 200, headers, body: "" };
  }
  if (body === "") {
    headers.remove("content-length");
    headers.remove("content-type");
  } else {
    headers.set("content-length", String(local.body.length));
    if (!headers.has("content-type")) headers.set("content-type", "text/plain");
  }
  return { status: local.status, headers, body: isHead ? "" : body };
}

function isGrpc(request: HeaderMap): boolean {
  const type = request.first("content-type") ?? "";
  return type === "application/grpc" || type.startsWith("application/grpc+");
}

/** Envoy's mapping for when a filter names no gRPC status. */
function grpcStatusOf(status: number): number {
  const known: Record<number, number> = { 400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14 };
  return known[status] ?? 2;
}

function percentEncode(body: Buffer): string {
  return [...body]
    .map((byte) =>
      byte >= 0x20 && byte < 0x7f && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
    )
    .join("");
}
