/** Control's settings, from environment variables. */
import { accessSync, constants, readdirSync, readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { type SettingName, settings, type StandardName, StartError, variable } from "./settings.ts";
import { keepPrivate, makeFolder } from "./store/folder.ts";
import { troubleOf } from "./store/trouble.ts";

export interface ControlConfig {
  /** the address that both servers listen on */
  host: string;
  /** 0: any free port */
  controlPort: number;
  syncPort: number;
  dataDir: string;
  /** `file:…` or `postgres://…` */
  databaseUrl: string;
  /** counters live there; absent: in the database */
  redisUrl?: string;
  /** so many of its replicas must have confirmed a lease before it's answered */
  redisWaitReplicas: number;
  /** how long a gateway may spend what it was granted */
  leaseMs: number;
  /** gateways that one token may have at a time */
  gatewaysPerToken: number;
  /** so long minutes of usage are kept, before hours stand for them */
  usageMinutesHours: number;
  /** absent: those in the database count, and the first is made when there is none */
  adminToken?: string;
  /** of the sync server, PEM files; absent: plain HTTP */
  syncTls?: { cert: Buffer; key: Buffer; files: { certFile: string; keyFile: string } };
  logLevel: LogLevel;
}

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
export type LogLevel = (typeof logLevels)[number];

export { StartError };

/** Reads the variables. Throws a StartError that names the variable and what it should be. */
export function readConfig(env: NodeJS.ProcessEnv): ControlConfig {
  const text = (name: SettingName) => variable(env, name);
  const textOrStandard = (name: StandardName) => text(name) ?? settings[name].standard;
  const dataDir = resolve(textOrStandard("TOLLGATE_DATA_DIR"));
  const databaseUrl = text("TOLLGATE_DATABASE_URL") ?? `file:${join(dataDir, "tollgate.db")}`;
  if (!/^(file:.|postgres(ql)?:\/\/.)/.test(databaseUrl)) {
    throw new StartError(
      "TOLLGATE_DATABASE_URL is neither `file:…` nor `postgres://…`.",
      "Set it to a file such as file:/var/lib/tollgate/tollgate.db, or to a PostgreSQL URL.",
    );
  }
  const adminToken = text("TOLLGATE_ADMIN_TOKEN");
  if (adminToken !== undefined && !/^[\x21-\x7e]{16,256}$/.test(adminToken)) {
    throw new StartError(
      "TOLLGATE_ADMIN_TOKEN is not a token.",
      "Use 16 to 256 printable ASCII characters without spaces, for example `openssl rand -hex 32`.",
    );
  }
  const redisUrl = text("TOLLGATE_REDIS_URL");
  if (redisUrl !== undefined && !/^rediss?:\/\/./.test(redisUrl))
    throw new StartError(
      "TOLLGATE_REDIS_URL is neither `redis://…` nor `rediss://…`.",
      "Set it to the URL of Valkey or Redis, or leave it out: counters are in the database then.",
    );
  const logLevel = logLevels.find((level) => level === textOrStandard("TOLLGATE_LOG_LEVEL"));
  if (logLevel === undefined)
    throw new StartError(
      `TOLLGATE_LOG_LEVEL is \`${textOrStandard("TOLLGATE_LOG_LEVEL")}\`.`,
      `Set it to one of ${logLevels.join(", ")}.`,
    );
  const syncTls = readTls(text("TOLLGATE_SYNC_TLS_CERT"), text("TOLLGATE_SYNC_TLS_KEY"));
  return {
    host: textOrStandard("TOLLGATE_HOST"),
    controlPort: port("TOLLGATE_CONTROL_PORT", textOrStandard("TOLLGATE_CONTROL_PORT")),
    syncPort: port("TOLLGATE_SYNC_PORT", textOrStandard("TOLLGATE_SYNC_PORT")),
    dataDir,
    databaseUrl,
    logLevel,
    leaseMs: whole("TOLLGATE_LEASE_SECONDS", textOrStandard("TOLLGATE_LEASE_SECONDS"), 1, 86_400, " of seconds") * 1000,
    gatewaysPerToken: whole("TOLLGATE_GATEWAYS_PER_TOKEN", textOrStandard("TOLLGATE_GATEWAYS_PER_TOKEN"), 1, 10_000),
    usageMinutesHours: whole(
      "TOLLGATE_USAGE_MINUTES_HOURS",
      textOrStandard("TOLLGATE_USAGE_MINUTES_HOURS"),
      1,
      720,
      " of hours",
    ),
    redisWaitReplicas: whole("TOLLGATE_REDIS_WAIT_REPLICAS", textOrStandard("TOLLGATE_REDIS_WAIT_REPLICAS"), 0, 100),
    ...(redisUrl === undefined ? {} : { redisUrl }),
    ...(adminToken === undefined ? {} : { adminToken }),
    ...(syncTls === undefined ? {} : { syncTls }),
  };
}

/** Makes the data folder, and checks that it can be written. */
export function prepareDataDir(dataDir: string): void {
  try {
    makeFolder(dataDir);
    if (!statSync(dataDir).isDirectory()) throw new Error("It is no folder.");
    accessSync(dataDir, constants.W_OK | constants.X_OK);
    // Whatever is written from now on, by children too: databases, their side files, logs, configuration.
    process.umask(0o077);
    keepPrivate(dataDir);
    for (const name of readdirSync(dataDir)) keepPrivate(join(dataDir, name));
  } catch (error) {
    const trouble = troubleOf(error);
    const remedy =
      trouble?.kind === "disk_full" ? trouble.remedy : "Set TOLLGATE_DATA_DIR to a folder that this user may write.";
    throw new StartError(`The folder ${dataDir} can't be written: ${messageOf(error)}`, remedy, { cause: error });
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function port(name: SettingName, text: string): number {
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535)
    throw new StartError(`${name} is \`${text}\`.`, "Set it to a port from 1 to 65535, or 0 for any free one.");
  return value;
}

function whole(name: SettingName, text: string, least: number, most: number, what = ""): number {
  const value = Number(text);
  if (!/^\d{1,9}$/.test(text) || value < least || value > most)
    throw new StartError(`${name} is \`${text}\`.`, `Set it to a whole number${what} from ${least} to ${most}.`);
  return value;
}

/** Reads both files once, so that a mistake shows at the start. */
function readTls(certFile: string | undefined, keyFile: string | undefined): ControlConfig["syncTls"] {
  if (certFile === undefined && keyFile === undefined) return undefined;
  if (certFile === undefined || keyFile === undefined) {
    const missing = certFile === undefined ? "TOLLGATE_SYNC_TLS_CERT" : "TOLLGATE_SYNC_TLS_KEY";
    throw new StartError(
      `${missing} is not set, its companion is.`,
      "Set both TOLLGATE_SYNC_TLS_CERT and TOLLGATE_SYNC_TLS_KEY, or neither.",
    );
  }
  const pair = { cert: readPem("TOLLGATE_SYNC_TLS_CERT", certFile), key: readPem("TOLLGATE_SYNC_TLS_KEY", keyFile) };
  try {
    createSecureContext(pair);
  } catch (error) {
    throw new StartError(
      `The certificate and the key of the sync port can't be used: ${messageOf(error)}`,
      "Give TOLLGATE_SYNC_TLS_CERT and TOLLGATE_SYNC_TLS_KEY a PEM certificate and its key.",
      { cause: error },
    );
  }
  return { ...pair, files: { certFile, keyFile } };
}

function readPem(name: SettingName, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new StartError(
      `${name} can't be read: ${messageOf(error)}`,
      `Set ${name} to a PEM file that this user may read.`,
      { cause: error },
    );
  }
}
