import { type ColumnDefinitionBuilder, type Kysely, type Migration, sql } from "kysely";
import type { SqlTypes } from "../dialect.ts";

/** Gateways by group and id, so that no group writes another's rows; whose token they came with, and for how long they have their id. */
export function gateways({ id, int64 }: SqlTypes): Migration {
  const required = (column: ColumnDefinitionBuilder) => column.notNull();
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("gateways_by_group")
        .addColumn("environment", id, required)
        .addColumn("group_name", id, required)
        .addColumn("id", id, required)
        .addColumn("token_id", "text", (column) => column.notNull().defaultTo(""))
        .addColumn("version", int64, required)
        .addColumn("applied", int64, required)
        .addColumn("workers", "integer", required)
        .addColumn("last_contact_ms", int64, required)
        .addColumn("held_until_ms", int64, (column) => column.notNull().defaultTo(0))
        .addPrimaryKeyConstraint("gateways_by_group_pk", ["environment", "group_name", "id"])
        .execute();
      const columns = sql.raw("environment, group_name, id, version, applied, workers, last_contact_ms");
      await sql`insert into gateways_by_group (${columns}) select ${columns} from gateways`.execute(db);
      await db.schema.dropTable("gateways").execute();
      await db.schema.alterTable("gateways_by_group").renameTo("gateways").execute();
      await db.schema.createIndex("gateways_id").on("gateways").columns(["environment", "id"]).execute();
    },
  };
}
