/** The admin API: routes, authentication, errors, OpenAPI, metrics. */
import { randomUUID } from "node:crypto";
import swagger from "@fastify/swagger";
import { maskSecrets } from "../secrets.ts";
import Fastify, { type FastifyBaseLogger, LogController } from "fastify";
import { ControlError } from "../errors.ts";
import { requireAdmin } from "./auth.ts";
import type { Services } from "./context.ts";
import { installMetrics } from "./metrics.ts";
import { openApiDocument } from "./openapi.ts";
import { installProblems, sendProblem } from "./problems.ts";
import { adminTokenRoutes } from "./routes/adminTokens/index.ts";
import { apiRoutes } from "./routes/apis/index.ts";
import { auditRoutes } from "./routes/audit/index.ts";
import { consumerRoutes } from "./routes/consumers/index.ts";
import { environmentRoutes } from "./routes/environments/index.ts";
import { fileRoutes } from "./routes/files/index.ts";
import { gatewayRoutes } from "./routes/gateways/index.ts";
import { gatewayTokenRoutes } from "./routes/gatewayTokens/index.ts";
import { healthRoutes } from "./routes/health/index.ts";
import { keyRoutes } from "./routes/keys/index.ts";
import { quotaRoutes } from "./routes/quota/index.ts";
import { tierRoutes } from "./routes/tiers/index.ts";
import { signingKeyRoutes } from "./routes/signingKeys/index.ts";
import { usageRoutes } from "./routes/usage/index.ts";
import { namedSchemas } from "./schemas.ts";
import type { App } from "./typeProvider.ts";
import { validatorCompiler } from "./validation.ts";

const bodyMaxBytes = 1024 * 1024;
const requestTimeoutMs = 600_000;

/** Builds the admin API, not yet listening. */
export async function createAdminServer(services: Services, logger: FastifyBaseLogger): Promise<App> {
  const app: App = Fastify({
    loggerInstance: logger,
    // Our own line per request below: Fastify's holds the URL, in which someone may have put a key.
    logController: new LogController({ disableRequestLogging: true }),
    bodyLimit: bodyMaxBytes,
    requestTimeout: requestTimeoutMs,
    forceCloseConnections: "idle",
    routerOptions: { ignoreTrailingSlash: false, maxParamLength: 200 },
    frameworkErrors: (_error, request, reply) =>
      sendProblem(request, reply, new ControlError("not_found", "The path has a bad escape or is too long.")),
    genReqId: (request) => {
      const given = request.headers["x-request-id"];
      return typeof given === "string" && /^[\x21-\x7e]{1,128}$/.test(given)
        ? maskSecrets(given).replaceAll("…", "...")
        : randomUUID();
    },
  });
  app.setValidatorCompiler(validatorCompiler);
  // Answers are what handlers make them; their schemas are for the document, and a test holds the two together.
  app.setSerializerCompiler(() => JSON.stringify);
  app.decorateRequest("actor", "");
  readJson(app);
  installProblems(app);
  const readGauges = installMetrics(app, services);
  app.addHook("onRequest", async (request, reply) => void reply.header("x-request-id", request.id));
  app.addHook("onResponse", async (request, reply) => {
    const route = request.routeOptions.url ?? "unknown";
    request.log.info(
      {
        method: request.method,
        route,
        status: reply.statusCode,
        milliseconds: Math.round(reply.elapsedTime),
        actor: request.actor,
      },
      "request",
    );
  });
  for (const [name, schema] of Object.entries(namedSchemas)) app.addSchema({ ...schema, $id: name });
  await app.register(swagger, openApiDocument);
  await app.register(async (scope: App) => {
    healthRoutes(scope, services, readGauges);
    scope.get("/openapi.json", { schema: { hide: true }, handler: async () => app.swagger() });
  });
  await app.register(
    async (scope: App) => {
      requireAdmin(scope, services);
      apiRoutes(scope, services);
      tierRoutes(scope, services);
      consumerRoutes(scope, services);
      keyRoutes(scope, services);
      environmentRoutes(scope, services);
      gatewayTokenRoutes(scope, services);
      adminTokenRoutes(scope, services);
      signingKeyRoutes(scope, services);
      auditRoutes(scope, services);
      gatewayRoutes(scope, services);
      usageRoutes(scope, services);
      quotaRoutes(scope, services);
      await scope.register(async (files: App) => fileRoutes(files, services));
    },
    { prefix: "/v1" },
  );
  return app;
}

/** JSON bodies, and none: acts such as revoke have nothing to say, yet clients send a content type with them. */
function readJson(app: App): void {
  app.removeAllContentTypeParsers();
  const parse = app.getDefaultJsonParser("error", "error");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body === "") done(null, undefined);
    else void parse(request, body as string, done);
  });
}
