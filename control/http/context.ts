import type { Registry } from "prom-client";
import type { CounterStore } from "../counters/store.ts";
import type { RandomInt } from "../domain/keys.ts";
import type { QuotaSource } from "../quota/facts.ts";
import type { Store } from "../store/store.ts";
import type { UsageStore } from "../usage/usage.ts";

/** What routes and operations work with. Time and randomness come from outside. */
export interface Services {
  store: Store;
  counters: CounterStore;
  usage: UsageStore;
  quotas: QuotaSource;
  nowMs: () => number;
  random: RandomInt;
  registry: Registry;
  /** SHA-256, as hex, of an admin token that isn't stored; absent: only stored ones count */
  fixedAdminDigest?: string;
  /** Is the sync server up? */
  feedReady: () => boolean;
  /** Throws when the counter store doesn't answer. */
  counterCheck?: () => Promise<void>;
}
