/** The tables, as Kysely sees them. Numbers above 2^53 don't occur: an epoch, a random u64, is hex text. */
import type { Generated } from "kysely";
import type { CountColumn } from "../usage/columns.ts";

export interface EnvironmentsTable {
  id: string;
  /** 16 hex digits */
  epoch: string;
  version: number;
  next_wire_id: number;
  /** the change log is complete for versions above this one */
  log_from: number;
  created_ms: number;
}

/** apis and tiers */
interface SpecTable {
  environment: string;
  id: string;
  wire_id: number;
  /** JSON of the record */
  spec: string;
  /** the version that last changed it */
  version: number;
}

interface ConsumersTable extends SpecTable {
  tier_wire_id: number | null;
}

export interface KeysTable {
  row_id: Generated<number>;
  environment: string;
  id: string;
  digest: Buffer;
  consumer_wire_id: number;
  tier_wire_id: number | null;
  /** index in `keyStates` */
  state: number;
  not_before_ms: number | null;
  expires_at_ms: number | null;
  name: string | null;
  prefix: string | null;
  rotated_to: string | null;
  /** JSON lists, null where absent or empty, so that reading a million keys parses almost none */
  cidrs: string | null;
  /** wire ids */
  apis: string | null;
  scopes: string | null;
  /** each limit with its `wireId` */
  limits: string | null;
  created_ms: number;
  version: number;
}

interface LimitIdsTable {
  environment: string;
  /** api, tier or key */
  owner_kind: string;
  /** wire id; row id of a key */
  owner: number;
  /** the limit's name, after its route where it has one */
  name: string;
  wire_id: number;
}

export interface ChangesTable {
  row_id: Generated<number>;
  environment: string;
  version: number;
  kind: string;
  id: string;
  wire_id: number | null;
  digest: Buffer | null;
  deleted: number;
}

export interface AuditTable {
  row_id: Generated<number>;
  environment: string | null;
  time_ms: number;
  actor: string;
  action: string;
  kind: string;
  id: string;
  /** JSON of the members that changed */
  before: string | null;
  after: string | null;
  version: number | null;
  request_id: string;
}

export interface AdminTokensTable {
  id: string;
  name: string;
  digest: string;
  created_ms: number;
  expires_ms: number | null;
  last_used_ms: number | null;
}

export interface GatewayTokensTable extends AdminTokensTable {
  environment: string;
  group_name: string;
  /** JSON list of ids; null: all */
  apis: string | null;
}

export interface GatewaysTable {
  environment: string;
  group_name: string;
  id: string;
  /** that it last came with */
  token_id: string;
  version: number;
  applied: number;
  workers: number;
  last_contact_ms: number;
  /** until then no other group may have a gateway of this id, and it counts among the token's */
  held_until_ms: number;
}

/** What an environment says of internal tokens. */
interface InternalTokensTable {
  environment: string;
  /** JSON */
  spec: string;
}

/** Keys that internal tokens are signed by. */
export interface SigningKeysTable {
  environment: string;
  kid: string;
  /** JSON of the private key as JWK */
  jwk: string;
  created_ms: number;
  signs_from_ms: number;
}

/** See the rows of control/counters/facts.ts. */
interface CountersTable {
  environment: string;
  limit_wire_id: number;
  /** 32 hex digits */
  subject: string;
  generation: number;
  pending_extra: number;
  shares: number;
}

interface CounterWindowsTable {
  span: string;
  environment: string;
  limit_wire_id: number;
  subject: string;
  start_ms: number;
  end_ms: number;
  used: number;
  extra: number;
  holders: number;
  silent_asked_ms: number;
}

interface CounterHoldingsTable {
  span: string;
  environment: string;
  limit_wire_id: number;
  subject: string;
  /** 16 hex digits */
  lane: string;
  start_ms: number;
  end_ms: number;
  amount: number;
}

interface CounterSharesTable {
  environment: string;
  limit_wire_id: number;
  subject: string;
  lane: string;
  amount: number;
  from_ms: number;
  until_ms: number;
  keep_ms: number;
}

interface CounterLanesTable {
  environment: string;
  lane: string;
  gateway: string;
  last_ms: number;
  /** decimal digits of a u64 */
  seq: string;
  answer: string;
}

/** A lane's last batch of usage. */
interface UsageLanesTable {
  environment: string;
  /** 16 hex digits */
  lane: string;
  gateway: string;
  /** 16 hex digits */
  seq: string;
  last_ms: number;
}

/** Parts of batches that came and wait to be counted. */
interface UsageInboxTable {
  row_id: Generated<number>;
  environment: string;
  entry_count: number;
  /** as control/usage/parts.ts divides them */
  part: number;
  /** as control/usage/inboxText.ts writes them */
  entries: string;
}

/** What usage is counted by; "" stands for none, and for what wasn't known when it was counted. */
interface UsageSeriesTable {
  row_id: Generated<number>;
  environment: string;
  api: string;
  /** as `routeName` calls it */
  route: string;
  consumer: string;
  key: string;
  tier: string;
  /** the last day, in Unix days, on which something was counted */
  used_day: number;
}

/** Counts of a series in a span of time: minutes (1), hours (60), days (1440). */
interface UsageCountsTable extends Record<CountColumn, number> {
  span: number;
  /** Unix minutes, where the span starts */
  at: number;
  series: number;
}

/** Refusals of a series in a span of time, by reason. Wherever there is one, `usage_counts` has a row. */
interface UsageRefusalsTable {
  span: number;
  at: number;
  series: number;
  /** index in protocol/reasons.ts */
  reason: number;
  /** 1: the request was admitted, in observe mode or by a shadow limit */
  observed: number;
  requests: number;
}

/** How far the rows of a span, in the order of `at` and `series`, are part of the next longer span too. */
interface UsageRollupsTable {
  span: number;
  at: number;
  series: number;
}

export interface Tables {
  environments: EnvironmentsTable;
  apis: SpecTable;
  tiers: SpecTable;
  consumers: ConsumersTable;
  keys: KeysTable;
  limit_ids: LimitIdsTable;
  changes: ChangesTable;
  audit: AuditTable;
  admin_tokens: AdminTokensTable;
  gateway_tokens: GatewayTokensTable;
  gateways: GatewaysTable;
  internal_tokens: InternalTokensTable;
  signing_keys: SigningKeysTable;
  counters: CountersTable;
  counter_windows: CounterWindowsTable;
  counter_holdings: CounterHoldingsTable;
  counter_shares: CounterSharesTable;
  counter_lanes: CounterLanesTable;
  usage_lanes: UsageLanesTable;
  usage_inbox: UsageInboxTable;
  usage_series: UsageSeriesTable;
  usage_counts: UsageCountsTable;
  usage_refusals: UsageRefusalsTable;
  usage_rollups: UsageRollupsTable;
}

export { keyStates } from "../../protocol/enums.ts";
