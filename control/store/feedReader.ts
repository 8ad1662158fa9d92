/** Reads what the feed sends, inside one snapshot. */
import { type Kysely, type Selectable, sql } from "kysely";
import type { Api, Tier } from "../domain/model.ts";
import { feedKeyColumns, type FeedKeyRow } from "./dialect.ts";
import { type LineSql, readKeyLines } from "./keyLines.ts";
import type {
  CallingConsumer,
  CallingKey,
  FeedApi,
  FeedChange,
  FeedConsumer,
  FeedKey,
  FeedKeyLimit,
  FeedLimit,
  FeedReader,
  FeedTier,
} from "./feedSource.ts";
import { bufferOf, chunks, keyStateOf, parseList, plainLimit, specOf, type StoredLimit } from "./records.ts";
import { type ChangesTable, type EnvironmentsTable, keyStates, type Tables } from "./tables.ts";
import { namedLimits } from "./writer.ts";

const queryIds = 500;
const revoked = keyStates.indexOf("revoked");

export class SqlFeedReader implements FeedReader {
  readonly environment: string;
  readonly epoch: bigint;
  readonly version: bigint;
  private readonly logFrom: bigint;
  private readonly db: Kysely<Tables>;
  private readonly lines: LineSql;

  constructor(db: Kysely<Tables>, lines: LineSql, environment: Selectable<EnvironmentsTable>) {
    this.db = db;
    this.lines = lines;
    this.environment = environment.id;
    this.epoch = BigInt(`0x${environment.epoch}`);
    this.version = BigInt(environment.version);
    this.logFrom = BigInt(environment.log_from);
  }

  async counts(): Promise<{ apis: number; tiers: number; consumers: number; keys: number; limits: number }> {
    const count = async (table: "apis" | "tiers" | "consumers" | "keys") => {
      const row = await this.db
        .selectFrom(table)
        .select((eb) => eb.fn.countAll<number>().as("count"))
        .where("environment", "=", this.environment)
        .executeTakeFirstOrThrow();
      return Number(row.count);
    };
    const owners = [...(await this.apis()), ...(await this.tiers())];
    return {
      apis: await count("apis"),
      tiers: await count("tiers"),
      consumers: await count("consumers"),
      keys: await count("keys"),
      limits: owners.reduce((sum, owner) => sum + owner.limits.length, 0) + (await this.keyLimits()).length,
    };
  }

  async apis(): Promise<FeedApi[]> {
    return this.readApis(undefined);
  }

  async tiers(): Promise<FeedTier[]> {
    return this.readTiers(undefined);
  }

  async apiById(id: string): Promise<FeedApi | undefined> {
    return (await this.readApis(id))[0];
  }

  async tierById(id: string): Promise<FeedTier | undefined> {
    return (await this.readTiers(id))[0];
  }

  async consumersPage(afterWireId: number, count: number): Promise<FeedConsumer[]> {
    const rows = await this.db
      .selectFrom("consumers")
      .select(["wire_id", "tier_wire_id", "spec"])
      .where("environment", "=", this.environment)
      .where("wire_id", ">", afterWireId)
      .orderBy("wire_id")
      .limit(count)
      .execute();
    return rows.map(feedConsumer);
  }

  async keysPage(afterRowId: number, count: number): Promise<FeedKey[]> {
    return (await readKeyLines(this.db, this.lines, this.environment, afterRowId, count)).map(feedKey);
  }

  async consumerById(id: string): Promise<FeedConsumer | undefined> {
    return (await this.consumersByIds([id])).get(id);
  }

  async keyById(id: string): Promise<FeedKey | undefined> {
    return (await this.keysByIds([id])).get(id);
  }

  async consumersByIds(ids: readonly string[]): Promise<Map<string, FeedConsumer>> {
    const found = new Map<string, FeedConsumer>();
    for (const some of chunks(ids, queryIds)) {
      const rows = await this.db
        .selectFrom("consumers")
        .select(["wire_id", "tier_wire_id", "spec"])
        .where("environment", "=", this.environment)
        .where("id", "in", some)
        .execute();
      for (const row of rows.map(feedConsumer)) found.set(row.consumer.id, row);
    }
    return found;
  }

