import { Type } from "@sinclair/typebox";
import { ControlError } from "../../../errors.ts";
import type { Services } from "../../context.ts";
import { countersProblem, databaseProblem } from "../../problems.ts";
import { answers } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const tags = ["operations"];
const Status = Type.Object({ status: Type.String() });

/** /healthz, /readyz, /metrics: without a token, for probes and Prometheus. */
export function healthRoutes(app: App, services: Services, readGauges: () => Promise<void>): void {
  app.get("/healthz", {
    schema: { tags, security: [], summary: "Is the process alive?", response: { 200: Status } },
    handler: async () => ({ status: "ok" }),
  });

  app.get("/readyz", {
    schema: { tags, security: [], summary: "Do the database and the counter store answer, and is the feed served?", response: answers({ 200: Status }) },
    handler: async () => {
      if (!services.feedReady()) throw new ControlError("not_ready", "The sync server isn't up.");
      await services.store.ping().catch((error: unknown) => {
        throw databaseProblem(error) ?? new ControlError("not_ready", "The database doesn't answer.");
      });
      await services.counterCheck?.().catch((error: unknown) => {
        throw countersProblem(error) ?? new ControlError("not_ready", "The counter store doesn't answer.");
      });
      return { status: "ready" };
    },
  });

  app.get("/metrics", {
    schema: { tags, security: [], summary: "Prometheus metrics", produces: ["text/plain"], response: { 200: Type.String() } },
    handler: async (request, reply) => {
      // Without the database the process's own metrics are still worth having.
      await readGauges().catch((error: unknown) => request.log.warn({ err: error }, "versions and gateways could not be read"));
      return reply.header("content-type", services.registry.contentType).send(await services.registry.metrics());
    },
  });
}
