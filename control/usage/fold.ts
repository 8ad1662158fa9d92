/** Counts what lies in the inbox: some of a part at a time, in one transaction that also takes it out. */
import type { Transaction } from "kysely";
import { bulkAdd } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import { unpackEntries } from "./inboxText.ts";
import { Merged } from "./merged.ts";
import { Names } from "./names.ts";
import { countKeyColumns, countRow, refusalKeyColumns, refusalRow, rolledUp } from "./rows.ts";
import { SeriesIds } from "./series.ts";
import { Tally } from "./tally.ts";

/** SQLite counts on the main thread and holds its only lock meanwhile: a step is to take some milliseconds. Most of them are the rows it writes. */
const stepMerged = 400;
const stepRows = 500;
const dayMs = 86_400_000;

export class Fold {
  private readonly dialect: SqlDialect;
  private readonly nowMs: (() => number) | undefined;
  private readonly names: Names;
  private readonly series: SeriesIds;

  constructor(dialect: SqlDialect, nowMs: (() => number) | undefined) {
    this.dialect = dialect;
    this.nowMs = nowMs;
    this.names = new Names(dialect);
    this.series = new SeriesIds(dialect);
  }

  /** The parts that have something to count. */
  async parts(): Promise<number[]> {
    const rows = await this.dialect.db.selectFrom("usage_inbox").select("part").distinct().orderBy("part").execute();
    return rows.map(({ part }) => part);
  }

  /** Counts some of a part. Gives whether there may be more of it. */
  async step(part: number): Promise<boolean> {
    const { remember, more } = await this.dialect.db
      .transaction()
      .setIsolationLevel("read committed")
      .execute((trx) => this.count(trx, part));
    remember();
    return more;
  }

  private async count(trx: Transaction<Tables>, part: number): Promise<{ more: boolean; remember(): void }> {
    const clockMs = await this.dialect.lockUsage(trx);
    const nowMs = this.nowMs?.() ?? clockMs;
    const { merged, more } = await takeRows(trx, part);
    const named = [];
    for (const [environment, entries] of merged) {
      const names = await this.names.of(trx, environment, entries);
      named.push(...entries.map((entry, index) => ({ environment, entry, names: names[index]! })));
    }
    const { ids, remember } = await this.series.of(trx, named, Math.floor(nowMs / dayMs));
    const tally = new Tally(await rolledUp(trx), nowMs);
    named.forEach(({ entry }, index) => tally.add(entry, ids[index]!));
    const { bulk } = this.dialect;
    await bulkAdd(trx, bulk, "usage_counts", countRow, countKeyColumns, tally.counts);
    await bulkAdd(trx, bulk, "usage_refusals", refusalRow, refusalKeyColumns, tally.refusals);
    return { more, remember };
  }
}

/** Takes the oldest rows of a part out of the inbox, and adds their entries up. */
async function takeRows(trx: Transaction<Tables>, part: number): Promise<{ merged: Merged; more: boolean }> {
  const oldest = await trx
    .selectFrom("usage_inbox")
    .select(["row_id", "environment", "entries"])
    .where("part", "=", part)
    .orderBy("row_id")
    .limit(stepRows)
    .execute();
  const merged = new Merged();
  const ids: number[] = [];
  for (const row of oldest) {
    merged.add(row.environment, unpackEntries(row.entries));
    ids.push(row.row_id);
    if (merged.size >= stepMerged) break;
  }
  // By their numbers: a row that another transaction wrote meanwhile may lie between them.
  if (ids.length > 0) await trx.deleteFrom("usage_inbox").where("row_id", "in", ids).execute();
  return { merged, more: ids.length === stepRows || ids.length < oldest.length };
}
