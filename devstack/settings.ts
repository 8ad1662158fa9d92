import { randomBytes } from "node:crypto";
import { resolve } from "node:path";
import { StartError, variable as valueOf } from "../control/settings.ts";

/** What `tollgate run` takes from the environment variables. */
export interface StackSettings {
  ports: StackPorts;
  /** absolute */
  dataDir: string;
  adminToken: string;
  /** true when TOLLGATE_ADMIN_TOKEN was unset, so that nobody knows the token yet */
  adminTokenIsNew: boolean;
  /** Envoy's workers */
  concurrency: number;
}

export type StackPorts = Record<PortRole, number>;
export type PortRole = "control" | "sync" | "gateway" | "envoyAdmin" | "upstream";

/** Each port's variable, default and purpose. */
export const portRoles: Record<PortRole, { variable: string; standard: number; purpose: string }> = {
  control: { variable: "TOLLGATE_CONTROL_PORT", standard: 8090, purpose: "control's admin API" },
  sync: { variable: "TOLLGATE_SYNC_PORT", standard: 8091, purpose: "control's sync port" },
  gateway: { variable: "TOLLGATE_GATEWAY_PORT", standard: 10000, purpose: "the gateway" },
  envoyAdmin: { variable: "TOLLGATE_ENVOY_ADMIN_PORT", standard: 9901, purpose: "Envoy's admin page" },
  upstream: { variable: "TOLLGATE_UPSTREAM_PORT", standard: 8080, purpose: "the demo upstream" },
};

/** Reads the variables; paths are relative to the current folder. Throws a StartError that names the variable. */
export function readSettings(env: NodeJS.ProcessEnv): StackSettings {
  const dataDir = resolve(valueOf(env, "TOLLGATE_DATA_DIR") ?? ".tollgate");
  const ports = Object.fromEntries(
    Object.entries(portRoles).map(([role, { variable, standard }]) => [
      role,
      wholeNumber(env, variable, standard, 0, 65535),
    ]),
  ) as StackPorts;
  const givenToken = valueOf(env, "TOLLGATE_ADMIN_TOKEN");
  return {
    ports,
    dataDir,
    adminToken: givenToken ?? `tga_${randomBytes(32).toString("base64url")}`,
    adminTokenIsNew: givenToken === undefined,
    concurrency: wholeNumber(env, "TOLLGATE_ENVOY_CONCURRENCY", 2, 1, 256),
  };
}

function wholeNumber(env: NodeJS.ProcessEnv, variable: string, standard: number, least: number, most: number): number {
  const text = valueOf(env, variable);
  if (text === undefined) return standard;
  const value = Number(text);
  if (/^\d+$/.test(text) && value >= least && value <= most) return value;
  throw new StartError(
    `${variable} is ${JSON.stringify(text)}.`,
    `Give it a whole number from ${least} to ${most}, or unset it for ${standard}.`,
  );
}
