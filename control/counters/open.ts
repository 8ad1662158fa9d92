/** Where counters live: in Redis or Valkey where a URL says so, else in the database. */
import type { SqlStore } from "../store/sqlStore.ts";
import type { CounterSettings } from "./model.ts";
import { RedisCounterStore } from "./redis.ts";
import { SqlCounterStore } from "./sql.ts";
import type { CounterStore } from "./store.ts";

export interface OpenCounterOptions extends Partial<CounterSettings> {
  /** `redis://…` or `rediss://…` (TOLLGATE_REDIS_URL) */
  redisUrl?: string;
  /** so many replicas of Redis must have confirmed before an answer goes out */
  waitReplicas?: number;
  /** hears of lost connections, which heal by themselves */
  onLost: (error: Error) => void;
  /** hears, once, what of the server's settings may make it forget what it has confirmed */
  onGap?: (sentence: string) => void;
}

/** The database stays its owner's to close, and must outlive the counters. Throws CountersUnavailable when Redis can't be reached. */
export async function openCounters(
  database: SqlStore,
  { redisUrl, waitReplicas = 0, onLost, onGap = () => undefined, ...settings }: OpenCounterOptions,
): Promise<CounterStore> {
  if (redisUrl === undefined) return new SqlCounterStore(database.dialect, settings);
  const store = await RedisCounterStore.open(redisUrl, onLost, { ...settings, waitReplicas });
  for (const sentence of await store.durabilityGaps()) onGap(sentence);
  return store;
}
