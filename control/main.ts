/** Control as a whole: store, admin API, sync server; started, wired, stopped. */
import { randomInt } from "node:crypto";
import type { Logger } from "pino";
import { collectDefaultMetrics, Registry } from "prom-client";
import { type ControlConfig, messageOf, prepareDataDir, readConfig, StartError } from "./config.ts";
import { openCounters } from "./counters/open.ts";
import { probe } from "./counters/probe.ts";
import type { CounterStore } from "./counters/store.ts";
import { digestHex, issueToken } from "./domain/keys.ts";
import type { Services } from "./http/context.ts";
import { createAdminServer } from "./http/server.ts";
import type { App } from "./http/typeProvider.ts";
import { Issuer } from "./internalTokens/issuer.ts";
import { createLogger } from "./logging.ts";
import { maskSecrets } from "./secrets.ts";
import { QuotaSource } from "./quota/facts.ts";
import { trimmedVariables } from "./settings.ts";
import { openStore } from "./store/open.ts";
import type { SqlStore } from "./store/sqlStore.ts";
import { troubleOf } from "./store/trouble.ts";
import { createSyncServer } from "./sync/server.ts";
import { SqlUsage } from "./usage/usage.ts";

export interface Control {
  adminUrl: string;
  syncUrl: string;
  /** present when it was made by this start: the only time that it is known */
  adminToken?: string;
  /** Stops accepting, lets requests finish, ends long polls, closes the store. */
  close(): Promise<void>;
}

const defaultEnvironment = "default";
const stopGraceMs = 30_000;

/** Starts control. Throws a StartError for what its owner can remedy: a port in use, a folder or a database that can't be used. */
export async function startControl(
  config: ControlConfig,
  logger: Logger = createLogger(config.logLevel),
): Promise<Control> {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const store = await openDatabase(config, logger);
  const usage = new SqlUsage(store.dialect, {
    minutesHours: config.usageMinutesHours,
    onError: (error) => logger.warn({ err: error }, "usage could not be counted, trying again"),
  });
  let counters: CounterStore | undefined;
  const servers: { close(): Promise<unknown> }[] = [];
  let closing: Promise<void> | undefined;
  // Both at once: a long request to one must not keep the other's long polls from ending. The store last: they need it.
  const close = () =>
    (closing ??= Promise.all(servers.map((server) => server.close()))
      .then(() => usage.close())
      .then(() => counters?.close())
      .then(() => store.close()));
  try {
    const adminToken = await usable(config, () => firstRun(store, config));
    const leased = await openCounterStore(config, store, logger);
    counters = leased;
    usage.start();
    const sync = createSyncServer({
      source: store,
      counters,
      usage,
      issuer: new Issuer(store),
      gatewaysPerToken: config.gatewaysPerToken,
      logger,
      registry,
      ...(config.syncTls === undefined ? {} : { tls: config.syncTls }),
    });
    servers.push(sync);
    const services: Services = {
      store,
      counters: leased,
      usage,
      quotas: new QuotaSource(store.dialect),
      nowMs: Date.now,
      random: randomInt,
      registry,
      feedReady: () => sync.ready,
      counterCheck: () => probe(leased),
      ...(config.adminToken === undefined ? {} : { fixedAdminDigest: digestHex(config.adminToken) }),
    };
    const admin = await createAdminServer(services, logger);
    servers.push({ close: () => closeWithin(admin, stopGraceMs) });
    const syncUrl = await listen(sync, config.host, config.syncPort, "TOLLGATE_SYNC_PORT");
    const adminUrl = await listen(admin, config.host, config.controlPort, "TOLLGATE_CONTROL_PORT");
    await sync.listenForRecalls();
    const environments = (await store.environments()).map(({ id }) => id);
    await sync
      .warm(environments)
      .catch((error: unknown) =>
        logger.warn({ err: error }, "the feed could not be prepared; the first gateway that calls tries again"),
      );
    logger.info({ adminUrl, syncUrl }, "control is ready");
    return { adminUrl, syncUrl, close, ...(adminToken === undefined ? {} : { adminToken }) };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Runs control until SIGTERM or SIGINT; a second signal ends it at once. Gives the process's exit code. `say` gets what a person should
 * read: the admin token, when one was made, and what hindered the start.
 */
export async function runControl(env: NodeJS.ProcessEnv, say: (text: string) => void): Promise<number> {
  let control: Control;
  let logger: Logger;
  try {
    const config = readConfig(env);
    logger = createLogger(config.logLevel);
    for (const variable of trimmedVariables(env))
      logger.warn({ variable }, "blanks or line breaks around a variable's value were left out");
    control = await startControl(config, logger);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    say(maskSecrets(`${error.message}\n${error.remedy}`));
    return 1;
  }
  if (control.adminToken !== undefined) say(`Admin token (shown this once): ${control.adminToken}`);
  await new Promise<void>((stop) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) {
      process.once(signal, () => {
        for (const again of ["SIGTERM", "SIGINT"] as const) process.once(again, () => process.exit(1));
        stop();
      });
    }
  });
  logger.info("stopping");
  await control.close();
  return 0;
}

