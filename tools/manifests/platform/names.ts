/** Names that several manifests share, and that people use in commands. */
import type { ManifestOptions } from "../model.ts";
import { dnsLabel } from "../routing/names.ts";

/** Control's Deployment, ServiceAccount, ConfigMap, and the Service of its sync port. */
export const controlName = "tollgate-control";
/** The Service of the admin API. */
export const adminName = "tollgate-admin";
export const adminPort = 8090;
export const syncPort = 8091;

/** Secrets, made by hand or by a secret manager: manifests only refer to them. */
export const controlSecret = "tollgate-control";
export const controlSecretKeys = {
  adminToken: "admin-token",
  databaseUrl: "database-url",
  redisUrl: "redis-url",
} as const;
export const gatewaySecret = "tollgate-gateway";
export const gatewaySecretKey = "token";
/** The same for plugins on the pods of services, whose tokens are of a gateway group of their own. */
export const peerSecret = "tollgate-peer";

export const tokenVariable = "TOLLGATE_GATEWAY_TOKEN";
export const pluginName = "tollgate";
export const accessLogProvider = "tollgate-access-log";

export const controlSelector = {
  "app.kubernetes.io/name": "tollgate",
  "app.kubernetes.io/component": "control",
} as const;

export const controlHost = ({ namespace }: Pick<ManifestOptions, "namespace">): string =>
  `${controlName}.${namespace}.svc.cluster.local`;

/** As Istio calls the cluster that leads to control's sync port. */
export const controlCluster = (options: Pick<ManifestOptions, "namespace">): string =>
  `outbound|${syncPort}||${controlHost(options)}`;

const serviceHost = new RegExp(`^(${dnsLabel})\\.(${dnsLabel})\\.svc(?:\\.[a-z0-9.-]+)?$`, "i");

/** A service of Kubernetes by its full name, or undefined: then it's outside the cluster. */
export function clusterService(host: string): { name: string; namespace: string } | undefined {
  const parts = serviceHost.exec(host);
  return parts === null ? undefined : { name: parts[1]!.toLowerCase(), namespace: parts[2]!.toLowerCase() };
}

/** The names of claim headers, as the plugin's configuration has them. */
export function claimHeader(
  claim: "consumer" | "tier" | "key-id" | "scopes" | "unchecked",
  { plugin }: Pick<ManifestOptions, "plugin">,
): string {
  const claims = (plugin?.["claims"] ?? {}) as { prefix?: string; names?: Record<string, string> };
  return (claims.names?.[claim] ?? `${claims.prefix ?? "x-tollgate-"}${claim}`).toLowerCase();
}

/** A list without repetitions, in order of the alphabet: what is made of the same definitions must not depend on their order. */
export const sorted = (texts: Iterable<string>): string[] => [...new Set(texts)].sort();
