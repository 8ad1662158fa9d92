import { fillConsumer } from "../../../domain/defaults.ts";
import { type ConsumerInput, ConsumerSchema, PutConsumerSchema } from "../../../domain/schema.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { changeRecord } from "../../operations/putRecord.ts";
import { answers, EnvironmentQuery, IdParams, named } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { recordRoutes, sendRecord, target } from "../records.ts";

/** /v1/consumers */
export function consumerRoutes(app: App, services: Services): void {
  recordRoutes(
    app,
    services,
    {
      kind: "consumer",
      schema: named("Consumer"),
      putSchema: PutConsumerSchema,
      fill: (body: ConsumerInput, stored) => fillConsumer(body, stored),
    },
    ConsumerSchema,
  );

  for (const [action, suspended, summary, description] of [
    ["suspend", true, "Suspend a consumer", "Gateways deny all keys and tokens of the consumer until you resume it."],
    ["resume", false, "Resume a consumer", "Ends the suspension of the consumer."],
  ] as const) {
    app.post(`/consumers/:id/${action}`, {
      schema: {
        operationId: `${action}Consumer`,
        tags: ["consumers"],
        summary,
        description,
        params: IdParams,
        querystring: EnvironmentQuery,
        response: answers({ 200: named("Consumer") }, 404, 413, 415),
      },
      handler: async (request, reply) => {
        const { environment, id } = target(request);
        const stored = await changeRecord(
          services.store,
          environment,
          "consumer",
          id,
          action,
          (consumer) => ({ ...consumer, suspended }),
          changeContext(request, services),
        );
        return sendRecord(reply, stored);
      },
    });
  }
}
