/**
 * Who and what wire ids and digests stand for, when usage is counted. What was read is remembered and kept true by the environment's change
 * log; what is deleted keeps its name for usage that is still under way.
 */
import { type Kysely, sql } from "kysely";
import { routeName } from "../domain/applicableLimits.ts";
import type { Api } from "../domain/model.ts";
import { bulkSelect } from "../store/bulk.ts";
import type { SqlDialect } from "../store/dialect.ts";
import { bufferOf } from "../store/records.ts";
import type { KeysTable, Tables } from "../store/tables.ts";
import type { UsageEntry } from "./model.ts";

/** What an entry is counted by. "": none, or not known. */
export interface SeriesNames {
  api: string;
  route: string;
  consumer: string;
  key: string;
  tier: string;
}

interface KnownApi {
  id: string;
  routes: string[];
}

interface Known {
  version: number;
  apis: Map<number, KnownApi>;
  tiers: Map<number, string>;
  consumers: Map<number, { id: string; tier: number | null }>;
  keys: Map<string, { id: string; consumer: number; tier: number | null }>;
}

/** Of consumers and of keys, for each environment. */
const rememberedMax = 200_000;
const changesMax = 2000;
const noDigest = "0".repeat(32);

export class Names {
  private readonly dialect: SqlDialect;
  private readonly environments = new Map<string, Known>();

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  /** The names of each entry's series, in the order of the entries. */
  async of(db: Kysely<Tables>, environment: string, entries: readonly UsageEntry[]): Promise<SeriesNames[]> {
    const known = await this.current(db, environment);
    await this.load(db, environment, known, entries);
    return entries.map((entry) => {
      const api = known.apis.get(entry.api);
      const key = known.keys.get(entry.digest);
      const consumer = known.consumers.get(consumerOf(entry, known));
      const tier = key?.tier ?? consumer?.tier;
      return {
        api: api?.id ?? "",
        route: entry.route === undefined ? "" : (api?.routes[entry.route] ?? ""),
        consumer: consumer?.id ?? "",
        key: key?.id ?? "",
        tier: tier === undefined || tier === null ? "" : (known.tiers.get(tier) ?? ""),
      };
    });
  }

  /** What is remembered, without what has changed since. */
  private async current(db: Kysely<Tables>, environment: string): Promise<Known> {
    const row = await db
      .selectFrom("environments")
      .select(["version", "log_from"])
      .where("id", "=", environment)
      .executeTakeFirst();
    const version = row?.version ?? 0;
    const known = this.environments.get(environment);
    if (known?.version === version) return known;
    const followable = known !== undefined && known.version < version && known.version >= (row?.log_from ?? 0);
    const changes = followable ? await changesSince(db, environment, known.version) : undefined;
    if (known === undefined || changes === undefined) {
      const empty: Known = { version, apis: new Map(), tiers: new Map(), consumers: new Map(), keys: new Map() };
      this.environments.set(environment, empty);
      return empty;
    }
    for (const change of changes) forget(known, change);
    known.version = version;
    return known;
  }

