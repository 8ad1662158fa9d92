/** Gateways that were heard of, by group and id. */
import type { Kysely, Selectable } from "kysely";
import type { SqlDialect } from "./dialect.ts";
import type { ClaimOutcome, GatewayClaim, GatewayReport } from "./feedSource.ts";
import { lockEnvironment } from "./lock.ts";
import type { Gateway } from "./store.ts";
import type { GatewaysTable, Tables } from "./tables.ts";

const keptMs = 7 * 86_400_000;
const pruneEveryMs = 3_600_000;
/** A group keeps the rows of so many times as many gateways as a token may have; the oldest make room. */
const rowsKeptTimes = 4;

export class GatewayRows {
  private readonly dialect: SqlDialect;
  private prunedMs = 0;

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  async claim({ environment, group, id, tokenId, nowMs, heldUntilMs, most }: GatewayClaim): Promise<ClaimOutcome> {
    return this.dialect.db.transaction().execute(async (trx) => {
      // So that two replicas don't both find room.
      await lockEnvironment(trx, environment);
      const held = trx.selectFrom("gateways").where("environment", "=", environment).where("held_until_ms", ">", nowMs);
      const other = await held.select("id").where("id", "=", id).where("group_name", "<>", group).executeTakeFirst();
      if (other !== undefined) return "held";
      const { count } = await held
        .select((eb) => eb.fn.countAll<number>().as("count"))
        .where("token_id", "=", tokenId)
        .where((eb) => eb.or([eb("id", "<>", id), eb("group_name", "<>", group)]))
        .executeTakeFirstOrThrow();
      if (Number(count) >= most) return "full";
      const values = { token_id: tokenId, held_until_ms: heldUntilMs };
      const before = await trx
        .updateTable("gateways")
        .set(values)
        .where("environment", "=", environment)
        .where("group_name", "=", group)
        .where("id", "=", id)
        .returning("id")
        .executeTakeFirst();
      if (before !== undefined) return "claimed";
      await trx
        .insertInto("gateways")
        .values({
          environment,
          group_name: group,
          id,
          ...values,
          version: 0,
          applied: 0,
          workers: 0,
          last_contact_ms: nowMs,
        })
        .execute();
      await this.makeRoom(trx, environment, group, most * rowsKeptTimes);
      return "claimed";
    });
  }

  async record(report: GatewayReport): Promise<void> {
    const values = {
      token_id: report.tokenId,
      version: Number(report.version),
      applied: Number(report.applied),
      workers: report.workers,
      last_contact_ms: report.lastContactMs,
      held_until_ms: report.heldUntilMs,
    };
    const { db } = this.dialect;
    await db
      .insertInto("gateways")
      .values({ environment: report.environment, group_name: report.group, id: report.id, ...values })
      .onConflict((conflict) => conflict.columns(["environment", "group_name", "id"]).doUpdateSet(values))
      .execute();
    if (report.lastContactMs - this.prunedMs < pruneEveryMs) return;
    this.prunedMs = report.lastContactMs;
    await db
      .deleteFrom("gateways")
      .where("last_contact_ms", "<", report.lastContactMs - keptMs)
      .execute();
  }

  /** By id, then by group. */
  async list(environment: string): Promise<Gateway[]> {
    const rows = await this.dialect.snapshot((db) =>
      db
        .selectFrom("gateways")
        .selectAll()
        .where("environment", "=", environment)
        .orderBy("id")
        .orderBy("group_name")
        .execute(),
    );
    return rows.map(gatewayOfRow);
  }

  private async makeRoom(db: Kysely<Tables>, environment: string, group: string, kept: number): Promise<void> {
    const ofGroup = db.selectFrom("gateways").where("environment", "=", environment).where("group_name", "=", group);
    const first = await ofGroup
      .select("last_contact_ms")
      .orderBy("last_contact_ms", "desc")
      .limit(1)
      .offset(kept)
      .executeTakeFirst();
    if (first === undefined) return;
    await db
      .deleteFrom("gateways")
      .where("environment", "=", environment)
      .where("group_name", "=", group)
      .where("last_contact_ms", "<=", first.last_contact_ms)
      .execute();
  }
}

function gatewayOfRow(row: Selectable<GatewaysTable>): Gateway {
  return {
    environment: row.environment,
    id: row.id,
    group: row.group_name,
    version: row.version,
    applied: row.applied,
    workers: row.workers,
    lastContactMs: row.last_contact_ms,
  };
}
