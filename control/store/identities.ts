/** Signing keys, and callers by what gateways know of them. */
import { type Kysely, type Selectable, sql } from "kysely";
import type { JWK } from "jose";
import type { Consumer, InternalToken, Tier } from "../domain/model.ts";
import type { Caller, CallerAsk, Identity, SigningKey } from "../internalTokens/store.ts";
import { insertAudit } from "./auditLog.ts";
import type { SqlDialect } from "./dialect.ts";
import { lockEnvironment } from "./lock.ts";
import { SqlReader } from "./reader.ts";
import { bufferOf, type KeyRow, specOf } from "./records.ts";
import type { ChangeContext } from "./store.ts";
import type { SigningKeysTable, Tables } from "./tables.ts";

export class Identities {
  private readonly dialect: SqlDialect;

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  async identity(environment: string): Promise<Identity | undefined> {
    return this.dialect.snapshot(async (db) => {
      const known = await db.selectFrom("environments").select("id").where("id", "=", environment).executeTakeFirst();
      if (known === undefined) return undefined;
      const row = await db
        .selectFrom("internal_tokens")
        .select("spec")
        .where("environment", "=", environment)
        .executeTakeFirst();
      return {
        keys: await keysOf(db, environment),
        ...(row === undefined ? {} : { settings: JSON.parse(row.spec) as InternalToken }),
      };
    });
  }

  async changeKeys(
    environment: string,
    edit: (keys: SigningKey[]) => SigningKey[],
    audit?: { context: ChangeContext; action: string; id: string },
  ): Promise<SigningKey[] | undefined> {
    return this.dialect.db.transaction().execute(async (trx) => {
      if ((await lockEnvironment(trx, environment)) === undefined) return undefined;
      const before = await keysOf(trx, environment);
      const after = edit(before);
      const kept = new Set(after.map(({ kid }) => kid));
      const had = new Set(before.map(({ kid }) => kid));
      const gone = before.filter(({ kid }) => !kept.has(kid));
      if (gone.length > 0)
        await trx
          .deleteFrom("signing_keys")
          .where("environment", "=", environment)
          .where(
            "kid",
            "in",
            gone.map(({ kid }) => kid),
          )
          .execute();
      const added = after.filter(({ kid }) => !had.has(kid));
      if (added.length > 0) {
        const rows = added.map(({ kid, jwk, createdAtMs, signsFromMs }) => ({
          environment,
          kid,
          jwk: JSON.stringify(jwk),
          created_ms: createdAtMs,
          signs_from_ms: signsFromMs,
        }));
        await trx.insertInto("signing_keys").values(rows).execute();
      }
      if (audit !== undefined) {
        const after = JSON.stringify({ added: added.map(({ kid }) => kid), removed: gone.map(({ kid }) => kid) });
        await insertAudit(trx, audit.context, {
          environment,
          action: audit.action,
          kind: "token-key",
          id: audit.id,
          after,
        });
      }
      return keysOf(trx, environment);
    });
  }

  async callers(environment: string, asks: readonly CallerAsk[]): Promise<(Caller | undefined)[]> {
    return this.dialect.snapshot(async (db) => {
      const digests = asks.flatMap((ask) => (ask.kind === "key" ? [Buffer.from(ask.digest, "hex")] : []));
      const rows = await keyRows(db, environment, digests);
      const keys = new Map(
        (await new SqlReader(db, environment).keys(rows)).map(({ record }) => [record.sha256.slice(0, 32), record]),
      );
      const rowOf = new Map(rows.map((row) => [bufferOf(row.digest).toString("hex", 0, 16), row]));
      const consumers = await consumersOf(
        db,
        environment,
        asks.flatMap((ask) => (ask.kind === "key" ? (rowOf.get(ask.digest)?.consumer_wire_id ?? []) : [ask.consumer])),
      );
      const tierIds = asks.flatMap((ask) =>
        ask.kind === "key" ? (rowOf.get(ask.digest)?.tier_wire_id ?? []) : [ask.tier],
      );
      const tiers = await tiersOf(db, environment, [
        ...tierIds,
        ...[...consumers.values()].flatMap(({ tierWireId }) => tierWireId ?? []),
      ]);
      return asks.map((ask) => {
        const row = ask.kind === "key" ? rowOf.get(ask.digest) : undefined;
        const consumer = consumers.get(ask.kind === "key" ? (row?.consumer_wire_id ?? 0) : ask.consumer);
        const tier = tiers.get(ask.kind === "key" ? (row?.tier_wire_id ?? consumer?.tierWireId ?? 0) : ask.tier);
        if (consumer === undefined || tier === undefined) return undefined;
        return { consumer: consumer.consumer, tier, ...(ask.kind === "key" ? { key: keys.get(ask.digest)! } : {}) };
      });
    });
  }
}

async function keysOf(db: Kysely<Tables>, environment: string): Promise<SigningKey[]> {
  const rows = await db
    .selectFrom("signing_keys")
    .selectAll()
    .where("environment", "=", environment)
    .orderBy("signs_from_ms")
    .orderBy("kid")
    .execute();
  return rows.map(signingKeyOf);
}

function signingKeyOf(row: Selectable<SigningKeysTable>): SigningKey {
  return { kid: row.kid, jwk: JSON.parse(row.jwk) as JWK, createdAtMs: row.created_ms, signsFromMs: row.signs_from_ms };
}

async function keyRows(db: Kysely<Tables>, environment: string, digests: readonly Buffer[]): Promise<KeyRow[]> {
  if (digests.length === 0) return [];
  return db
    .selectFrom("keys")
    .selectAll()
    .where("environment", "=", environment)
    .where(sql<Buffer>`substr(digest, 1, 16)`, "in", digests)
    .execute();
}

async function consumersOf(
  db: Kysely<Tables>,
  environment: string,
  wireIds: readonly number[],
): Promise<Map<number, { consumer: Consumer; tierWireId: number | null }>> {
  if (wireIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("consumers")
    .select(["wire_id", "tier_wire_id", "spec"])
    .where("environment", "=", environment)
    .where("wire_id", "in", [...new Set(wireIds)])
    .execute();
  return new Map(
    rows.map((row) => [row.wire_id, { consumer: specOf("consumer", row.spec), tierWireId: row.tier_wire_id }]),
  );
}

async function tiersOf(
  db: Kysely<Tables>,
  environment: string,
  wireIds: readonly number[],
): Promise<Map<number, Tier>> {
  if (wireIds.length === 0) return new Map();
  const rows = await db
    .selectFrom("tiers")
    .select(["wire_id", "spec"])
    .where("environment", "=", environment)
    .where("wire_id", "in", [...new Set(wireIds)])
    .execute();
  return new Map(rows.map((row) => [row.wire_id, specOf("tier", row.spec)]));
}
