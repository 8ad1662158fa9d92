/** Counts what lies in the inbox: a few rows at a time, in one transaction that also takes them out. */
import type { Transaction } from "kysely";
import { bulkAdd } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import { unpackEntries } from "./inboxText.ts";
import { Names } from "./names.ts";
import { countKeyColumns, countRow, refusalKeyColumns, refusalRow, rolledUp } from "./rows.ts";
import { SeriesIds } from "./series.ts";
import { Tally } from "./tally.ts";

/** SQLite counts on the main thread and holds its only lock meanwhile: a step is to take some milliseconds. */
const stepEntries = 100;
const stepRows = 100;
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

  /** Gives how many entries were counted; 0: the inbox is empty. */
  async step(): Promise<number> {
    const { counted, remember } = await this.dialect.db.transaction().setIsolationLevel("read committed").execute((trx) => this.count(trx));
    remember();
    return counted;
  }

  private async count(trx: Transaction<Tables>): Promise<{ counted: number; remember(): void }> {
    const clockMs = await this.dialect.lockUsage(trx);
    const nowMs = this.nowMs?.() ?? clockMs;
    const taken = await takeRows(trx);
    const named = [];
    for (const environment of new Set(taken.map((row) => row.environment))) {
      const entries = taken.filter((row) => row.environment === environment).flatMap(({ text }) => unpackEntries(text));
      const names = await this.names.of(trx, environment, entries);
      named.push(...entries.map((entry, index) => ({ environment, entry, names: names[index]! })));
    }
    const { ids, remember } = await this.series.of(trx, named, Math.floor(nowMs / dayMs));
    const tally = new Tally(await rolledUp(trx), nowMs);
    named.forEach(({ entry }, index) => tally.add(entry, ids[index]!));
    const { bulk } = this.dialect;
    await bulkAdd(trx, bulk, "usage_counts", countRow, countKeyColumns, tally.counts);
    await bulkAdd(trx, bulk, "usage_refusals", refusalRow, refusalKeyColumns, tally.refusals);
    return { counted: named.length, remember };
  }
}

/** Takes the oldest rows out of the inbox. */
async function takeRows(trx: Transaction<Tables>): Promise<{ environment: string; text: string }[]> {
  const oldest = await trx.selectFrom("usage_inbox").select(["row_id", "entry_count"]).orderBy("row_id").limit(stepRows).execute();
  const ids: number[] = [];
  let entries = 0;
  for (const row of oldest) {
    if (ids.length > 0 && entries + row.entry_count > stepEntries) break;
    ids.push(row.row_id);
    entries += row.entry_count;
  }
  if (ids.length === 0) return [];
  const rows = await trx.deleteFrom("usage_inbox").where("row_id", "in", ids).returning(["environment", "entries"]).execute();
  return rows.map((row) => ({ environment: row.environment, text: row.entries }));
}
