/** Writes records inside the transaction of one change, and keeps what has to be written with it: versions, change rows, audit entries. */
import { isDeepStrictEqual } from "node:util";
import type { Insertable, Selectable, Transaction } from "kysely";
import type { CounterGeneration } from "../counters/model.ts";
import { changedFields, type Kind, type Records } from "../domain/diff.ts";
import type { Api, Consumer, InternalToken, Key, Limit, Tier } from "../domain/model.ts";
import { parseTime } from "../domain/time.ts";
import { insertAudit } from "./auditLog.ts";
import { type BulkType, type BulkSql, bulkInsert } from "./bulk.ts";
import { bufferOf, chunks, jsonOrNull, type KeyRow, parseList, type StoredLimit } from "./records.ts";
import { SqlReader } from "./reader.ts";
import type { ChangeContext, RecordWriter } from "./store.ts";
import {
  type AuditTable,
  type ChangesTable,
  type EnvironmentsTable,
  type KeysTable,
  keyStates,
  type Tables,
} from "./tables.ts";

/** Rows of an insert with a parameter a value: under the 32766 that SQLite takes. */
const insertRows = 1000;
const wireIdMax = 0xffff_ffff;

const bulkRows = 10_000;
const changeBulkColumns = [
  ["environment", "text"],
  ["version", "int"],
  ["kind", "text"],
  ["id", "text"],
  ["wire_id", "int"],
  ["digest", "hex"],
  ["deleted", "int"],
] as const satisfies readonly (readonly [keyof ChangesTable, BulkType])[];
const keyBulkColumns = [
  ["environment", "text"],
  ["id", "text"],
  ["digest", "hex"],
  ["consumer_wire_id", "int"],
  ["tier_wire_id", "int"],
  ["state", "int"],
  ["not_before_ms", "int"],
  ["expires_at_ms", "int"],
  ["name", "text"],
  ["prefix", "text"],
  ["rotated_to", "text"],
  ["cidrs", "text"],
  ["apis", "text"],
  ["scopes", "text"],
  ["created_ms", "int"],
  ["version", "int"],
] as const satisfies readonly (readonly [keyof KeysTable, BulkType])[];

type Outcome = "created" | "updated" | "unchanged";

export class SqlWriter extends SqlReader implements RecordWriter {
  readonly nextVersion: number;
  private readonly trx: Transaction<Tables>;
  private readonly context: ChangeContext;
  private nextWireId: number;
  /** in the order of `changeBulkColumns` */
  private readonly changes: (string | number | null)[][] = [];
  private readonly audits: Insertable<AuditTable>[] = [];

  private readonly bulk: BulkSql;

  constructor(
    trx: Transaction<Tables>,
    bulk: BulkSql,
    environment: Selectable<EnvironmentsTable>,
    context: ChangeContext,
  ) {
    super(trx, environment.id);
    this.trx = trx;
    this.bulk = bulk;
    this.context = context;
    this.nextWireId = environment.next_wire_id;
    this.nextVersion = environment.version + 1;
  }

  get changeRows(): number {
    return this.changes.length;
  }

  async put<K extends Kind>(kind: K, record: Records[K], action?: string): Promise<Outcome> {
    const before =
      kind === "key"
        ? await this.putKey(record as Key)
        : await this.putSpec(kind as Exclude<Kind, "key">, record as Api | Tier | Consumer);
    if (before === "unchanged") return "unchanged";
    this.noteAudit(action ?? (before === undefined ? "create" : "update"), kind, record.id, before, record);
    return before === undefined ? "created" : "updated";
  }

  async delete(kind: Kind, id: string): Promise<boolean> {
    const stored = await this.get(kind, id);
    if (stored === undefined) return false;
    if (kind === "key") {
      const row = await this.keyRow(id);
      await this.trx.deleteFrom("keys").where("row_id", "=", row!.row_id).execute();
      this.noteChange("key", id, { digestHex: bufferOf(row!.digest).toString("hex"), deleted: true });
      for (const limit of parseList<StoredLimit>(row!.limits) ?? [])
        this.noteChange("limit", id, { wireId: limit.wireId, deleted: true });
      await this.forgetLimits("key", row!.row_id);
    } else {
      const wireId = (await this.wireIds(kind, [id])).get(id)!;
      await this.trx
        .deleteFrom(this.table(kind))
        .where("environment", "=", this.environment)
        .where("id", "=", id)
        .execute();
      if (kind !== "consumer") {
        const ids = await this.limitIds(kind, wireId);
        for (const { name } of namedLimits(stored.record as Api | Tier))
          this.noteChange("limit", id, { wireId: ids.get(name)!, deleted: true });
        await this.forgetLimits(kind, wireId);
      }
      this.noteChange(kind, id, { wireId, deleted: true });
    }
    this.noteAudit("delete", kind, id, stored.record, undefined);
    return true;
  }

