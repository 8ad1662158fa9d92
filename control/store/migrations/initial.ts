import { type ColumnDefinitionBuilder, type Kysely, type Migration, sql } from "kysely";
import type { SqlTypes } from "../dialect.ts";

/** The first version of all tables. Ids compare as bytes on every database, so that pages come in one order. */
export function initial(types: SqlTypes): Migration {
  const { id, int64, blob } = types;
  const required = (column: ColumnDefinitionBuilder) => column.notNull();
  return {
    async up(db: Kysely<unknown>): Promise<void> {
      await db.schema
        .createTable("environments")
        .addColumn("id", id, (column) => column.primaryKey().notNull())
        .addColumn("epoch", "text", required)
        .addColumn("version", int64, required)
        .addColumn("next_wire_id", int64, required)
        .addColumn("log_from", int64, required)
        .addColumn("created_ms", int64, required)
        .execute();

      for (const table of ["apis", "tiers", "consumers"]) {
        let builder = db.schema
          .createTable(table)
          .addColumn("environment", id, required)
          .addColumn("id", id, required)
          .addColumn("wire_id", int64, required)
          .addColumn("spec", "text", required)
          .addColumn("version", int64, required)
          .addPrimaryKeyConstraint(`${table}_pk`, ["environment", "id"])
          .addUniqueConstraint(`${table}_wire_id`, ["environment", "wire_id"]);
        if (table === "consumers") builder = builder.addColumn("tier_wire_id", int64);
        await builder.execute();
      }
      await db.schema.createIndex("consumers_tier").on("consumers").columns(["environment", "tier_wire_id"]).execute();

      await db.schema
        .createTable("keys")
        .addColumn("row_id", types.rowId, types.rowIdColumn)
        .addColumn("environment", id, required)
        .addColumn("id", id, required)
        .addColumn("digest", blob, required)
        .addColumn("consumer_wire_id", int64, required)
        .addColumn("tier_wire_id", int64)
        .addColumn("state", "integer", required)
        .addColumn("not_before_ms", int64)
        .addColumn("expires_at_ms", int64)
        .addColumn("name", "text")
        .addColumn("prefix", "text")
        .addColumn("rotated_to", "text")
        .addColumn("cidrs", "text")
        .addColumn("apis", "text")
        .addColumn("scopes", "text")
        .addColumn("limits", "text")
        .addColumn("created_ms", int64, required)
        .addColumn("version", int64, required)
        .addUniqueConstraint("keys_id", ["environment", "id"])
        .execute();
      // Gateways know a key by its first 16 digest bytes, so those are what must differ.
      await sql`create unique index keys_digest on keys (environment, substr(digest, 1, 16))`.execute(db);
      await sql`create index keys_consumer on keys (environment, consumer_wire_id, row_id)`.execute(db);
      await sql`create index keys_row on keys (environment, row_id)`.execute(db);
      await sql`create index keys_tier on keys (environment, tier_wire_id) where tier_wire_id is not null`.execute(db);
      await sql`create index keys_apis on keys (environment, row_id) where apis is not null`.execute(db);
      await sql`create index keys_limits on keys (environment, row_id) where limits is not null`.execute(db);

      await db.schema
        .createTable("limit_ids")
        .addColumn("environment", id, required)
        .addColumn("owner_kind", "text", required)
        .addColumn("owner", int64, required)
        .addColumn("name", id, required)
        .addColumn("wire_id", int64, required)
        .addPrimaryKeyConstraint("limit_ids_pk", ["environment", "owner_kind", "owner", "name"])
        .execute();

      await db.schema
        .createTable("changes")
        .addColumn("row_id", types.rowId, types.rowIdColumn)
        .addColumn("environment", id, required)
        .addColumn("version", int64, required)
        .addColumn("kind", "text", required)
        .addColumn("id", "text", required)
        .addColumn("wire_id", int64)
        .addColumn("digest", blob)
        .addColumn("deleted", "integer", required)
        .execute();
      await sql`create index changes_version on changes (environment, version, row_id)`.execute(db);

      await db.schema
        .createTable("audit")
        .addColumn("row_id", types.rowId, types.rowIdColumn)
        .addColumn("environment", id)
        .addColumn("time_ms", int64, required)
        .addColumn("actor", "text", required)
        .addColumn("action", "text", required)
        .addColumn("kind", "text", required)
        .addColumn("id", "text", required)
        .addColumn("before", "text")
        .addColumn("after", "text")
        .addColumn("version", int64)
        .addColumn("request_id", "text", required)
        .execute();
      await sql`create index audit_environment on audit (environment, row_id)`.execute(db);
      await sql`create index audit_id on audit (id, row_id)`.execute(db);

      await db.schema
        .createTable("admin_tokens")
        .addColumn("id", id, (column) => column.primaryKey().notNull())
        .addColumn("name", "text", required)
        .addColumn("digest", "text", (column) => column.notNull().unique())
        .addColumn("created_ms", int64, required)
        .addColumn("expires_ms", int64)
        .addColumn("last_used_ms", int64)
        .execute();

      await db.schema
        .createTable("gateway_tokens")
        .addColumn("environment", id, required)
        .addColumn("id", id, required)
        .addColumn("name", "text", required)
        .addColumn("digest", "text", (column) => column.notNull().unique())
        .addColumn("group_name", "text", required)
        .addColumn("apis", "text")
        .addColumn("created_ms", int64, required)
        .addColumn("expires_ms", int64)
        .addColumn("last_used_ms", int64)
        .addPrimaryKeyConstraint("gateway_tokens_pk", ["environment", "id"])
        .execute();

      await db.schema
        .createTable("gateways")
        .addColumn("environment", id, required)
        .addColumn("id", id, required)
        .addColumn("group_name", "text", required)
        .addColumn("version", int64, required)
        .addColumn("applied", int64, required)
        .addColumn("workers", "integer", required)
        .addColumn("last_contact_ms", int64, required)
        .addPrimaryKeyConstraint("gateways_pk", ["environment", "id"])
        .execute();
    },
  };
}
