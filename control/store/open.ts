import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { openPostgres } from "./postgres.ts";
import { openSqlite } from "./sqlite.ts";
import { SqlStore, type StoreOptions } from "./sqlStore.ts";

/**
 * Opens the store that a URL names, `file:…` (SQLite) or `postgres://…`, and brings its tables up to date. `onLost` hears of trouble that
 * no caller waits for, such as a lost connection; it heals by itself.
 */
export async function openStore(url: string, onLost: (error: Error) => void, options?: StoreOptions): Promise<SqlStore> {
  const dialect = url.startsWith("file:") ? openSqlite(filePath(url)) : openPostgres(url, onLost);
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
