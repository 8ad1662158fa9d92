/** Whether an open database is still the one that its path names: what is written to a file without a name is lost at the next start. */
import { type BigIntStats, realpathSync, statSync } from "node:fs";
import { StoreTrouble } from "./trouble.ts";

export class SqliteFile {
  readonly path: string;
  readonly #named: { path: string; dev: bigint; ino: bigint }[] = [];

  /**
   * Remembers the files as they are. To be made once the database is open and was written or read: while it's open no other file can get
   * their inode numbers.
   */
  constructor(path: string) {
    this.path = path;
    this.#remember(path);
    // SQLite resolves links when it opens; the side files lie beside what the link led to.
    const real = realpathSync(path);
    this.#remember(`${real}-wal`);
    this.#remember(`${real}-shm`);
  }

  /** Throws StoreTrouble unless the path, followed through links and folders, leads to the open files. */
  check(): void {
    for (const { path, dev, ino } of this.#named) {
      const now = look(path);
      if (now?.ino !== ino || now.dev !== dev)
        throw new StoreTrouble("file_replaced", now === undefined ? `${path} is gone` : `${path} is another file`);
    }
  }

  #remember(path: string): void {
    const { dev, ino } = statSync(path, { bigint: true });
    this.#named.push({ path, dev, ino });
  }
}

function look(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    // A folder on the way that can't be entered, or is a file: the path doesn't lead to the database either way.
    return undefined;
  }
}
