import type { ColumnDefinitionBuilder, Kysely, Migration } from "kysely";
import type { SqlTypes } from "../dialect.ts";

/** Internal tokens: what environments say of them, and the keys that sign them. */
export function identity(types: SqlTypes): Migration {
  const { id, int64 } = types;
  const required = (column: ColumnDefinitionBuilder) => column.notNull();
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("internal_tokens")
        .addColumn("environment", id, (column) => column.primaryKey().notNull())
        .addColumn("spec", "text", required)
        .execute();
      await db.schema
        .createTable("signing_keys")
        .addColumn("environment", id, required)
        .addColumn("kid", id, required)
        .addColumn("jwk", "text", required)
        .addColumn("created_ms", int64, required)
        .addColumn("signs_from_ms", int64, required)
        .addPrimaryKeyConstraint("signing_keys_pk", ["environment", "kid"])
        .execute();
    },
  };
}
