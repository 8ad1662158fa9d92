/** Reads records inside one transaction or snapshot. */
import { type Kysely, sql } from "kysely";
import { type Kind, type Records, sectionOf } from "../domain/diff.ts";
import type { InternalToken, Key } from "../domain/model.ts";
import { timeText } from "../domain/time.ts";
import {
  bufferOf,
  chunks,
  type KeyRow,
  keyStateOf,
  parseList,
  plainLimit,
  specOf,
  type StoredLimit,
  withoutUndefined,
} from "./records.ts";
import type { KeyFilter, Page, PageRequest, RecordReader, Reference, Stored } from "./store.ts";
import { keyStates, type Tables } from "./tables.ts";

const queryIds = 500;

type SpecKind = Exclude<Kind, "key">;

export class SqlReader implements RecordReader {
  protected readonly db: Kysely<Tables>;
  protected readonly environment: string;

  constructor(db: Kysely<Tables>, environment: string) {
    this.db = db;
    this.environment = environment;
  }

  async get<K extends Kind>(kind: K, id: string): Promise<Stored<Records[K]> | undefined> {
    if (kind === "key") return (await this.keysNamed([id]))[0] as Stored<Records[K]> | undefined;
    const row = await this.db
      .selectFrom(this.table(kind))
      .select(["spec", "version"])
      .where("environment", "=", this.environment)
      .where("id", "=", id)
      .executeTakeFirst();
    return row === undefined ? undefined : { record: specOf(kind, row.spec), version: row.version };
  }

  async ids(kind: Kind): Promise<string[]> {
    const rows = await this.db
      .selectFrom(sectionOf[kind])
      .select("id")
      .where("environment", "=", this.environment)
      .orderBy("id")
      .execute();
    return rows.map((row) => row.id);
  }

  async existing(kind: Kind, ids: readonly string[]): Promise<Set<string>> {
    const found = new Set<string>();
    for (const some of chunks([...new Set(ids)], queryIds)) {
      const rows = await this.db
        .selectFrom(sectionOf[kind])
        .select("id")
        .where("environment", "=", this.environment)
        .where("id", "in", some)
        .execute();
      for (const row of rows) found.add(row.id);
    }
    return found;
  }

  async all<K extends Kind>(kind: K): Promise<Records[K][]> {
    if (kind === "key") {
      const rows = await this.db
        .selectFrom("keys")
        .selectAll()
        .where("environment", "=", this.environment)
        .orderBy("row_id")
        .execute();
      return (await this.keys(rows)).map((stored) => stored.record) as Records[K][];
    }
    const rows = await this.db
      .selectFrom(this.table(kind))
      .select("spec")
      .where("environment", "=", this.environment)
      .orderBy("id")
      .execute();
    return rows.map((row) => specOf(kind, row.spec));
  }

  async keysPage(after: string, count: number): Promise<Key[]> {
    const rows = await this.db
      .selectFrom("keys")
      .selectAll()
      .where("environment", "=", this.environment)
      .where("id", ">", after)
      .orderBy("id")
      .limit(count)
      .execute();
    return (await this.keys(rows)).map(({ record }) => record);
  }

  async keysNamed(ids: readonly string[]): Promise<Stored<Key>[]> {
    const found: Stored<Key>[] = [];
    for (const some of chunks(ids, queryIds)) {
      const rows = await this.db
        .selectFrom("keys")
        .selectAll()
        .where("environment", "=", this.environment)
        .where("id", "in", some)
        .execute();
      found.push(...(await this.keys(rows)));
    }
    return found;
  }

  async keyIdByDigest(sha256: string): Promise<string | undefined> {
    const row = await this.db
      .selectFrom("keys")
      .select("id")
      .where("environment", "=", this.environment)
      .where(sql`substr(digest, 1, 16)`, "=", Buffer.from(sha256, "hex").subarray(0, 16))
      .executeTakeFirst();
    return row?.id;
  }

  async list<K extends Kind>(kind: K, page: PageRequest, filter: KeyFilter = {}): Promise<Page<Stored<Records[K]>>> {
    if (kind === "key") return (await this.listKeys(page, filter)) as Page<Stored<Records[K]>>;
    let query = this.db
      .selectFrom(this.table(kind))
      .select(["id", "spec", "version"])
      .where("environment", "=", this.environment);
    if (page.after !== undefined) query = query.where("id", ">", page.after);
    const rows = await query
      .orderBy("id")
      .limit(page.limit + 1)
      .execute();
    const shown = rows.slice(0, page.limit);
    const items = shown.map((row) => ({ record: specOf(kind, row.spec), version: row.version }));
    return rows.length > page.limit ? { items, next: shown.at(-1)!.id } : { items };
  }