  async putInternalToken(settings: InternalToken, action?: string): Promise<void> {
    const before = await this.internalToken();
    if (isDeepStrictEqual(before, settings)) return;
    const spec = JSON.stringify(settings);
    await this.trx
      .insertInto("internal_tokens")
      .values({ environment: this.environment, spec })
      .onConflict((conflict) => conflict.column("environment").doUpdateSet({ spec }))
      .execute();
    const fields = before === undefined ? undefined : changedFields(before, settings);
    const kind = "internal-token";
    await insertAudit(this.trx, this.context, {
      environment: this.environment,
      action: action ?? (before === undefined ? "create" : "update"),
      kind,
      id: this.environment,
      ...(before === undefined ? {} : { before: auditJson(before, fields)! }),
      after: auditJson(settings, fields)!,
    });
  }

  async insertKeys(keys: readonly Key[]): Promise<("created" | "unchanged" | "id_in_use" | "digest_in_use")[]> {
    const consumers = await this.wireIds(
      "consumer",
      keys.map((key) => key.consumer),
    );
    const tiers = await this.wireIds(
      "tier",
      keys.flatMap((key) => key.tier ?? []),
    );
    const apis = await this.wireIds(
      "api",
      keys.flatMap((key) => key.apis ?? []),
    );
    const outcomes: ("created" | "unchanged" | "id_in_use" | "digest_in_use")[] = [];
    const made = new Set<string>();
    for (const some of distinctChunks(keys, bulkRows)) {
      const rows = some.map((key) => {
        const columns = this.keyColumns(key, consumers, tiers, apis);
        return keyBulkColumns.map(([name]) =>
          name === "digest" ? key.sha256 : (columns[name] as string | number | null),
        );
      });
      const inserted = await bulkInsert(this.trx, this.bulk, "keys", keyBulkColumns, rows);
      const existing =
        inserted === some.length
          ? undefined
          : new Map((await this.keysNamed(some.map((key) => key.id))).map((stored) => [stored.record.id, stored]));
      const limited: Key[] = [];
      for (const key of some) {
        const stored = existing?.get(key.id);
        if (existing !== undefined && stored?.record.sha256 !== key.sha256) {
          outcomes.push(stored === undefined ? "digest_in_use" : "id_in_use");
        } else if ((stored !== undefined && stored.version !== this.nextVersion) || made.has(key.id)) {
          outcomes.push("unchanged");
        } else {
          made.add(key.id);
          if (key.limits.length > 0) limited.push(key);
          this.noteChange("key", key.id, { digestHex: key.sha256, deleted: false });
          outcomes.push("created");
        }
      }
      for (const key of limited) await this.storeKeyLimits(key, (await this.keyRow(key.id))!.row_id, null);
    }
    if (made.size > 0) this.noteAudit("import", "key", "", undefined, { keys: made.size });
    return outcomes;
  }

  tellCounters(
    counters: readonly CounterGeneration[],
    { action, kind, id, details }: { action: string; kind: Kind; id: string; details: object },
  ): void {
    if (counters.length === 0) return;
    // What tells the row apart is the limit and the subject; it brings the generation.
    for (const { wireId, subject, generation } of counters)
      this.noteChange("counter", String(generation), { wireId, digestHex: subject, deleted: false });
    this.noteAudit(action, kind, id, undefined, details);
  }

  /** Writes what belongs to the change. Gives the version reached, or `undefined` when nothing changed. */
  async finish(): Promise<number | undefined> {
    if (this.changes.length === 0) return undefined;
    for (const rows of chunks(this.changes, bulkRows))
      await bulkInsert(this.trx, this.bulk, "changes", changeBulkColumns, rows);
    for (const rows of chunks(this.audits, insertRows)) await this.trx.insertInto("audit").values(rows).execute();
    await this.trx
      .updateTable("environments")
      .set({ version: this.nextVersion, next_wire_id: this.nextWireId })
      .where("id", "=", this.environment)
      .execute();
    return this.nextVersion;
  }

