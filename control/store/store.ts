/** The store's contract. Every change to an environment goes through `change`, so none can escape its version and its audit entry. */
import type { CounterGeneration } from "../counters/model.ts";
import type { Kind, Records } from "../domain/diff.ts";
import type { EnvironmentSpec, InternalToken, KeyState } from "../domain/model.ts";
import type { IdentityStore } from "../internalTokens/store.ts";
import type { FeedSource } from "./feedSource.ts";

export interface Environment {
  id: string;
  epoch: bigint;
  version: number;
  createdAtMs: number;
}

/** A record as it is stored, with the version that last changed it. */
export interface Stored<T> {
  record: T;
  version: number;
}

/** Who asks for a change, and when. */
export interface ChangeContext {
  actor: string;
  requestId: string;
  nowMs: number;
}

export interface Reference {
  kind: Kind;
  id: string;
}

export interface PageRequest {
  /** at most so many */
  limit: number;
  /** the `next` of the page before */
  after?: string;
}

export interface Page<T> {
  items: T[];
  /** absent: this is the last page */
  next?: string;
}

export interface KeyFilter {
  consumer?: string;
  state?: KeyState;
}

export interface RecordReader {
  get<K extends Kind>(kind: K, id: string): Promise<Stored<Records[K]> | undefined>;
  /** every id of a kind, ascending */
  ids(kind: Kind): Promise<string[]>;
  /** the ids of these that exist */
  existing(kind: Kind, ids: readonly string[]): Promise<Set<string>>;
  /** every record of a kind; for keys, only those named unless `all` */
  all<K extends Kind>(kind: K): Promise<Records[K][]>;
  /** at most `count` keys with an id above `after`, in byte order of their ids */
  keysPage(after: string, count: number): Promise<Records["key"][]>;
  /** the keys named, those that exist */
  keysNamed(ids: readonly string[]): Promise<Stored<Records["key"]>[]>;
  /** the id of the key that has the first 16 bytes of this digest */
  keyIdByDigest(sha256: string): Promise<string | undefined>;
  /** at most `limit` records that refer to this one */
  references(kind: Kind, id: string, limit: number): Promise<Reference[]>;
  /** what the environment says of internal tokens; `undefined`: nothing yet */
  internalToken(): Promise<InternalToken | undefined>;
}

/** Writes inside one `change`. References must exist; a digest must be new. */
export interface RecordWriter extends RecordReader {
  /** the version that this change makes, if it changes anything */
  readonly nextVersion: number;
  put<K extends Kind>(kind: K, record: Records[K], action?: string): Promise<"created" | "updated" | "unchanged">;
  delete(kind: Kind, id: string): Promise<boolean>;
  /** gateways learn of it as they ask for tokens, so this alone makes no version */
  putInternalToken(settings: InternalToken, action?: string): Promise<void>;
  /** adds keys that aren't there; gives for each what became of it, in order */
  insertKeys(keys: readonly Records["key"][]): Promise<("created" | "unchanged" | "id_in_use" | "digest_in_use")[]>;
  /**
   * Tells the gateways that counters were reset or granted extra, after the counter store has done so. No record changes; the audit log
   * has `action` on the record that it was asked for, with what it was.
   */
  tellCounters(
    counters: readonly CounterGeneration[],
    audit: { action: string; kind: Kind; id: string; details: object },
  ): void;
}

export interface AuditEntry {
  rowId: number;
  environment: string | null;
  timeMs: number;
  actor: string;
  action: string;
  kind: string;
  id: string;
  before: object | null;
  after: object | null;
  version: number | null;
  requestId: string;
}

export interface AuditFilter {
  environment?: string;
  actor?: string;
  action?: string;
  kind?: string;
  id?: string;
}

export interface AdminToken {
  id: string;
  name: string;
  createdAtMs: number;
  expiresAtMs: number | null;
  lastUsedAtMs: number | null;
}

export interface GatewayToken extends AdminToken {
  environment: string;
  group: string;
  /** null: all */
  apis: string[] | null;
}

export interface NewAdminToken {
  id: string;
  name: string;
  /** SHA-256 as hex */
  digest: string;
  expiresAtMs: number | null;
}

export interface NewGatewayToken extends NewAdminToken {
  environment: string;
  group: string;
  /** null: all */
  apis: string[] | null;
}

export interface Gateway {
  environment: string;
  id: string;
  group: string;
  version: number;
  applied: number;
  workers: number;
  lastContactMs: number;
}

/** Gateways and how they report come from feedSource.ts. Unknown environments: `undefined`, never an error. */
export interface Store extends FeedSource, IdentityStore {
  /** Brings the tables to this program's version; safe to call from several replicas at once. */
  migrate(): Promise<void>;
  /** Does the database answer, and take writes as far as is known? Throws when it doesn't, a StoreTrouble where the reason is known. */
  ping(): Promise<void>;
  close(): Promise<void>;

  environments(): Promise<Environment[]>;
  /** false: it exists already */
  createEnvironment(id: string, context: ChangeContext): Promise<boolean>;
  /** Gives the environment a new epoch: every gateway loads a whole snapshot. */
  renewEpoch(id: string, context: ChangeContext): Promise<Environment | undefined>;

  /** One consistent view for reading. */
  read<T>(environment: string, use: (reader: RecordReader) => Promise<T>): Promise<T | undefined>;
  list<K extends Kind>(
    environment: string,
    kind: K,
    page: PageRequest,
    filter?: KeyFilter,
  ): Promise<Page<Stored<Records[K]>>>;
  /** the whole environment, one consistent view */
  spec(environment: string): Promise<EnvironmentSpec | undefined>;
  /**
   * One transaction that holds the environment's lock: what `edit` writes, the next version, its change rows and audit entries; nothing of
   * it when `edit` throws. `version` is the one reached: the old one when nothing changed.
   */
  change<T>(
    environment: string,
    context: ChangeContext,
    edit: (writer: RecordWriter) => Promise<T>,
  ): Promise<{ version: number; result: T } | undefined>;

  audit(page: PageRequest, filter: AuditFilter): Promise<Page<AuditEntry>>;

  /** The admin token with this digest, unless expired. Notes its use, at most once a minute. */
  adminToken(digestHex: string, nowMs: number): Promise<AdminToken | undefined>;
  adminTokens(): Promise<AdminToken[]>;
  /** false: the name or the digest is there already */
  addAdminToken(token: NewAdminToken, context: ChangeContext): Promise<boolean>;
  deleteAdminToken(id: string, context: ChangeContext): Promise<boolean>;

  gatewayTokens(environment: string): Promise<GatewayToken[]>;
  /** false: the group has `maxValid` valid tokens already, or the id or digest is in use */
  addGatewayToken(token: NewGatewayToken, maxValid: number, context: ChangeContext): Promise<boolean>;
  deleteGatewayToken(environment: string, id: string, context: ChangeContext): Promise<boolean>;

  gateways(environment: string): Promise<Gateway[]>;
}
