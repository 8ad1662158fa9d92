import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { openPostgres } from "./postgres.ts";
import { openSqlite, type SqliteOptions } from "./sqlite.ts";
import { SqlStore, type StoreOptions } from "./sqlStore.ts";

export interface OpenOptions extends StoreOptions, Pick<SqliteOptions, "lockWaitMs" | "onRecovered"> {}

/**
 * Opens the store that a URL names, `file:…` (SQLite) or `postgres://…`, and brings its tables up to date. `onLost` hears when a connection
 * was lost or the database began to refuse writes; either is tried again. Throws StoreTrouble when the database can't be used.
 */
export async function openStore(
  url: string,
  onLost: (error: Error) => void,
  options: OpenOptions = {},
): Promise<SqlStore> {
  const dialect = url.startsWith("file:")
    ? await openSqlite(filePath(url), { ...options, onTrouble: onLost })
    : openPostgres(url, onLost);
  const store = new SqlStore(dialect, options);
  try {
    await store.migrate();
  } catch (error) {
    await store.close().catch(() => undefined);
    throw error;
  }
  return store;
}

function filePath(url: string): string {
  return url.startsWith("file://") ? fileURLToPath(url) : resolve(url.slice("file:".length));
}