  private async load(
    db: Kysely<Tables>,
    environment: string,
    known: Known,
    entries: readonly UsageEntry[],
  ): Promise<void> {
    const { bulk } = this.dialect;
    const wireIds = (ids: Iterable<number>, map: Map<number, unknown>) => {
      const missing = [...new Set(ids)].filter((id) => id !== 0 && !map.has(id));
      return missing.map((id) => [environment, id]);
    };
    const byWireId = [
      ["environment", "text"],
      ["wire_id", "int"],
    ] as const;

    const apis = wireIds(
      entries.map(({ api }) => api),
      known.apis,
    );
    for (const row of await bulkSelect<{ wire_id: number; id: string; spec: string }, "apis">(
      db,
      bulk,
      "apis",
      byWireId,
      sql`wire_id, apis.id, spec`,
      apis,
    )) {
      known.apis.set(row.wire_id, { id: row.id, routes: (JSON.parse(row.spec) as Api).routes.map(routeName) });
    }

    if (known.keys.size > rememberedMax) known.keys.clear();
    const digests = [...new Set(entries.map(({ digest }) => digest))].filter(
      (digest) => digest !== noDigest && !known.keys.has(digest),
    );
    for (const { digest, id, consumer_wire_id: consumer, tier_wire_id: tier } of await this.keysOf(
      db,
      environment,
      digests,
    )) {
      known.keys.set(digestText(digest), { id, consumer, tier });
    }

    if (known.consumers.size > rememberedMax) known.consumers.clear();
    const consumers = wireIds(
      entries.map((entry) => consumerOf(entry, known)),
      known.consumers,
    );
    type ConsumerRow = { wire_id: number; id: string; tier_wire_id: number | null };
    for (const row of await bulkSelect<ConsumerRow, "consumers">(
      db,
      bulk,
      "consumers",
      byWireId,
      sql`wire_id, consumers.id, tier_wire_id`,
      consumers,
    )) {
      known.consumers.set(row.wire_id, { id: row.id, tier: row.tier_wire_id });
    }

    const callers = entries.flatMap((entry) => [
      known.consumers.get(consumerOf(entry, known))?.tier ?? 0,
      known.keys.get(entry.digest)?.tier ?? 0,
    ]);
    const tiers = wireIds(callers, known.tiers);
    for (const row of await bulkSelect<{ wire_id: number; id: string }, "tiers">(
      db,
      bulk,
      "tiers",
      byWireId,
      sql`wire_id, tiers.id`,
      tiers,
    )) {
      known.tiers.set(row.wire_id, row.id);
    }
  }

  private async keysOf(db: Kysely<Tables>, environment: string, digests: readonly string[]): Promise<KeyRow[]> {
    if (digests.length === 0) return [];
    const { bulk } = this.dialect;
    const source = bulk.source(JSON.stringify(digests.map((digest) => [digest])));
    const { rows } = await sql<KeyRow>`select digest, id, consumer_wire_id, tier_wire_id from keys
      where environment = ${environment} and substr(digest, 1, 16) in (select ${bulk.value(0, "hex")} from ${source})`.execute(
      db,
    );
    return rows;
  }
}

type KeyRow = Pick<KeysTable, "digest" | "id" | "consumer_wire_id" | "tier_wire_id">;

/** A key's usage of another epoch comes without a consumer, whose wire id would mean nothing any more. */
function consumerOf({ consumer, digest }: UsageEntry, known: Known): number {
  return consumer === 0 ? (known.keys.get(digest)?.consumer ?? 0) : consumer;
}

interface Change {
  kind: string;
  id: string;
  wire_id: number | null;
  digest: Buffer | null;
  deleted: number;
}

/** `undefined`: so many that reading all anew is cheaper. */
async function changesSince(db: Kysely<Tables>, environment: string, version: number): Promise<Change[] | undefined> {
  const rows = await db
    .selectFrom("changes")
    .select(["kind", "id", "wire_id", "digest", "deleted"])
    .where("environment", "=", environment)
    .where("version", ">", version)
    .orderBy("version")
    .orderBy("row_id")
    .limit(changesMax + 1)
    .execute();
  return rows.length > changesMax ? undefined : rows;
}

function forget(known: Known, { kind, id, wire_id: wireId, digest, deleted }: Change): void {
  if (kind === "key" && digest !== null) {
    const text = digestText(digest);
    if (deleted === 0) known.keys.delete(text);
    else if (!known.keys.has(text)) known.keys.set(text, { id, consumer: 0, tier: null });
  } else if (wireId !== null && deleted === 0) {
    if (kind === "api") known.apis.delete(wireId);
    else if (kind === "tier") known.tiers.delete(wireId);
    else if (kind === "consumer") known.consumers.delete(wireId);
  }
}

function digestText(digest: Buffer): string {
  return bufferOf(digest).toString("hex", 0, 16);
}