/** Closes the admin API; requests that last longer than the grace are cut off. */
async function closeWithin(admin: App, graceMs: number): Promise<void> {
  const cutOff = setTimeout(() => admin.server.closeAllConnections(), graceMs);
  await admin.close();
  clearTimeout(cutOff);
}

async function openCounterStore(config: ControlConfig, store: SqlStore, logger: Logger): Promise<CounterStore> {
  try {
    return await openCounters(store, {
      leaseMs: config.leaseMs,
      ...(config.redisUrl === undefined ? {} : { redisUrl: config.redisUrl, waitReplicas: config.redisWaitReplicas }),
      onLost: (error) => logger.warn({ err: error }, "connection of the counter store lost, trying again"),
      onGap: (sentence) => logger.warn(`the counter store may forget what it has confirmed: ${sentence}`),
    });
  } catch (error) {
    throw new StartError(
      `The counter store can't be reached: ${messageOf(error)}`,
      "Check TOLLGATE_REDIS_URL, and that the server is up.",
      { cause: error },
    );
  }
}

async function openDatabase(config: ControlConfig, logger: Logger): Promise<SqlStore> {
  prepareDataDir(config.dataDir);
  const onLost = (error: Error): void =>
    logger.error({ err: error, remedy: troubleOf(error)?.remedy }, "database unavailable, trying again");
  return usable(config, () =>
    openStore(config.databaseUrl, onLost, { onRecovered: () => logger.info("database available again") }),
  );
}

/** Throws a StartError with what to do when the database hinders the work. */
async function usable<T>({ databaseUrl }: ControlConfig, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const embedded = databaseUrl.startsWith("file:");
    const remedy = embedded
      ? "Set TOLLGATE_DATABASE_URL to a file in a folder that this user may write."
      : "Check TOLLGATE_DATABASE_URL, and that the database is up and lets this user create tables.";
    const trouble = troubleOf(error);
    throw new StartError(
      `The database can't be used: ${messageOf(trouble ?? error)}`,
      trouble === undefined || trouble.kind === "unreachable" ? remedy : trouble.remedy,
      { cause: error },
    );
  }
}

/** Makes what an empty database needs: an environment, and an admin token unless one is given. Gives the token that it made. */
async function firstRun(store: SqlStore, config: ControlConfig): Promise<string | undefined> {
  const context = { actor: "start", requestId: "", nowMs: Date.now() };
  if ((await store.environments()).length === 0) await store.createEnvironment(defaultEnvironment, context);
  if (config.adminToken !== undefined || (await store.adminTokens()).length > 0) return undefined;
  const { token, sha256 } = issueToken("admin", randomInt);
  // A fixed id: of replicas that start together only one makes a token.
  const made = await store.addAdminToken(
    { id: "initial", name: "initial", digest: sha256, expiresAtMs: null },
    context,
  );
  return made ? token : undefined;
}

/** Starts to listen. Gives the URL; throws a StartError that names the variable when the port can't be had. */
async function listen(
  server: { listen(options: { host: string; port: number }): Promise<string> },
  host: string,
  port: number,
  variable: string,
): Promise<string> {
  try {
    return await server.listen({ host, port });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EADDRINUSE")
      throw new StartError(
        `Port ${port} on ${host} is in use.`,
        `Stop what uses it, or set ${variable} to another port.`,
        { cause: error },
      );
    if (code === "EACCES")
      throw new StartError(`Port ${port} may not be used by this user.`, `Set ${variable} to a port above 1023.`, {
        cause: error,
      });
    if (code === "EADDRNOTAVAIL" || code === "ENOTFOUND")
      throw new StartError(
        `${host} is not an address of this machine.`,
        "Set TOLLGATE_HOST to one, such as 127.0.0.1 or 0.0.0.0.",
        { cause: error },
      );
    throw error;
  }
}
