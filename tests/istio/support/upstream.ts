/** A service behind the gateway: answers any request 200 with what it received, and says who it is. */
import { startHttpServer, type HttpServer } from "../../kit/http.ts";

/** What the upstream answers. Header names are lower case; a repeated header's values are joined by a comma. */
export interface Echo {
  upstream: string;
  method: string;
  path: string;
  headers: Record<string, string>;
}

export async function startUpstream(upstream: string, host: string): Promise<HttpServer> {
  return startHttpServer((request, response) => {
    request.resume();
    const { method = "", url = "", headers } = request;
    const body = JSON.stringify({ upstream, method, path: url, headers });
    response.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
    response.end(method === "HEAD" ? undefined : body);
  }, host);
}
