/** Admin and gateway tokens, by their digests. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Kysely, Transaction } from "kysely";
import { insertAudit } from "./auditLog.ts";
import type { SqlDialect } from "./dialect.ts";
import type { GatewayGrant } from "./feedSource.ts";
import { lockEnvironment } from "./lock.ts";
import { parseList } from "./records.ts";
import type { AdminToken, ChangeContext, GatewayToken, NewAdminToken, NewGatewayToken } from "./store.ts";
import type { AdminTokensTable, GatewayTokensTable, Tables } from "./tables.ts";
import { isUnavailable } from "./unavailable.ts";

/** A token's use is noted at most this often. */
const lastUseGrainMs = 60_000;
/** A token's holder waits no longer for the note. */
const noteWaitMs = 50;

export class Tokens {
  private readonly dialect: SqlDialect;
  /** digests of the tokens whose use is being noted */
  private readonly noting = new Set<string>();

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  async admin(digestHex: string, nowMs: number): Promise<AdminToken | undefined> {
    const row = await this.view((db) =>
      db.selectFrom("admin_tokens").selectAll().where("digest", "=", digestHex).executeTakeFirst(),
    );
    if (row === undefined || !valid(row, nowMs)) return undefined;
    await this.noteUse("admin_tokens", row, nowMs);
    return tokenOf(row);
  }

  async listAdmin(): Promise<AdminToken[]> {
    const rows = await this.view((db) => db.selectFrom("admin_tokens").selectAll().orderBy("id").execute());
    return rows.map(tokenOf);
  }

  async addAdmin(token: NewAdminToken, context: ChangeContext): Promise<boolean> {
    return this.write(async (trx) => {
      const made = await trx
        .insertInto("admin_tokens")
        .values({
          id: token.id,
          name: token.name,
          digest: token.digest,
          created_ms: context.nowMs,
          expires_ms: token.expiresAtMs,
          last_used_ms: null,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .executeTakeFirst();
      if (made !== undefined)
        await insertAudit(trx, context, { environment: null, action: "create", kind: "admin-token", id: token.id });
      return made !== undefined;
    });
  }

  async deleteAdmin(id: string, context: ChangeContext): Promise<boolean> {
    return this.write(async (trx) => {
      const gone = await trx.deleteFrom("admin_tokens").where("id", "=", id).returning("id").executeTakeFirst();
      if (gone !== undefined)
        await insertAudit(trx, context, { environment: null, action: "delete", kind: "admin-token", id });
      return gone !== undefined;
    });
  }

  async gateway(digestHex: string, nowMs: number): Promise<GatewayGrant | undefined> {
    const row = await this.view((db) =>
      db.selectFrom("gateway_tokens").selectAll().where("digest", "=", digestHex).executeTakeFirst(),
    );
    if (row === undefined || !valid(row, nowMs)) return undefined;
    await this.noteUse("gateway_tokens", row, nowMs);
    return {
      tokenId: row.id,
      group: row.group_name,
      environment: row.environment,
      apis: parseList<string>(row.apis) ?? null,
    };
  }

  async listGateway(environment: string): Promise<GatewayToken[]> {
    const rows = await this.view((db) =>
      db.selectFrom("gateway_tokens").selectAll().where("environment", "=", environment).orderBy("id").execute(),
    );
    return rows.map((row) => ({
      ...tokenOf(row),
      environment: row.environment,
      group: row.group_name,
      apis: parseList<string>(row.apis) ?? null,
    }));
  }

  async addGateway(token: NewGatewayToken, maxValid: number, context: ChangeContext): Promise<boolean> {
    return this.write(async (trx) => {
      // The environment's lock also orders those who count the group's tokens.
      if ((await lockEnvironment(trx, token.environment)) === undefined) return false;
      const group = await trx
        .selectFrom("gateway_tokens")
        .selectAll()
        .where("environment", "=", token.environment)
        .where("group_name", "=", token.group)
        .execute();
      if (group.filter((row) => valid(row, context.nowMs)).length >= maxValid) return false;
      const made = await trx
        .insertInto("gateway_tokens")
        .values({
          environment: token.environment,
          id: token.id,
          name: token.name,
          digest: token.digest,
          group_name: token.group,
          apis: token.apis === null ? null : JSON.stringify(token.apis),
          created_ms: context.nowMs,
          expires_ms: token.expiresAtMs,
          last_used_ms: null,
        })
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .executeTakeFirst();
      if (made === undefined) return false;
      const after = JSON.stringify({ group: token.group, apis: token.apis });
      await insertAudit(trx, context, {
        environment: token.environment,
        action: "create",
        kind: "gateway-token",
        id: token.id,
        after,
      });
      return true;
    });
  }

  async deleteGateway(environment: string, id: string, context: ChangeContext): Promise<boolean> {
    return this.write(async (trx) => {
      const gone = await trx
        .deleteFrom("gateway_tokens")
        .where("environment", "=", environment)
        .where("id", "=", id)
        .returning("id")
        .executeTakeFirst();
      if (gone !== undefined)
        await insertAudit(trx, context, { environment, action: "delete", kind: "gateway-token", id });
      return gone !== undefined;
    });
  }

  private async view<T>(use: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    return this.dialect.snapshot(use);
  }

  private async write<T>(use: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.dialect.db.transaction().execute(use);
  }

  private async noteUse(
    table: "admin_tokens" | "gateway_tokens",
    row: { digest: string; last_used_ms: number | null },
    nowMs: number,
  ): Promise<void> {
    if ((row.last_used_ms !== null && nowMs - row.last_used_ms < lastUseGrainMs) || this.noting.has(row.digest)) return;
    this.noting.add(row.digest);
    const noted = this.dialect.db
      .updateTable(table)
      .set({ last_used_ms: nowMs })
      .where("digest", "=", row.digest)
      .execute()
      .catch((error: unknown) => {
        if (!isUnavailable(error)) throw error;
      })
      .finally(() => this.noting.delete(row.digest));
    // Who only reads needs no database that takes writes: a full disk or a lock that another process holds must not keep gateways out.
    noted.catch(() => undefined);
    await Promise.race([noted, sleep(noteWaitMs, undefined, { ref: false })]);
  }
}

function valid(token: { expires_ms: number | null }, nowMs: number): boolean {
  return token.expires_ms === null || nowMs < token.expires_ms;
}

function tokenOf(row: AdminTokensTable | GatewayTokensTable): AdminToken {
  return {
    id: row.id,
    name: row.name,
    createdAtMs: row.created_ms,
    expiresAtMs: row.expires_ms,
    lastUsedAtMs: row.last_used_ms,
  };
}
