/** Turns every failure into problem+json, unknown paths and methods included. */
import type { FastifyError, FastifyReply, FastifyRequest } from "fastify";
import { CountersUnavailable } from "../counters/store.ts";
import { ControlError, problemBody } from "../errors.ts";
import { maskSecrets } from "../secrets.ts";
import { StoreTrouble, troubleOf } from "../store/trouble.ts";
import type { App } from "./typeProvider.ts";

/** Answers with an error's problem details. They may repeat what the request said, but no key and no token. */
export function sendProblem(request: FastifyRequest, reply: FastifyReply, error: ControlError): FastifyReply {
  if (error.code === "unauthenticated") reply.header("www-authenticate", 'Bearer realm="tollgate admin"');
  if (error.status === 503) reply.header("retry-after", "1");
  return reply
    .code(error.status)
    .header("content-type", "application/problem+json; charset=utf-8")
    .send(maskSecrets(JSON.stringify(problemBody(error, request.id))));
}

/** Installs the handlers. Must come before the routes, whose methods it learns for 405. */
export function installProblems(app: App): void {
  const routes = new Map<string, Set<string>>();
  app.addHook("onRoute", ({ url, method }) => {
    const methods = routes.get(url) ?? new Set<string>();
    for (const one of [method].flat()) methods.add(one);
    routes.set(url, methods);
  });
  let patterns: { pattern: RegExp; methods: Set<string> }[] | undefined;

  app.setErrorHandler((error: FastifyError | ControlError, request, reply) => {
    const known = asControlError(error);
    if (known.status >= 500) request.log.error({ err: error, requestId: request.id }, "request failed");
    return sendProblem(request, reply, known);
  });

  app.setNotFoundHandler((request, reply) => {
    patterns ??= [...routes].map(([url, methods]) => ({ pattern: routePattern(url), methods }));
    const path = request.url.split("?", 1)[0]!;
    const allowed = new Set(
      patterns.filter(({ pattern }) => pattern.test(path)).flatMap(({ methods }) => [...methods]),
    );
    if (allowed.size === 0) return sendProblem(request, reply, new ControlError("not_found"));
    reply.header("allow", [...allowed].sort().join(", "));
    return sendProblem(request, reply, new ControlError("method_not_allowed"));
  });
}

/** The answer to what the database's condition hinders, or `undefined` for any other error. */
export function databaseProblem(error: unknown): ControlError | undefined {
  const trouble = troubleOf(error);
  return trouble === undefined ? undefined : new ControlError("not_ready", trouble.message, { remedy: trouble.remedy });
}

/** As `databaseProblem`, of the counter store's error. */
export function countersProblem(error: unknown): ControlError | undefined {
  if (!(error instanceof CountersUnavailable)) return undefined;
  return error.cause instanceof StoreTrouble
    ? databaseProblem(error.cause)
    : new ControlError("not_ready", error.message);
}

function asControlError(error: FastifyError | ControlError): ControlError {
  if (error instanceof ControlError) return error;
  const trouble = countersProblem(error) ?? databaseProblem(error);
  if (trouble !== undefined) return trouble;
  switch (error.code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new ControlError("body_too_large");
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new ControlError("unsupported_media_type");
    case "FST_ERR_CTP_EMPTY_JSON_BODY":
      return new ControlError("invalid_json", "The body is empty.");
    case "FST_ERR_CTP_INVALID_JSON_BODY":
    case "FST_ERR_CTP_INVALID_CONTENT_LENGTH":
      return new ControlError("invalid_json", error.message);
    default:
      if (error instanceof SyntaxError && error.statusCode === 400)
        return new ControlError("invalid_json", "The body is not well-formed JSON.");
      return error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500
        ? new ControlError("invalid_request", error.message)
        : new ControlError("internal");
  }
}

function routePattern(url: string): RegExp {
  const steps = url
    .split("/")
    .map((step) => (step.startsWith(":") ? "[^/]+" : step.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&")));
  return new RegExp(`^${steps.join("/")}$`);
}