  /** Gives the record before, `undefined` for a new one. */
  private async putSpec(
    kind: Exclude<Kind, "key">,
    record: Api | Tier | Consumer,
  ): Promise<Records[Kind] | undefined | "unchanged"> {
    const stored = await this.get(kind, record.id);
    if (stored !== undefined && isDeepStrictEqual(stored.record, record)) return "unchanged";
    const wireId = stored === undefined ? this.allocate() : (await this.wireIds(kind, [record.id])).get(record.id)!;
    const columns = { spec: JSON.stringify(record), version: this.nextVersion };
    const tier = kind === "consumer" ? { tier_wire_id: await this.tierWireId((record as Consumer).tier) } : {};
    if (stored === undefined) {
      await this.trx
        .insertInto(this.table(kind))
        .values({ environment: this.environment, id: record.id, wire_id: wireId, ...columns, ...tier })
        .execute();
    } else {
      await this.trx
        .updateTable(this.table(kind))
        .set({ ...columns, ...tier })
        .where("environment", "=", this.environment)
        .where("id", "=", record.id)
        .execute();
    }
    if (kind !== "consumer") {
      await this.keepLimits(
        kind,
        wireId,
        record.id,
        namedLimits(record as Api | Tier),
        stored === undefined ? [] : namedLimits(stored.record as Api | Tier),
      );
    }
    this.noteChange(kind, record.id, { wireId, deleted: false });
    return stored?.record;
  }

  private async putKey(key: Key): Promise<Key | undefined | "unchanged"> {
    const row = await this.keyRow(key.id);
    const before = row === undefined ? undefined : (await this.keys([row]))[0]!.record;
    if (before !== undefined && isDeepStrictEqual(before, key)) return "unchanged";
    const columns = this.keyColumns(
      key,
      await this.wireIds("consumer", [key.consumer]),
      await this.wireIds("tier", key.tier === undefined ? [] : [key.tier]),
      await this.wireIds("api", key.apis ?? []),
    );
    let rowId = row?.row_id;
    if (rowId === undefined) {
      rowId = (await this.trx.insertInto("keys").values(columns).returning("row_id").executeTakeFirstOrThrow()).row_id;
    } else {
      const { created_ms: _created, ...changed } = columns;
      await this.trx.updateTable("keys").set(changed).where("row_id", "=", rowId).execute();
    }
    await this.storeKeyLimits(key, rowId, row ?? null);
    if (before !== undefined && before.sha256 !== key.sha256)
      this.noteChange("key", key.id, { digestHex: before.sha256, deleted: true });
    this.noteChange("key", key.id, { digestHex: key.sha256, deleted: false });
    return before;
  }

  private keyColumns(
    key: Key,
    consumers: Map<string, number>,
    tiers: Map<string, number>,
    apis: Map<string, number>,
  ): Insertable<KeysTable> & { digest: Buffer } {
    return {
      environment: this.environment,
      id: key.id,
      digest: Buffer.from(key.sha256, "hex"),
      consumer_wire_id: mustHave(consumers, "consumer", key.consumer),
      tier_wire_id: key.tier === undefined ? null : mustHave(tiers, "tier", key.tier),
      state: keyStates.indexOf(key.state),
      not_before_ms: key.notBefore === undefined ? null : parseTime(key.notBefore)!,
      expires_at_ms: key.expiresAt === undefined ? null : parseTime(key.expiresAt)!,
      name: key.name ?? null,
      prefix: key.prefix ?? null,
      rotated_to: key.rotatedTo ?? null,
      cidrs: key.allowedCidrs.length === 0 ? null : JSON.stringify(key.allowedCidrs),
      apis: jsonOrNull(key.apis?.map((id) => mustHave(apis, "API", id))),
      scopes: jsonOrNull(key.scopes),
      limits: null,
      created_ms: this.context.nowMs,
      version: this.nextVersion,
    };
  }

  /** A key's limits need its row id, so they are written after it. */
  private async storeKeyLimits(key: Key, rowId: number, before: KeyRow | null): Promise<void> {
    const old = parseList<StoredLimit>(before?.limits ?? null) ?? [];
    if (key.limits.length === 0 && old.length === 0) return;
    const named = key.limits.map((limit) => ({ name: limit.name, limit }));
    const ids = await this.keepLimits(
      "key",
      rowId,
      key.id,
      named,
      old.map((limit) => ({ name: limit.name, limit })),
    );
    const limits =
      key.limits.length === 0
        ? null
        : JSON.stringify(key.limits.map((limit) => ({ ...limit, wireId: ids.get(limit.name)! })));
    await this.trx.updateTable("keys").set({ limits }).where("row_id", "=", rowId).execute();
  }

