import { type Kysely, type Migration, Migrator } from "kysely";
import type { SqlTypes } from "../dialect.ts";
import { StoreTrouble } from "../trouble.ts";
import { counters } from "./counters.ts";
import { gateways } from "./gateways.ts";
import { identity } from "./identity.ts";
import { initial } from "./initial.ts";
import { usage } from "./usage.ts";
import { usageParts } from "./usageParts.ts";

/** Every migration by its name; names are sorted, and one that was released never changes. */
function migrations(types: SqlTypes): Record<string, Migration> {
  return {
    "0001_initial": initial(types),
    "0002_counters": counters(types),
    "0003_usage": usage(types),
    "0004_identity": identity(types),
    "0005_usage_parts": usageParts(types),
    "0006_gateways": gateways(types),
  };
}

/** Brings the tables up to date. Kysely takes the database's lock, so replicas that start together wait for each other. */
export async function migrateToLatest<T>(db: Kysely<T>, types: SqlTypes): Promise<void> {
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations(types) } });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return;
  const text = error instanceof Error ? error.message : String(error);
  if (text.includes("corrupted migrations")) {
    throw new StoreTrouble("newer_schema", undefined, { cause: error });
  }
  throw error;
}
