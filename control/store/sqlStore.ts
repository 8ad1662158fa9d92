/** The store over Kysely, for every SQL database alike. */
import { randomBytes } from "node:crypto";
import { type Kysely, type Selectable, sql, type Transaction } from "kysely";
import type { Kind, Records } from "../domain/diff.ts";
import type { EnvironmentSpec } from "../domain/model.ts";
import type { Caller, CallerAsk, Identity, SigningKey } from "../internalTokens/store.ts";
import { insertAudit, readAudit } from "./auditLog.ts";
import type { SqlDialect } from "./dialect.ts";
import { SqlFeedReader } from "./feedReader.ts";
import type {
  ClaimOutcome,
  EnvironmentState,
  FeedReader,
  GatewayClaim,
  GatewayGrant,
  GatewayReport,
} from "./feedSource.ts";
import { GatewayRows } from "./gatewayRows.ts";
import { Identities } from "./identities.ts";
import { internalTokenOf } from "./internalToken.ts";
import { lockEnvironment } from "./lock.ts";
import { migrateToLatest } from "./migrations/index.ts";
import { SqlReader } from "./reader.ts";
import type {
  AdminToken,
  AuditEntry,
  AuditFilter,
  ChangeContext,
  Environment,
  Gateway,
  GatewayToken,
  KeyFilter,
  NewAdminToken,
  NewGatewayToken,
  Page,
  PageRequest,
  RecordReader,
  RecordWriter,
  Store,
  Stored,
} from "./store.ts";
import type { EnvironmentsTable, Tables } from "./tables.ts";
import { Tokens } from "./tokens.ts";
import { SqlWriter } from "./writer.ts";

export interface StoreOptions {
  /** so many of the newest change rows are kept for each environment */
  changeRowsKept?: number;
  /** the log is pruned once this many rows were added since the last time */
  pruneAfterRows?: number;
}

export class SqlStore implements Store {
  readonly dialect: SqlDialect;
  private readonly tokens: Tokens;
  private readonly identities: Identities;
  private readonly gatewayRows: GatewayRows;
  private readonly changeRowsKept: number;
  private readonly pruneAfterRows: number;
  private readonly listeners = new Map<string, Set<(version: bigint) => void>>();
  private readonly woken = new Map<string, bigint>();
  private readonly rowsSincePrune = new Map<string, number>();

  constructor(dialect: SqlDialect, options: StoreOptions = {}) {
    this.dialect = dialect;
    this.tokens = new Tokens(dialect);
    this.identities = new Identities(dialect);
    this.gatewayRows = new GatewayRows(dialect);
    this.changeRowsKept = options.changeRowsKept ?? 100_000;
    this.pruneAfterRows = options.pruneAfterRows ?? 10_000;
  }

  async migrate(): Promise<void> {
    await migrateToLatest(this.dialect.db, this.dialect.types);
    await this.dialect.listen(
      (environment, version) => this.wake(environment, BigInt(version)),
      () => void this.wakeAll().catch(() => undefined),
    );
  }

  async ping(): Promise<void> {
    await this.dialect.check();
    await this.view((db) => sql`select 1`.execute(db));
  }

  async close(): Promise<void> {
    this.listeners.clear();
    await this.dialect.close();
  }

  // environments

  async environments(): Promise<Environment[]> {
    const rows = await this.view((db) => db.selectFrom("environments").selectAll().orderBy("id").execute());
    return rows.map(environmentOf);
  }

  async environment(id: string): Promise<EnvironmentState | undefined> {
    const row = await this.view((db) => environmentRow(db, id));
    return row === undefined ? undefined : { epoch: epochOf(row), version: BigInt(row.version) };
  }

  async createEnvironment(id: string, context: ChangeContext): Promise<boolean> {
    return this.write(async (trx) => {
      const made = await trx
        .insertInto("environments")
        .values({ id, epoch: newEpoch(), version: 0, next_wire_id: 1, log_from: 0, created_ms: context.nowMs })
        .onConflict((conflict) => conflict.doNothing())
        .returning("id")
        .executeTakeFirst();
      if (made === undefined) return false;
      await insertAudit(trx, context, { environment: id, action: "create", kind: "environment", id });
      return true;
    });
  }

