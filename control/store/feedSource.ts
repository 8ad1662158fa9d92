/**
 * What the sync feed reads of the store. All reading of records happens in `snapshotRead`, so that a page, a delta and the version
 * they are labelled with always belong together.
 *
 * Wire ids are u32, never 0, given once per environment and epoch, never used again.
 */
import type { Api, Consumer, KeyState, Limit, Tier } from "../domain/model.ts";

export interface EnvironmentState {
  /** random u64: versions of different epochs can't be compared */
  epoch: bigint;
  /** the newest committed version; 0 before the first change */
  version: bigint;
}

export interface FeedLimit {
  wireId: number;
  /** index in the API's `routes`; absent for limits of the API itself, a tier or a key */
  routeIndex?: number;
  limit: Limit;
}

export interface FeedApi {
  wireId: number;
  api: Api;
  /** the API's own limits, then those of its routes in order */
  limits: FeedLimit[];
}

export interface FeedTier {
  wireId: number;
  tier: Tier;
  /** absent: every API */
  apiWireIds?: number[];
  limits: FeedLimit[];
}

export interface FeedConsumer {
  wireId: number;
  /** 0: none */
  tierWireId: number;
  consumer: Consumer;
}

export interface FeedKey {
  /** the store's own ascending number, for paging only */
  rowId: number;
  id: string;
  /** SHA-256, 32 bytes */
  digest: Buffer;
  consumerWireId: number;
  state: KeyState;
  notBeforeMs?: number;
  expiresAtMs?: number;
  tierWireId?: number;
  /** canonical text, `10.0.0.0/8`; `parseCidr` of domain/cidr.ts gives the bytes */
  cidrs?: string[];
  apiWireIds?: number[];
  scopes?: string[];
  limits?: FeedLimit[];
}

/** A limit that a key has of its own. */
export interface FeedKeyLimit {
  limit: FeedLimit;
  /** first 16 bytes of the key's digest, hex */
  digest: string;
}

/** What decides where a key can call. */
export interface CallingKey {
  consumerWireId: number;
  /** in place of the consumer's */
  tierWireId?: number;
  /** absent: all that its tier allows */
  apiWireIds?: number[];
}

/** What decides where a consumer's keys can call. */
export interface CallingConsumer {
  /** 0: none */
  tierWireId: number;
  /** what its keys that aren't revoked are restricted to, each restriction once; undefined: to nothing */
  keyApis: (number[] | undefined)[];
}

/** One record that a version touched. A record changed twice since a version comes once, at its last place. */
export type FeedChange =
  | { version: bigint; kind: "api" | "tier" | "consumer"; id: string; wireId: number; deleted: boolean }
  | { version: bigint; kind: "key"; id: string; digest: Buffer; deleted: boolean }
  /** limits come with their owner's record; alone they are only ever deleted */
  | { version: bigint; kind: "limit"; wireId: number; deleted: true }
  /** a counter was reset or granted extra: news, no record; `wireId` is its limit's, the subject 32 hex digits */
  | { version: bigint; kind: "counter"; wireId: number; subject: string; generation: number; deleted: false };

/** A consistent view of one environment at `version`. Valid only inside the `snapshotRead` that gave it. */
export interface FeedReader extends EnvironmentState {
  environment: string;
  counts(): Promise<{ apis: number; tiers: number; consumers: number; keys: number; limits: number }>;
  /** all APIs, by ascending wire id */
  apis(): Promise<FeedApi[]>;
  /** all tiers, by ascending wire id */
  tiers(): Promise<FeedTier[]>;
  /** at most `count` consumers with a wire id above `afterWireId` (0: from the start), ascending */
  consumersPage(afterWireId: number, count: number): Promise<FeedConsumer[]>;
  /** at most `count` keys with a row id above `afterRowId` (0: from the start), ascending */
  keysPage(afterRowId: number, count: number): Promise<FeedKey[]>;
  /**
   * The records touched by versions above `sinceVersion`, in the order in which a table must take them. `undefined`: the log no longer
   * reaches back that far, the version is ahead of this one, or more than `max` records changed; a snapshot is due.
   */
  changesSince(sinceVersion: bigint, max: number): Promise<FeedChange[] | undefined>;
  apiById(id: string): Promise<FeedApi | undefined>;
  tierById(id: string): Promise<FeedTier | undefined>;
  consumerById(id: string): Promise<FeedConsumer | undefined>;
  keyById(id: string): Promise<FeedKey | undefined>;
  /** the limits that keys have of their own */
  keyLimits(): Promise<FeedKeyLimit[]>;
  /** by the first 16 bytes of their digests, hex; those that aren't there are missing */
  callingKeys(digests: readonly string[]): Promise<Map<string, CallingKey>>;
  /** by wire id; those that aren't there are missing */
  callingConsumers(wireIds: readonly number[]): Promise<Map<number, CallingConsumer>>;
  /** as `keyById`, for many in one go; those gone are missing */
  keysByIds(ids: readonly string[]): Promise<Map<string, FeedKey>>;
  /** as `consumerById`, for many in one go; those gone are missing */
  consumersByIds(ids: readonly string[]): Promise<Map<string, FeedConsumer>>;
}

/** What a gateway token, looked up by its digest, allows. Expired and deleted tokens aren't found. */
export interface GatewayGrant {
  tokenId: string;
  group: string;
  environment: string;
  /** ids of the APIs that the group may see; null: all */
  apis: string[] | null;
}

/** A gateway that begins to call. */
export interface GatewayClaim {
  environment: string;
  group: string;
  id: string;
  tokenId: string;
  nowMs: number;
  /** it has its id until then */
  heldUntilMs: number;
  /** of one token at a time */
  most: number;
}

/** `held`: a gateway of another group has the id. `full`: the token has as many gateways as it may. */
export type ClaimOutcome = "claimed" | "held" | "full";

/** One Envoy process, as it last reported itself. Its id is its group's own. */
export interface GatewayReport {
  /** `<node id>~<boot id>` */
  id: string;
  group: string;
  environment: string;
  tokenId: string;
  /** the version that it was last served */
  version: bigint;
  /** the lowest version that its serving workers use; 0: none yet */
  applied: bigint;
  workers: number;
  lastContactMs: number;
  heldUntilMs: number;
}

export interface FeedSource {
  /** `undefined`: no such environment */
  environment(id: string): Promise<EnvironmentState | undefined>;
  /**
   * `listener` is called after each commit that made a version (perhaps of another replica), and with the current version after
   * notifications may have been missed. It must not throw. Gives the function that ends the subscription.
   */
  subscribe(environment: string, listener: (version: bigint) => void): () => void;
  /** Runs `use` on a consistent view. `undefined`: no such environment. Don't keep the reader; don't wait on the network inside. */
  snapshotRead<T>(environment: string, use: (reader: FeedReader) => Promise<T>): Promise<T | undefined>;
  /** `digest`: SHA-256 of the token as hex. Notes the token's use, at most once a minute. */
  gatewayToken(digestHex: string, nowMs: number): Promise<GatewayGrant | undefined>;
  /** Notes that a gateway is there, unless it may not be. */
  claimGateway(claim: GatewayClaim): Promise<ClaimOutcome>;
  recordGateway(report: GatewayReport): Promise<void>;
}