  async keysByIds(ids: readonly string[]): Promise<Map<string, FeedKey>> {
    const found = new Map<string, FeedKey>();
    for (const some of chunks(ids, queryIds)) {
      const rows = await this.db
        .selectFrom("keys")
        .select(feedKeyColumns)
        .where("environment", "=", this.environment)
        .where("id", "in", some)
        .execute();
      for (const row of rows) {
        found.set(
          row.id,
          feedKey(
            feedKeyColumns.map((column) => (column === "digest" ? bufferOf(row.digest) : row[column])) as FeedKeyRow,
          ),
        );
      }
    }
    return found;
  }

  async keyLimits(): Promise<FeedKeyLimit[]> {
    const rows = await this.db
      .selectFrom("keys")
      .select(["digest", "limits"])
      .where("environment", "=", this.environment)
      .where("limits", "is not", null)
      .execute();
    return rows.flatMap(({ digest, limits }) =>
      parseList<StoredLimit>(limits)!.map((limit) => ({
        limit: { wireId: limit.wireId, limit: plainLimit(limit) },
        digest: bufferOf(digest).toString("hex", 0, 16),
      })),
    );
  }

  async callingKeys(digests: readonly string[]): Promise<Map<string, CallingKey>> {
    const found = new Map<string, CallingKey>();
    for (const some of chunks(digests, queryIds)) {
      const rows = await this.db
        .selectFrom("keys")
        .select(["digest", "consumer_wire_id", "tier_wire_id", "apis"])
        .where("environment", "=", this.environment)
        .where(
          sql<Buffer>`substr(digest, 1, 16)`,
          "in",
          some.map((digest) => Buffer.from(digest, "hex")),
        )
        .execute();
      for (const { digest, consumer_wire_id: consumerWireId, tier_wire_id: tier, apis } of rows) {
        found.set(bufferOf(digest).toString("hex", 0, 16), {
          consumerWireId,
          ...(tier === null ? {} : { tierWireId: tier }),
          ...(apis === null ? {} : { apiWireIds: parseList<number>(apis)! }),
        });
      }
    }
    return found;
  }

  async callingConsumers(wireIds: readonly number[]): Promise<Map<number, CallingConsumer>> {
    const found = new Map<number, CallingConsumer>();
    for (const some of chunks(wireIds, queryIds)) {
      const rows = await this.db
        .selectFrom("consumers")
        .select(["wire_id", "tier_wire_id"])
        .where("environment", "=", this.environment)
        .where("wire_id", "in", some)
        .execute();
      for (const row of rows) found.set(row.wire_id, { tierWireId: row.tier_wire_id ?? 0, keyApis: [] });
      const keys = await this.db
        .selectFrom("keys")
        .select(["consumer_wire_id", "apis"])
        .distinct()
        .where("environment", "=", this.environment)
        .where("consumer_wire_id", "in", some)
        .where("state", "<>", revoked)
        .execute();
      for (const { consumer_wire_id: consumer, apis } of keys)
        found.get(consumer)?.keyApis.push(apis === null ? undefined : parseList<number>(apis)!);
    }
    return found;
  }

  async changesSince(sinceVersion: bigint, max: number): Promise<FeedChange[] | undefined> {
    if (sinceVersion > this.version || sinceVersion < this.logFrom) return undefined;
    const rows = await this.db
      .selectFrom("changes")
      .selectAll()
      .where("environment", "=", this.environment)
      .where("version", ">", Number(sinceVersion))
      .orderBy("version")
      .orderBy("row_id")
      .limit(max + 1)
      .execute();
    return rows.length > max ? undefined : inTableOrder(rows);
  }

  private async readApis(id: string | undefined): Promise<FeedApi[]> {
    let query = this.db.selectFrom("apis").select(["wire_id", "spec"]).where("environment", "=", this.environment);
    if (id !== undefined) query = query.where("id", "=", id);
    const rows = await query.orderBy("wire_id").execute();
    const ids = await this.limitIds("api");
    return rows.map((row) => {
      const api = specOf("api", row.spec);
      return { wireId: row.wire_id, api, limits: limitsOf(api, row.wire_id, ids) };
    });
  }

  private async readTiers(id: string | undefined): Promise<FeedTier[]> {
    let query = this.db.selectFrom("tiers").select(["wire_id", "spec"]).where("environment", "=", this.environment);
    if (id !== undefined) query = query.where("id", "=", id);
    const rows = await query.orderBy("wire_id").execute();
    const ids = await this.limitIds("tier");
    const apis = new Map(
      (
        await this.db.selectFrom("apis").select(["id", "wire_id"]).where("environment", "=", this.environment).execute()
      ).map((row) => [row.id, row.wire_id]),
    );
    return rows.map((row) => {
      const tier = specOf("tier", row.spec);
      const limits = limitsOf(tier, row.wire_id, ids);
      return {
        wireId: row.wire_id,
        tier,
        limits,
        ...(tier.apis === undefined ? {} : { apiWireIds: tier.apis.map((api) => apis.get(api)!) }),
      };
    });
  }

