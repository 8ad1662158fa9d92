import { Type } from "@sinclair/typebox";
import { EnvironmentId, environmentPattern } from "../../../domain/schema.ts";
import { timeText } from "../../../domain/time.ts";
import { ControlError } from "../../../errors.ts";
import type { Environment } from "../../../store/store.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { answers } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const tags = ["environments"];
const EnvironmentAnswer = Type.Object({
  id: Type.String(),
  epoch: Type.String({ description: "Changes when the history of the environment starts anew: 16 hex digits." }),
  version: Type.Integer(),
  createdAt: Type.String(),
});
const Params = Type.Object({ id: Type.String({ pattern: environmentPattern }) }, { additionalProperties: false });

/** /v1/environments */
export function environmentRoutes(app: App, services: Services): void {
  const { store } = services;

  app.get("/environments", {
    schema: {
      operationId: "listEnvironments",
      tags,
      summary: "List environments",
      response: answers({ 200: Type.Object({ items: Type.Array(EnvironmentAnswer) }) }),
    },
    handler: async () => ({ items: (await store.environments()).map(shown) }),
  });

  app.post("/environments", {
    schema: {
      operationId: "createEnvironment",
      tags,
      summary: "Create an environment",
      body: Type.Object({ id: EnvironmentId }, { additionalProperties: false }),
      response: answers({ 201: EnvironmentAnswer }, 409, 413, 415),
    },
    handler: async (request, reply) => {
      const { id } = request.body;
      if (!(await store.createEnvironment(id, changeContext(request, services))))
        throw new ControlError("record_exists", `Environment \`${id}\` already exists.`);
      const made = (await store.environments()).find((environment) => environment.id === id)!;
      return reply.code(201).send(shown(made));
    },
  });

  app.post("/environments/:id/renew-epoch", {
    schema: {
      operationId: "renewEpoch",
      tags,
      summary: "Renew the epoch of an environment",
      description:
        "Every gateway then loads a full snapshot. Renew the epoch after you restore the database from a backup.",
      params: Params,
      response: answers({ 200: EnvironmentAnswer }, 404, 413, 415),
    },
    handler: async (request) => {
      const { id } = request.params;
      const renewed = await store.renewEpoch(id, changeContext(request, services));
      if (renewed === undefined) throw new ControlError("environment_not_found", `There is no environment \`${id}\`.`);
      return shown(renewed);
    },
  });
}

function shown({ id, epoch, version, createdAtMs }: Environment): object {
  return { id, epoch: epoch.toString(16).padStart(16, "0"), version, createdAt: timeText(createdAtMs) };
}
