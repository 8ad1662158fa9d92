import { Type } from "@sinclair/typebox";
import { timeText } from "../../../domain/time.ts";
import type { Services } from "../../context.ts";
import { requireEnvironment } from "../../operations/environment.ts";
import { answers, EnvironmentQuery } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

/** A long poll lasts 55 s at most; a gateway silent for longer than that and a reserve is lost. */
export const gatewayLostMs = 75_000;

const Gateway = Type.Object({
  id: Type.String({ description: "`<node id>~<boot id>`" }),
  group: Type.String(),
  state: Type.Unsafe<string>({ type: "string", enum: ["connected", "lost"] }),
  version: Type.Integer({ description: "The latest version that the gateway received." }),
  applied: Type.Integer({ description: "The lowest version that its serving workers use. 0: none yet." }),
  lag: Type.Integer({
    description:
      "How many versions the gateway is behind: its slowest serving worker or, if none serves yet, the snapshot it holds for them.",
  }),
  workers: Type.Integer(),
  lastContact: Type.String(),
});

/** How many versions a gateway is behind: a worker that has had no request yet needs nothing, and starts from what the gateway holds. */
export function gatewayLag(gateway: { version: number; applied: number; workers: number }, version: number): number {
  return Math.max(0, version - (gateway.workers > 0 ? gateway.applied : gateway.version));
}

/** /v1/gateways */
export function gatewayRoutes(app: App, services: Services): void {
  app.get("/gateways", {
    schema: {
      operationId: "listGateways",
      tags: ["gateways"],
      summary: "List gateways",
      description:
        "Returns the gateways that contacted the control plane within the last week, with their version, lag and last contact.",
      querystring: EnvironmentQuery,
      response: answers({ 200: Type.Object({ version: Type.Integer(), items: Type.Array(Gateway) }) }, 404),
    },
    handler: async (request) => {
      const { environment = "default" } = request.query;
      const version = Number((await requireEnvironment(services.store, environment)).version);
      const nowMs = services.nowMs();
      const items = (await services.store.gateways(environment)).map((gateway) => ({
        id: gateway.id,
        group: gateway.group,
        state: nowMs - gateway.lastContactMs < gatewayLostMs ? "connected" : "lost",
        version: gateway.version,
        applied: gateway.applied,
        lag: gatewayLag(gateway, version),
        workers: gateway.workers,
        lastContact: timeText(gateway.lastContactMs),
      }));
      return { version, items };
    },
  });
}
