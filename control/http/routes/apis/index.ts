import { fillApi } from "../../../domain/defaults.ts";
import { type ApiInput, ApiSchema, PutApiSchema } from "../../../domain/schema.ts";
import type { Services } from "../../context.ts";
import { named } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { recordRoutes } from "../records.ts";

/** /v1/apis */
export function apiRoutes(app: App, services: Services): void {
  recordRoutes(
    app,
    services,
    { kind: "api", schema: named("Api"), putSchema: PutApiSchema, fill: (body: ApiInput) => fillApi(body) },
    ApiSchema,
  );
}