  /** Gives every limit of an owner its wire id, the one it had before if there was one; notes those that are gone. */
  private async keepLimits(
    kind: "api" | "tier" | "key",
    owner: number,
    id: string,
    now: NamedLimit[],
    before: NamedLimit[],
  ): Promise<Map<string, number>> {
    if (now.length === 0 && before.length === 0) return new Map();
    const ids = await this.limitIds(kind, owner);
    const added = now
      .filter(({ name }) => !ids.has(name))
      .map(({ name }) => ({ environment: this.environment, owner_kind: kind, owner, name, wire_id: this.allocate() }));
    for (const rows of chunks(added, insertRows)) await this.trx.insertInto("limit_ids").values(rows).execute();
    for (const row of added) ids.set(row.name, row.wire_id);
    const kept = new Set(now.map(({ name }) => name));
    for (const { name } of before)
      if (!kept.has(name)) this.noteChange("limit", id, { wireId: ids.get(name)!, deleted: true });
    return ids;
  }

  private async limitIds(kind: string, owner: number): Promise<Map<string, number>> {
    const rows = await this.trx
      .selectFrom("limit_ids")
      .select(["name", "wire_id"])
      .where("environment", "=", this.environment)
      .where("owner_kind", "=", kind)
      .where("owner", "=", owner)
      .execute();
    return new Map(rows.map((row) => [row.name, row.wire_id]));
  }

  private async forgetLimits(kind: string, owner: number): Promise<void> {
    await this.trx
      .deleteFrom("limit_ids")
      .where("environment", "=", this.environment)
      .where("owner_kind", "=", kind)
      .where("owner", "=", owner)
      .execute();
  }

  private async keyRow(id: string): Promise<KeyRow | undefined> {
    return this.trx
      .selectFrom("keys")
      .selectAll()
      .where("environment", "=", this.environment)
      .where("id", "=", id)
      .executeTakeFirst();
  }

  private async tierWireId(id: string | undefined): Promise<number | null> {
    return id === undefined ? null : mustHave(await this.wireIds("tier", [id]), "tier", id);
  }

  private allocate(): number {
    if (this.nextWireId > wireIdMax)
      throw new Error(
        `Environment ${this.environment} has used up its wire ids: renew its epoch in a new environment.`,
      );
    return this.nextWireId++;
  }

  private noteChange(
    kind: Kind | "limit" | "counter",
    id: string,
    what: { wireId?: number; digestHex?: string; deleted: boolean },
  ): void {
    this.changes.push([
      this.environment,
      this.nextVersion,
      kind,
      id,
      what.wireId ?? null,
      what.digestHex ?? null,
      what.deleted ? 1 : 0,
    ]);
  }

  private noteAudit(
    action: string,
    kind: Kind,
    id: string,
    before: object | undefined,
    after: object | undefined,
  ): void {
    const fields = before === undefined || after === undefined ? undefined : changedFields(before, after);
    this.audits.push({
      environment: this.environment,
      time_ms: this.context.nowMs,
      actor: this.context.actor,
      action,
      kind,
      id,
      before: auditJson(before, fields),
      after: auditJson(after, fields),
      version: this.nextVersion,
      request_id: this.context.requestId,
    });
  }
}

/** Chunks in which no id comes twice, so that an inserted id names one key. */
function* distinctChunks(keys: readonly Key[], size: number): Generator<Key[]> {
  let chunk = new Map<string, Key>();
  for (const key of keys) {
    if (chunk.size === size || chunk.has(key.id)) {
      yield [...chunk.values()];
      chunk = new Map();
    }
    chunk.set(key.id, key);
  }
  if (chunk.size > 0) yield [...chunk.values()];
}

interface NamedLimit {
  name: string;
  limit: Limit;
}

/** Limits under names that are unique within their owner: those of a route carry it. */
export function namedLimits(owner: Api | Tier): (NamedLimit & { routeIndex?: number })[] {
  const own = owner.limits.map((limit) => ({ name: limit.name, limit }));
  if (!("routes" in owner)) return own;
  const routes = owner.routes.flatMap((route, routeIndex) =>
    route.limits.map((limit) => ({
      name: `${route.methods.join(",")} ${route.path} ${limit.name}`,
      limit,
      routeIndex,
    })),
  );
  return [...own, ...routes];
}

/** The members that changed; of a digest only its start, enough to tell two apart. */
function auditJson(record: object | undefined, fields: readonly string[] | undefined): string | null {
  if (record === undefined) return null;
  const entries = Object.entries(record).filter(([name]) => fields === undefined || fields.includes(name));
  return JSON.stringify(
    Object.fromEntries(
      entries.map(([name, value]) => [name, name === "sha256" ? `${String(value).slice(0, 8)}…` : (value as unknown)]),
    ),
  );
}

function mustHave(ids: Map<string, number>, what: string, id: string): number {
  const wireId = ids.get(id);
  if (wireId === undefined) throw new Error(`There is no ${what} ${id}.`);
  return wireId;
}
