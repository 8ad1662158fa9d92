/** Numbers for what usage is counted by: a row of `usage_series` each, remembered. */
import { type Kysely, sql } from "kysely";
import type { BulkColumns } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import type { Tables } from "../store/tables.ts";
import type { SeriesNames } from "./names.ts";

const columns: BulkColumns<"usage_series"> = [
  ["environment", "text"],
  ["key", "text"],
  ["consumer", "text"],
  ["api", "text"],
  ["route", "text"],
  ["tier", "text"],
  ["used_day", "int"],
];
const rememberedMax = 200_000;

export interface SeriesOf {
  /** in the order of what was asked for */
  ids: number[];
  /** to be called once the transaction is committed */
  remember(): void;
}

export class SeriesIds {
  private readonly dialect: SqlDialect;
  private readonly known = new Map<string, { id: number; day: number }>();

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  /** Finds or makes the rows. Each is marked as used once a day, and made anew if it was pruned meanwhile. */
  async of(
    db: Kysely<Tables>,
    wanted: readonly { environment: string; names: SeriesNames }[],
    day: number,
  ): Promise<SeriesOf> {
    const texts = wanted.map(({ environment, names }) => textOf(environment, names));
    const found = new Map<string, number>();
    const missing = new Map<string, (string | number)[]>();
    texts.forEach((text, index) => {
      const known = this.known.get(text);
      const { environment, names } = wanted[index]!;
      if (known?.day === day) found.set(text, known.id);
      else missing.set(text, [environment, names.key, names.consumer, names.api, names.route, names.tier, day]);
    });
    const made = new Map<string, number>();
    if (missing.size > 0) {
      for (const { row_id: id, environment, ...names } of await this.upsert(db, [...missing.values()]))
        made.set(textOf(environment, names), id);
    }
    return {
      ids: texts.map((text) => found.get(text) ?? made.get(text)!),
      remember: () => {
        if (this.known.size > rememberedMax) this.known.clear();
        for (const [text, id] of made) this.known.set(text, { id, day });
      },
    };
  }

  private async upsert(
    db: Kysely<Tables>,
    rows: readonly (string | number)[][],
  ): Promise<({ row_id: number; environment: string } & SeriesNames)[]> {
    const { bulk } = this.dialect;
    const names = columns.map(([name]) => sql.ref(name));
    const values = sql.join(columns.map(([, type], place) => bulk.value(place, type)));
    const result = await sql<
      { row_id: number; environment: string } & SeriesNames
    >`insert into usage_series (${sql.join(names)})
      select ${values} from ${bulk.source(JSON.stringify(rows))} where true
      on conflict (${sql.join(names.slice(0, -1))}) do update set used_day = excluded.used_day
      returning row_id, environment, key, consumer, api, route, tier`.execute(db);
    return result.rows;
  }
}

function textOf(environment: string, { key, consumer, api, route, tier }: SeriesNames): string {
  return `${environment}\n${key}\n${consumer}\n${api}\n${route}\n${tier}`;
}
