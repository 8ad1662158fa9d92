/** Envoy's counters and gauges by the names that the checks mean. */
import type { EnvoyEvidence } from "./evidence.ts";

export class Stats {
  constructor(private readonly evidence: Pick<EnvoyEvidence, "stats" | "later">) {}

  /** The newest value; undefined when Envoy shows no such one. */
  value(name: string): number | undefined {
    return this.evidence.later?.stats[name] ?? this.evidence.stats[name];
  }

  /** How much a counter grew while the doctor waited; undefined when it didn't. */
  growth(name: string): number | undefined {
    const { later, stats } = this.evidence;
    return later === undefined ? undefined : Math.max(0, (later.stats[name] ?? 0) - (stats[name] ?? 0));
  }

  /** The name under which Envoy shows a cluster's counter: Istio ends the cluster's name with `;`. */
  clusterName(cluster: string, counter: string): string {
    const names = [`cluster.${cluster}.${counter}`, `cluster.${cluster};.${counter}`];
    return names.find((name) => this.value(name) !== undefined) ?? names[0]!;
  }

  /** The name of a metric of the filter. */
  static filterName(environment: string, metric: string): string {
    return environment === "" ? `wasmcustom.tollgate.${metric}` : `wasmcustom.tollgate.${environment}.${metric}`;
  }

  names(prefix: string): string[] {
    return Object.keys(this.evidence.later?.stats ?? this.evidence.stats).filter((name) => name.startsWith(prefix));
  }

  /** for how long the doctor waited, in words */
  get while(): string {
    return `in ${((this.evidence.later?.afterMs ?? 0) / 1000).toFixed(0)} s`;
  }
}

/** Counters that are never above zero while all is well: one that is makes a second look worth its time. */
export function worthASecondLook(stats: Record<string, number>): boolean {
  const failures =
    /^wasmcustom\.tollgate\..*(?:sync|leases|usage|tokens)_failed$|^cluster\..*\.(?:upstream_cx_connect_fail|upstream_rq_40[13])$|\.refused\.(?:not_ready|snapshot_stale|limit_unavailable|token_unavailable)$/;
  return Object.entries(stats).some(([name, value]) => value > 0 && failures.test(name));
}
