/** Backends on Node: Express, whose router ignores case unless told otherwise, and Fastify with all that its router may forgive. */
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { createRequire } from "node:module";
import Fastify, { type FastifyReply, type FastifyServerOptions } from "fastify";
import { upstreamHeader } from "../differential/upstreams.ts";
import type { Backend, Handler } from "./backend.ts";

/** As much of Express as is used; its types are a package of their own. */
interface ExpressResponse {
  set(name: string, value: string): ExpressResponse;
  status(code: number): ExpressResponse;
  end(): void;
}
type ExpressHandler = (request: unknown, response: ExpressResponse) => void;
interface ExpressRouter {
  use(path: string, handler: ExpressHandler | ExpressRouter): void;
  use(handler: ExpressHandler): void;
  get(path: RegExp | string, handler: ExpressHandler): void;
  post(path: RegExp | string, handler: ExpressHandler): void;
  put(path: RegExp, handler: ExpressHandler): void;
  delete(path: RegExp, handler: ExpressHandler): void;
}
type Express = (() => ExpressRouter & RequestListener) & { Router(): ExpressRouter };

export async function nodeBackends(): Promise<Backend[]> {
  return [
    await expressBackend("Express 5", "express"),
    await expressBackend("Express 4", "express4"),
    await fastifyBackend(),
  ];
}

async function expressBackend(name: string, module: string): Promise<Backend> {
  const express = createRequire(import.meta.url)(module) as Express;
  const says =
    (handler: Handler): ExpressHandler =>
    (_request, response) =>
      response.set(upstreamHeader, handler).status(200).end();
  const app = express();
  app.use("/admin", says("admin"));
  const items = express.Router();
  items.get(/.*/, says("read"));
  for (const method of ["post", "put", "delete"] as const) items[method](/.*/, says("write"));
  app.use("/items", items);
  app.post("/reports/export", says("export"));
  app.use("/reports", says("report"));
  app.use(says("site"));
  return serve(name, app);
}

async function fastifyBackend(): Promise<Backend> {
  const app = Fastify({
    routerOptions: {
      caseSensitive: false,
      ignoreTrailingSlash: true,
      ignoreDuplicateSlashes: true,
      useSemicolonDelimiter: true,
    } as FastifyServerOptions["routerOptions"] & object,
  });
  const says =
    (handler: Handler) =>
    async (_request: unknown, reply: FastifyReply): Promise<string> => {
      void reply.header(upstreamHeader, handler);
      return "";
    };
  const both = (path: string): string[] => [path, `${path}/*`];
  for (const path of both("/admin")) app.all(path, says("admin"));
  for (const path of both("/items")) {
    app.get(path, says("read"));
    app.route({ method: ["POST", "PUT", "DELETE"], url: path, handler: says("write") });
  }
  app.post("/reports/export", says("export"));
  for (const path of both("/reports")) app.all(path, says("report"));
  app.setNotFoundHandler(says("site"));
  await app.listen({ host: "127.0.0.1", port: 0 });
  return { name: "Fastify", port: (app.server.address() as AddressInfo).port, close: () => app.close() };
}

async function serve(name: string, listener: RequestListener): Promise<Backend> {
  const server = createServer({ keepAliveTimeout: 60_000 }, listener);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    name,
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}