  private async limitIds(kind: "api" | "tier"): Promise<Map<string, number>> {
    const rows = await this.db
      .selectFrom("limit_ids")
      .select(["owner", "name", "wire_id"])
      .where("environment", "=", this.environment)
      .where("owner_kind", "=", kind)
      .execute();
    return new Map(rows.map((row) => [`${row.owner} ${row.name}`, row.wire_id]));
  }
}

function limitsOf(owner: Api | Tier, wireId: number, ids: Map<string, number>): FeedLimit[] {
  return namedLimits(owner).map(({ name, limit, routeIndex }) => ({
    wireId: ids.get(`${wireId} ${name}`)!,
    limit,
    ...(routeIndex === undefined ? {} : { routeIndex }),
  }));
}

function feedConsumer(row: { wire_id: number; tier_wire_id: number | null; spec: string }): FeedConsumer {
  return { wireId: row.wire_id, tierWireId: row.tier_wire_id ?? 0, consumer: specOf("consumer", row.spec) };
}

function feedKey([
  rowId,
  id,
  digest,
  consumerWireId,
  state,
  notBeforeMs,
  expiresAtMs,
  tierWireId,
  cidrs,
  apis,
  scopes,
  limits,
]: FeedKeyRow): FeedKey {
  const key: FeedKey = { rowId, id, digest, consumerWireId, state: keyStateOf(state) };
  if (notBeforeMs !== null) key.notBeforeMs = notBeforeMs;
  if (expiresAtMs !== null) key.expiresAtMs = expiresAtMs;
  if (tierWireId !== null) key.tierWireId = tierWireId;
  if (cidrs !== null) key.cidrs = parseList<string>(cidrs)!;
  if (apis !== null) key.apiWireIds = parseList<number>(apis)!;
  if (scopes !== null) key.scopes = parseList<string>(scopes)!;
  if (limits !== null)
    key.limits = parseList<StoredLimit>(limits)!.map((limit) => ({ wireId: limit.wireId, limit: plainLimit(limit) }));
  return key;
}

/**
 * The log's rows as a table must take them. Records are read as they are now, not as they were at their version, so each comes once and
 * after all that it refers to. Digests and limits' ids can come back to life and are deleted first; wire ids of records can't, and go last.
 */
function inTableOrder(rows: readonly Selectable<ChangesTable>[]): FeedChange[] {
  const freed = new Map<string, FeedChange>();
  const written = {
    api: new Map<string, FeedChange>(),
    tier: new Map<string, FeedChange>(),
    consumer: new Map<string, FeedChange>(),
    key: new Map<string, FeedChange>(),
  };
  const told = new Map<string, FeedChange>();
  const gone = { api: [] as FeedChange[], tier: [] as FeedChange[], consumer: [] as FeedChange[] };
  for (const row of rows) {
    const version = BigInt(row.version);
    const kind = row.kind as FeedChange["kind"];
    const deleted = row.deleted !== 0;
    if (kind === "limit") {
      freed.set(`limit ${row.wire_id}`, { version, kind, wireId: row.wire_id!, deleted: true });
    } else if (kind === "counter") {
      const subject = bufferOf(row.digest!).toString("hex");
      told.set(`${row.wire_id} ${subject}`, {
        version,
        kind,
        wireId: row.wire_id!,
        subject,
        generation: Number(row.id),
        deleted: false,
      });
    } else if (kind === "key") {
      const digest = bufferOf(row.digest!);
      written.key.delete(row.id);
      if (deleted) freed.set(`key ${digest.toString("latin1")}`, { version, kind, id: row.id, digest, deleted });
      else written.key.set(row.id, { version, kind, id: row.id, digest, deleted });
    } else {
      const change: FeedChange = { version, kind, id: row.id, wireId: row.wire_id!, deleted };
      written[kind].delete(row.id);
      if (deleted) gone[kind].push(change);
      else written[kind].set(row.id, change);
    }
  }
  const upserts = [written.api, written.tier, written.consumer, written.key].flatMap((changes) => [
    ...changes.values(),
  ]);
  return [...freed.values(), ...upserts, ...told.values(), ...gone.consumer, ...gone.tier, ...gone.api];
}