  async renewEpoch(id: string, context: ChangeContext): Promise<Environment | undefined> {
    const row = await this.write(async (trx) => {
      const locked = await lockEnvironment(trx, id);
      if (locked === undefined) return undefined;
      const version = locked.version + 1;
      const changed = { epoch: newEpoch(), version, log_from: version };
      await trx.updateTable("environments").set(changed).where("id", "=", id).execute();
      await trx.deleteFrom("changes").where("environment", "=", id).execute();
      await insertAudit(trx, context, { environment: id, action: "renew-epoch", kind: "environment", id, version });
      await this.dialect.announce(trx, id, version);
      return { ...locked, ...changed };
    });
    if (row === undefined) return undefined;
    this.wake(id, BigInt(row.version));
    return environmentOf(row);
  }

  // records

  async read<T>(environment: string, use: (reader: RecordReader) => Promise<T>): Promise<T | undefined> {
    return this.view(async (db) =>
      (await environmentRow(db, environment)) === undefined ? undefined : use(new SqlReader(db, environment)),
    );
  }

  async list<K extends Kind>(
    environment: string,
    kind: K,
    page: PageRequest,
    filter: KeyFilter = {},
  ): Promise<Page<Stored<Records[K]>>> {
    return this.view((db) => new SqlReader(db, environment).list(kind, page, filter));
  }

  async spec(environment: string): Promise<EnvironmentSpec | undefined> {
    return this.read(environment, async (reader) => ({
      version: 1,
      environment,
      ...(await internalTokenOf(reader)),
      apis: await reader.all("api"),
      tiers: await reader.all("tier"),
      consumers: await reader.all("consumer"),
      keys: await reader.all("key"),
    }));
  }

  async change<T>(
    environment: string,
    context: ChangeContext,
    edit: (writer: RecordWriter) => Promise<T>,
  ): Promise<{ version: number; result: T } | undefined> {
    const done = await this.write(async (trx) => {
      const row = await lockEnvironment(trx, environment);
      if (row === undefined) return undefined;
      const writer = new SqlWriter(trx, this.dialect.bulk, row, context);
      const result = await edit(writer);
      const reached = await writer.finish();
      if (reached !== undefined) {
        await this.prune(trx, environment, writer.changeRows);
        await this.dialect.announce(trx, environment, reached);
      }
      return { result, version: reached ?? row.version, changed: reached !== undefined };
    });
    if (done === undefined) return undefined;
    if (done.changed) this.wake(environment, BigInt(done.version));
    return { version: done.version, result: done.result };
  }

  // the feed

  subscribe(environment: string, listener: (version: bigint) => void): () => void {
    const own = (version: bigint) => listener(version);
    const all = this.listeners.get(environment) ?? new Set();
    this.listeners.set(environment, all.add(own));
    return () => void all.delete(own);
  }

  async snapshotRead<T>(environment: string, use: (reader: FeedReader) => Promise<T>): Promise<T | undefined> {
    return this.dialect.snapshot(async (view) => {
      const row = await environmentRow(view, environment);
      return row === undefined ? undefined : use(new SqlFeedReader(view, this.dialect.lines, row));
    });
  }

  async claimGateway(claim: GatewayClaim): Promise<ClaimOutcome> {
    return this.gatewayRows.claim(claim);
  }

  async recordGateway(report: GatewayReport): Promise<void> {
    return this.gatewayRows.record(report);
  }

  async gateways(environment: string): Promise<Gateway[]> {
    return this.gatewayRows.list(environment);
  }

  // audit

  async audit(page: PageRequest, filter: AuditFilter): Promise<Page<AuditEntry>> {
    return this.view((db) => readAudit(db, page, filter));
  }

  // tokens

  async adminToken(digestHex: string, nowMs: number): Promise<AdminToken | undefined> {
    return this.tokens.admin(digestHex, nowMs);
  }

  async adminTokens(): Promise<AdminToken[]> {
    return this.tokens.listAdmin();
  }

