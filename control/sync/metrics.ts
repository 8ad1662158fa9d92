/** What the sync server tells Prometheus. */
import { Counter, Gauge, Histogram, type Registry } from "prom-client";

export interface SyncMetrics {
  answers: Counter<"kind">;
  answerBytes: Counter<"kind">;
  problems: Counter<"code">;
  deltaSeconds: Histogram<"environment">;
  baseSeconds: Histogram<"environment">;
  wakeSeconds: Histogram<never>;
  leases: Counter<"verdict">;
  leaseSeconds: Histogram<never>;
  groupCalls: Histogram<never>;
  groupSeconds: Histogram<never>;
  recalls: Counter<never>;
  usageBatches: Counter<"outcome">;
  usageEntries: Counter<never>;
  tokens: Counter<"verdict">;
  granted: Counter<"environment" | "group">;
  reportedCost: Counter<"environment" | "group">;
  refused: Counter<"environment" | "group" | "call" | "reason">;
}

/** Values that are read when Prometheus asks. */
export interface SyncReadings {
  parked(): number;
  environments(): {
    environment: string;
    version: number;
    baseVersion: number;
    baseBytes: number;
    gateways: number;
    lag: number;
  }[];
}

/** Registers the metrics. Throws when the registry has them already. */
export function syncMetrics(registry: Registry, readings: SyncReadings): SyncMetrics {
  const registers = [registry];
  const labelNames = ["environment"] as const;
  new Gauge({
    name: "tollgate_sync_parked_polls",
    help: "Long polls that wait for news.",
    registers,
    collect() {
      this.set(readings.parked());
    },
  });
  type Reading = ReturnType<SyncReadings["environments"]>[number];
  const perEnvironment = (name: string, help: string, value: (reading: Reading) => number): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const reading of readings.environments()) this.set({ environment: reading.environment }, value(reading));
      },
    });
  };
  perEnvironment("tollgate_sync_version", "The newest version known.", (reading) => reading.version);
  perEnvironment(
    "tollgate_sync_base_version",
    "The version of the snapshot that gateways load.",
    (reading) => reading.baseVersion,
  );
  perEnvironment(
    "tollgate_sync_base_bytes",
    "Memory that the snapshot's consumers and keys take.",
    (reading) => reading.baseBytes,
  );
  perEnvironment(
    "tollgate_sync_gateways",
    "Gateways that called this replica within the last 70 seconds.",
    (reading) => reading.gateways,
  );
  perEnvironment(
    "tollgate_sync_gateway_lag_versions",
    "Versions that the slowest of these gateways is behind.",
    (reading) => reading.lag,
  );
  return {
    answers: new Counter({
      name: "tollgate_sync_answers_total",
      help: "Answers by kind: delta, manifest, heartbeat, recall, page, report, leases, usage, tokens, jwks.",
      labelNames: ["kind"],
      registers,
    }),
    answerBytes: new Counter({
      name: "tollgate_sync_answer_bytes_total",
      help: "Bytes of these answers' bodies.",
      labelNames: ["kind"],
      registers,
    }),
    problems: new Counter({
      name: "tollgate_sync_problems_total",
      help: "Refused or failed calls by code.",
      labelNames: ["code"],
      registers,
    }),
    deltaSeconds: new Histogram({
      name: "tollgate_sync_delta_seconds",
      help: "Reading and encoding one delta.",
      labelNames,
      registers,
      buckets: [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3],
    }),
    baseSeconds: new Histogram({
      name: "tollgate_sync_base_seconds",
      help: "Reading and encoding one snapshot.",
      labelNames,
      registers,
      buckets: [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30],
    }),
    wakeSeconds: new Histogram({
      name: "tollgate_sync_wake_seconds",
      help: "From the notice of a commit to the answer of a waiting poll.",
      registers,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1],
    }),
    leases: new Counter({
      name: "tollgate_sync_leases_total",
      help: "What gateways said of counters, by verdict: noted, granted, wait, spent, unknown.",
      labelNames: ["verdict"],
      registers,
    }),
    leaseSeconds: new Histogram({
      name: "tollgate_sync_lease_seconds",
      help: "From a lane's call to its answer.",
      registers,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1],
    }),
    groupCalls: new Histogram({
      name: "tollgate_sync_lease_group_calls",
      help: "Calls of lanes that were decided in one transaction.",
      registers,
      buckets: [1, 2, 5, 10, 20, 50, 100, 200, 500],
    }),
    groupSeconds: new Histogram({
      name: "tollgate_sync_lease_group_seconds",
      help: "Deciding and keeping such a group.",
      registers,
      buckets: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 1],
    }),
    recalls: new Counter({
      name: "tollgate_sync_recalls_total",
      help: "Counters that gateways were asked to return.",
      registers,
    }),
    usageBatches: new Counter({
      name: "tollgate_sync_usage_batches_total",
      help: "Batches of usage, applied now or repeated.",
      labelNames: ["outcome"],
      registers,
    }),
    usageEntries: new Counter({
      name: "tollgate_sync_usage_entries_total",
      help: "Entries of usage in applied batches.",
      registers,
    }),
    tokens: new Counter({
      name: "tollgate_sync_tokens_total",
      help: "Internal tokens that gateways asked for, by verdict: granted, unknown, off, tooLarge.",
      labelNames: ["verdict"],
      registers,
    }),
    granted: new Counter({
      name: "tollgate_sync_granted_total",
      help: "Allowance granted to gateways, by their group.",
      labelNames: ["environment", "group"],
      registers,
    }),
    reportedCost: new Counter({
      name: "tollgate_sync_reported_cost_total",
      help: "What gateways report that requests took from limits, by their group.",
      labelNames: ["environment", "group"],
      registers,
    }),
    refused: new Counter({
      name: "tollgate_sync_refused_total",
      help: "What was refused of gateways' calls because their token doesn't go that far, by group, call (leases, usage, tokens) and reason (limit, subject, api, minute, count, caller).",
      labelNames: ["environment", "group", "call", "reason"],
      registers,
    }),
  };
}
