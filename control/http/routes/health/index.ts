import { Type } from "@sinclair/typebox";
import { ControlError } from "../../../errors.ts";
import type { Services } from "../../context.ts";
import { countersProblem, databaseProblem } from "../../problems.ts";
import { problemAnswers } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const tags = ["operations"];
const Status = Type.Object({ status: Type.String() });

/** /healthz, /readyz, /metrics: without a token, for probes and Prometheus. */
export function healthRoutes(app: App, services: Services, readGauges: () => Promise<void>): void {
  app.get("/healthz", {
    schema: {
      operationId: "checkHealth",
      tags,
      security: [],
      summary: "Check that the process is alive",
      response: { 200: Status, ...problemAnswers(500) },
    },
    handler: async () => ({ status: "ok" }),
  });

  app.get("/readyz", {
    schema: {
      operationId: "checkReadiness",
      tags,
      security: [],
      summary: "Check that the control plane is ready",
      description: "Checks the database, the counter store and the sync server.",
      response: { 200: Status, ...problemAnswers(500, 503) },
    },
    handler: async () => {
      if (!services.feedReady()) throw new ControlError("not_ready", "The sync server isn't listening.");
      await services.store.ping().catch((error: unknown) => {
        throw databaseProblem(error) ?? new ControlError("not_ready", "The database doesn't respond.");
      });
      await services.counterCheck?.().catch((error: unknown) => {
        throw countersProblem(error) ?? new ControlError("not_ready", "The counter store doesn't respond.");
      });
      return { status: "ready" };
    },
  });

  app.get("/metrics", {
    schema: {
      operationId: "readMetrics",
      tags,
      security: [],
      summary: "Read Prometheus metrics",
      produces: ["text/plain"],
      response: { 200: Type.String(), ...problemAnswers(500) },
    },
    handler: async (request, reply) => {
      // Without the database the process's own metrics are still worth having.
      await readGauges().catch((error: unknown) =>
        request.log.warn({ err: error }, "versions and gateways could not be read"),
      );
      return reply.header("content-type", services.registry.contentType).send(await services.registry.metrics());
    },
  });
}