  async addAdminToken(token: NewAdminToken, context: ChangeContext): Promise<boolean> {
    return this.tokens.addAdmin(token, context);
  }

  async deleteAdminToken(id: string, context: ChangeContext): Promise<boolean> {
    return this.tokens.deleteAdmin(id, context);
  }

  async gatewayToken(digestHex: string, nowMs: number): Promise<GatewayGrant | undefined> {
    return this.tokens.gateway(digestHex, nowMs);
  }

  async gatewayTokens(environment: string): Promise<GatewayToken[]> {
    return this.tokens.listGateway(environment);
  }

  async addGatewayToken(token: NewGatewayToken, maxValid: number, context: ChangeContext): Promise<boolean> {
    return this.tokens.addGateway(token, maxValid, context);
  }

  async deleteGatewayToken(environment: string, id: string, context: ChangeContext): Promise<boolean> {
    return this.tokens.deleteGateway(environment, id, context);
  }

  // the internal token

  async identity(environment: string): Promise<Identity | undefined> {
    return this.identities.identity(environment);
  }

  async changeSigningKeys(
    environment: string,
    edit: (keys: SigningKey[]) => SigningKey[],
    audit?: { context: ChangeContext; action: string; id: string },
  ): Promise<SigningKey[] | undefined> {
    return this.identities.changeKeys(environment, edit, audit);
  }

  async callers(environment: string, asks: readonly CallerAsk[]): Promise<(Caller | undefined)[]> {
    return this.identities.callers(environment, asks);
  }

  // helpers

  private async view<T>(use: (db: Kysely<Tables>) => Promise<T>): Promise<T> {
    return this.dialect.snapshot(use);
  }

  private async write<T>(use: (trx: Transaction<Tables>) => Promise<T>): Promise<T> {
    return this.dialect.db.transaction().execute(use);
  }

  /** Each version wakes once, although PostgreSQL tells us of our own as well. */
  private wake(environment: string, version: bigint): void {
    if (version <= (this.woken.get(environment) ?? -1n)) return;
    this.woken.set(environment, version);
    for (const listener of [...(this.listeners.get(environment) ?? [])]) listener(version);
  }

  private async wakeAll(): Promise<void> {
    // Versions may even have gone back, when the database was restored from a backup.
    this.woken.clear();
    for (const { id, version } of await this.environments()) this.wake(id, BigInt(version));
  }

  /** Keeps the newest rows of the change log, cut at a version's border; gateways further behind load a snapshot. */
  private async prune(trx: Transaction<Tables>, environment: string, addedRows: number): Promise<void> {
    const added = (this.rowsSincePrune.get(environment) ?? this.pruneAfterRows) + addedRows;
    this.rowsSincePrune.set(environment, added);
    if (added < this.pruneAfterRows) return;
    this.rowsSincePrune.set(environment, 0);
    const oldest = await trx
      .selectFrom("changes")
      .select("version")
      .where("environment", "=", environment)
      .orderBy("version", "desc")
      .orderBy("row_id", "desc")
      .limit(1)
      .offset(this.changeRowsKept)
      .executeTakeFirst();
    if (oldest === undefined) return;
    await trx
      .deleteFrom("changes")
      .where("environment", "=", environment)
      .where("version", "<=", oldest.version)
      .execute();
    await trx.updateTable("environments").set({ log_from: oldest.version }).where("id", "=", environment).execute();
  }
}

async function environmentRow(db: Kysely<Tables>, id: string): Promise<Selectable<EnvironmentsTable> | undefined> {
  return db.selectFrom("environments").selectAll().where("id", "=", id).executeTakeFirst();
}

function environmentOf(row: Selectable<EnvironmentsTable>): Environment {
  return { id: row.id, epoch: epochOf(row), version: row.version, createdAtMs: row.created_ms };
}

function epochOf(row: { epoch: string }): bigint {
  return BigInt(`0x${row.epoch}`);
}

/** A random u64 that isn't 0, which says "none" on the wire. */
function newEpoch(): string {
  const hex = randomBytes(8).toString("hex");
  return /^0+$/.test(hex) ? newEpoch() : hex;
}