  private async listKeys(page: PageRequest, filter: KeyFilter): Promise<Page<Stored<Key>>> {
    let query = this.db.selectFrom("keys").selectAll().where("environment", "=", this.environment);
    if (page.after !== undefined) query = query.where("row_id", ">", Number(page.after));
    if (filter.state !== undefined) query = query.where("state", "=", keyStates.indexOf(filter.state));
    if (filter.consumer !== undefined) {
      const wireId = (await this.wireIds("consumer", [filter.consumer])).get(filter.consumer);
      if (wireId === undefined) return { items: [] };
      query = query.where("consumer_wire_id", "=", wireId);
    }
    const rows = await query
      .orderBy("row_id")
      .limit(page.limit + 1)
      .execute();
    const shown = rows.slice(0, page.limit);
    const items = await this.keys(shown);
    return rows.length > page.limit ? { items, next: String(shown.at(-1)!.row_id) } : { items };
  }

  async references(kind: Kind, id: string, limit: number): Promise<Reference[]> {
    if (kind === "key") return [];
    const wireId = (await this.wireIds(kind, [id])).get(id);
    if (wireId === undefined) return [];
    const keys = this.db.selectFrom("keys").where("environment", "=", this.environment).orderBy("row_id");
    const named = (of: Kind, rows: readonly { id: string }[]) =>
      rows.map((row): Reference => ({ kind: of, id: row.id }));
    switch (kind) {
      case "consumer":
        return named("key", await keys.select("id").where("consumer_wire_id", "=", wireId).limit(limit).execute());
      case "tier": {
        const consumers = this.db.selectFrom("consumers").select("id").where("environment", "=", this.environment);
        return [
          ...named("consumer", await consumers.where("tier_wire_id", "=", wireId).orderBy("id").limit(limit).execute()),
          ...named("key", await keys.select("id").where("tier_wire_id", "=", wireId).limit(limit).execute()),
        ].slice(0, limit);
      }
      default: {
        const tiers = (await this.all("tier")).filter((tier) => tier.apis?.includes(id));
        const candidates = await keys
          .select(["id", "apis"])
          .where("apis", "is not", null)
          .where("apis", "like", `%${wireId}%`)
          .execute();
        return [
          ...named("tier", tiers),
          ...named(
            "key",
            candidates.filter((row) => parseList<number>(row.apis)!.includes(wireId)),
          ),
        ].slice(0, limit);
      }
    }
  }

  async internalToken(): Promise<InternalToken | undefined> {
    const row = await this.db
      .selectFrom("internal_tokens")
      .select("spec")
      .where("environment", "=", this.environment)
      .executeTakeFirst();
    return row === undefined ? undefined : (JSON.parse(row.spec) as InternalToken);
  }

  /** The wire ids of records, by id; those that don't exist are missing. */
  async wireIds(kind: SpecKind, ids: readonly string[]): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for (const some of chunks([...new Set(ids)], queryIds)) {
      const rows = await this.db
        .selectFrom(this.table(kind))
        .select(["id", "wire_id"])
        .where("environment", "=", this.environment)
        .where("id", "in", some)
        .execute();
      for (const row of rows) found.set(row.id, row.wire_id);
    }
    return found;
  }

  /** Rows of keys as records, with the names of what they refer to. */
  async keys(rows: readonly KeyRow[]): Promise<Stored<Key>[]> {
    const consumers = await this.names(
      "consumer",
      rows.map((row) => row.consumer_wire_id),
    );
    const tiers = await this.names(
      "tier",
      rows.flatMap((row) => (row.tier_wire_id === null ? [] : [row.tier_wire_id])),
    );
    const apis = await this.names(
      "api",
      rows.flatMap((row) => parseList<number>(row.apis) ?? []),
    );
    return rows.map((row) => ({
      version: row.version,
      record: withoutUndefined<Key>({
        id: row.id,
        consumer: consumers.get(row.consumer_wire_id)!,
        name: row.name ?? undefined,
        tier: row.tier_wire_id === null ? undefined : tiers.get(row.tier_wire_id)!,
        sha256: bufferOf(row.digest).toString("hex"),
        prefix: row.prefix ?? undefined,
        state: keyStateOf(row.state),
        notBefore: row.not_before_ms === null ? undefined : timeText(row.not_before_ms),
        expiresAt: row.expires_at_ms === null ? undefined : timeText(row.expires_at_ms),
        allowedCidrs: parseList<string>(row.cidrs) ?? [],
        apis: parseList<number>(row.apis)?.map((wireId) => apis.get(wireId)!),
        scopes: parseList<string>(row.scopes),
        limits: (parseList<StoredLimit>(row.limits) ?? []).map(plainLimit),
        rotatedTo: row.rotated_to ?? undefined,
      }),
    }));
  }

  private async names(kind: SpecKind, wireIds: readonly number[]): Promise<Map<number, string>> {
    const found = new Map<number, string>();
    for (const some of chunks([...new Set(wireIds)], queryIds)) {
      const rows = await this.db
        .selectFrom(this.table(kind))
        .select(["id", "wire_id"])
        .where("environment", "=", this.environment)
        .where("wire_id", "in", some)
        .execute();
      for (const row of rows) found.set(row.wire_id, row.id);
    }
    return found;
  }

  protected table(kind: SpecKind): "apis" | "tiers" | "consumers" {
    return sectionOf[kind];
  }
}
