/** What can be wrong with the database, in words: one table for every answer, log line and readiness report. */

interface TroubleKind {
  detail: string;
  remedy: string;
  /** SQLite's and Node's codes by their beginning, PostgreSQL's SQLSTATE */
  codes?: RegExp;
  /** stays until a person has acted and the control plane was restarted */
  lasting?: true;
}

const kinds = {
  file_replaced: {
    detail: "The open database file is not the one at its path: it was deleted, moved or replaced.",
    remedy:
      "Put the file back together with its -wal and -shm files, or restart the control plane to use what is at the path now.",
  },
  disk_full: {
    detail: "Disk full: the database has no room to write.",
    remedy: "Free space on the database's disk or enlarge it; the control plane recovers by itself.",
    codes: /^(SQLITE_FULL|ENOSPC$|EDQUOT$|53100$)/,
  },
  locked: {
    detail: "Another process holds the database's write lock.",
    remedy:
      "End what holds it: for a file a sqlite3 shell, a backup or a second control plane; for PostgreSQL see pg_locks.",
    codes: /^(SQLITE_BUSY|SQLITE_LOCKED|55P03$)/,
  },
  read_only: {
    detail: "The database can't be written: it is read-only.",
    remedy:
      "Let this user write the database file and its folder, and mount the disk writable; for PostgreSQL, connect to the primary.",
    codes: /^(SQLITE_READONLY|SQLITE_PERM|EROFS$|EACCES$|EPERM$|25006$)/,
  },
  damaged: {
    detail: "The database file is damaged.",
    remedy:
      "Stop the control plane and restore the file from a backup, without the -wal and -shm files that lie beside it now.",
    codes: /^SQLITE_CORRUPT/,
    lasting: true,
  },
  foreign: {
    detail: "The file is not a database (or it is encrypted).",
    remedy: "Set TOLLGATE_DATABASE_URL to Tollgate's own file, or move this one away and a new database is made.",
    codes: /^(SQLITE_NOTADB|SQLITE_FORMAT)/,
    lasting: true,
  },
  cannot_open: {
    detail: "SQLite can't open the database file.",
    remedy: "Set TOLLGATE_DATABASE_URL to a file in a folder that this user may write.",
    codes: /^(SQLITE_CANTOPEN|ENOTDIR$|EISDIR$|ELOOP$|ENAMETOOLONG$)/,
  },
  no_wal: {
    detail: "The file system can't hold SQLite's write-ahead log.",
    remedy: "Keep the database file on a local disk, not on a network file system, or use PostgreSQL.",
    lasting: true,
  },
  newer_schema: {
    detail: "The database was written by a newer or another version of Tollgate.",
    remedy: "Start that version, or set TOLLGATE_DATABASE_URL to another database.",
    lasting: true,
  },
  memory: {
    detail: "The database ran out of memory.",
    remedy: "Give the control plane, or the database server, more memory.",
    codes: /^(SQLITE_NOMEM|53200$)/,
  },
  io: {
    detail: "The database's disk reports an error.",
    remedy: "Check the disk or volume and the kernel's log.",
    codes: /^(SQLITE_IOERR|SQLITE_NOLFS|SQLITE_PROTOCOL|SQLITE_INTERRUPT|EIO$)/,
  },
  unreachable: {
    detail: "The database can't be reached.",
    remedy: "Check that the database is up and that TOLLGATE_DATABASE_URL leads to it.",
    // connection lost (08), resources (53), shutdown and start (57P0x), conflicts that pass
    codes: /^(08...|53...|57P0[1-5]|40001|40P01|ECONNRESET|EPIPE|ETIMEDOUT)$/,
  },
} as const satisfies Record<string, TroubleKind>;

export type TroubleName = keyof typeof kinds;

/** The database can't do its work for a reason outside of the program. Answer 503. */
export class StoreTrouble extends Error {
  readonly kind: TroubleName;
  readonly remedy: string;

  /** `subject`: what it's about, such as the file's path */
  constructor(kind: TroubleName, subject?: string, options?: ErrorOptions) {
    super(subject === undefined ? kinds[kind].detail : `${kinds[kind].detail} (${subject})`, options);
    this.name = "StoreTrouble";
    this.kind = kind;
    this.remedy = kinds[kind].remedy;
  }

  get lasting(): boolean {
    return (kinds[this.kind] as TroubleKind).lasting === true;
  }
}

/** Whatever hinders a connection, from a refusal to a name that isn't found. */
const connectingCalls = new Set(["connect", "getaddrinfo"]);
/** pg gives these without a code. */
const lostMessage =
  /^(Connection terminated|Client has encountered a connection error|timeout exceeded when trying to connect)/;
/** libsql gives errors of opening a file without a code, but with SQLite's number at the end. */
const openingNumber: Record<string, string> = {
  "5": "SQLITE_BUSY",
  "8": "SQLITE_READONLY",
  "10": "SQLITE_IOERR",
  "11": "SQLITE_CORRUPT",
  "13": "SQLITE_FULL",
  "14": "SQLITE_CANTOPEN",
  "26": "SQLITE_NOTADB",
};

/** What the error of a driver says about the database, or `undefined` for one that isn't the database's condition. */
export function troubleOf(error: unknown, subject?: string): StoreTrouble | undefined {
  if (error instanceof StoreTrouble) return error;
  if (!(error instanceof Error)) return undefined;
  if (error instanceof AggregateError)
    return error.errors.map((one) => troubleOf(one, subject)).find((trouble) => trouble !== undefined);
  const kind = kindOf(error);
  return kind === undefined ? undefined : new StoreTrouble(kind, subject, { cause: error });
}

function kindOf(error: Error): TroubleName | undefined {
  const { code, syscall, message } = error as NodeJS.ErrnoException;
  if ((syscall !== undefined && connectingCalls.has(syscall)) || lostMessage.test(message)) return "unreachable";
  const known = code || openingNumber[/^ConnectionFailed\(.*: (\d+)"\)$/.exec(message)?.[1] ?? ""];
  if (known === undefined) return undefined;
  return (Object.keys(kinds) as TroubleName[]).find((kind) => (kinds[kind] as TroubleKind).codes?.test(known));
}
