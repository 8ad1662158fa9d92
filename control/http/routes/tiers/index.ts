import { fillTier } from "../../../domain/defaults.ts";
import { PutTierSchema, type TierInput, TierSchema } from "../../../domain/schema.ts";
import type { Services } from "../../context.ts";
import { named } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";
import { recordRoutes } from "../records.ts";

/** /v1/tiers */
export function tierRoutes(app: App, services: Services): void {
  recordRoutes(
    app,
    services,
    { kind: "tier", schema: named("Tier"), putSchema: PutTierSchema, fill: (body: TierInput) => fillTier(body) },
    TierSchema,
  );
}
