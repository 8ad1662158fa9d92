/** The environment variables that control reads: the one table, of which docs/reference/configuration.md is made too; and how any is read. */

export interface Setting {
  /** what holds when the variable is unset or empty; absent: `unset` tells */
  standard?: string;
  /** in words, where there is no fixed default */
  unset?: string;
  meaning: string;
}

export const settings = {
  TOLLGATE_HOST: {
    standard: "127.0.0.1",
    meaning:
      "The address on which the admin API and the sync port listen; `0.0.0.0` is every IPv4 address of the machine.",
  },
  TOLLGATE_CONTROL_PORT: { standard: "8090", meaning: "The admin API's port, plain HTTP. 0: any free one." },
  TOLLGATE_SYNC_PORT: { standard: "8091", meaning: "The sync port, to which gateways connect. 0: any free one." },
  TOLLGATE_SYNC_TLS_CERT: {
    unset: "plain HTTP",
    meaning:
      "The sync port's certificate chain, a PEM file. Renewed files are taken within 30 seconds. Only together with TOLLGATE_SYNC_TLS_KEY.",
  },
  TOLLGATE_SYNC_TLS_KEY: { unset: "plain HTTP", meaning: "The certificate's private key, a PEM file." },
  TOLLGATE_DATA_DIR: {
    standard: ".tollgate",
    meaning: "The folder of what control keeps, made when it isn't there. Must be writable, with PostgreSQL as well.",
  },
  TOLLGATE_DATABASE_URL: {
    unset: "`tollgate.db` in TOLLGATE_DATA_DIR",
    meaning:
      "`file:<path>` for SQLite, for one process, or `postgres://<user>:<password>@<host>/<database>`, for any number of replicas.",
  },
  TOLLGATE_REDIS_URL: {
    unset: "counters are in the database",
    meaning:
      "`redis://…` or `rediss://…` of Valkey or Redis, a server or a cluster: the counters of limits live there. It must not forget what it confirmed (docs/operate/operations.md).",
  },
  TOLLGATE_REDIS_WAIT_REPLICAS: {
    standard: "0",
    meaning:
      "So many replicas of Valkey or Redis must have confirmed what a call changed before it's answered, 0 to 100: else a failover may forget it. Calls are answered 503 while there are fewer.",
  },
  TOLLGATE_LEASE_SECONDS: {
    standard: "900",
    meaning:
      "How long a gateway may spend what it was granted without asking again, at most until the window's end, 1 to 86400 seconds. What a gateway held that is gone stays spent until the window's end, whatever this says.",
  },
  TOLLGATE_USAGE_MINUTES_HOURS: {
    standard: "48",
    meaning: "How many hours usage is kept by the minute, 1 to 720. Hours and days are kept for 400 days.",
  },
  TOLLGATE_GATEWAYS_PER_TOKEN: {
    standard: "250",
    meaning:
      "How many gateways (Envoy processes) one gateway token may have at a time, 1 to 10000. More are refused with 429; those that are refused keep what they have loaded. A gateway counts until 70 seconds after its last call, or 5 seconds after it has ended.",
  },
  TOLLGATE_ADMIN_TOKEN: {
    unset: "only the tokens in the database",
    meaning:
      "An admin token that always holds beside those in the database: 16 to 256 printable ASCII characters without spaces. Without it, a first start makes one and prints it once to standard error.",
  },
  TOLLGATE_LOG_LEVEL: {
    standard: "info",
    meaning: "trace, debug, info, warn, error, fatal or silent. The log is JSON lines on standard output.",
  },
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof settings;
/** Those with a fixed default. */
export type StandardName = {
  [K in SettingName]: (typeof settings)[K] extends { standard: string } ? K : never;
}[SettingName];

/** The control plane can't start for a reason that its owner can remove. */
export class StartError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "StartError";
    this.remedy = remedy;
  }
}

/** Of these a blank at an end could be meant. */
const paths = new Set(["TOLLGATE_DATA_DIR", "TOLLGATE_SYNC_TLS_CERT", "TOLLGATE_SYNC_TLS_KEY", "TOLLGATE_ENVOY"]);
const secretRemedy =
  "Check how the value was made: `echo` adds a line break, `printf %s` and `kubectl create secret --from-literal` don't.";

/**
 * Returns a variable's value without blanks and line breaks around it, which a Secret made of a file often has; `undefined` when it's unset
 * or empty. Throws a StartError that names the variable when the value is blanks alone, is a path with blanks around it, or has a control
 * character inside.
 */
export function variable(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const given = env[name];
  if (given === undefined || given === "") return undefined;
  const value = given.trim();
  if (value === "")
    throw new StartError(
      `${name} holds nothing but blanks or line breaks.`,
      `Give it a value, or unset it. ${secretRemedy}`,
    );
  if (value !== given && paths.has(name))
    throw new StartError(
      `${name} has a blank or a line break at its start or end.`,
      `Give it the path alone. ${secretRemedy}`,
    );
  if (/[\u0000-\u001f\u007f]/.test(value))
    throw new StartError(
      `${name} has a line break or another control character inside.`,
      `Give it one line. ${secretRemedy}`,
    );
  return value;
}

/** The names of those variables of ours around whose values `variable` leaves something out. */
export function trimmedVariables(env: NodeJS.ProcessEnv): string[] {
  return Object.keys(env)
    .filter((name) => name.startsWith("TOLLGATE_") && env[name] !== env[name]!.trim())
    .sort();
}
