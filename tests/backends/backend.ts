/**
 * What every backend serves, in its framework's own way. `x-reached` names the handler that ran:
 *
 * ```
 *   admin     /admin and below
 *   read      GET, HEAD of /items and below          write   POST, PUT, DELETE of the same
 *   export    POST /reports/export                   report  /reports and below, else
 *   site      all else
 * ```
 */
const handlers = ["admin", "read", "write", "export", "report", "site"] as const;
export type Handler = (typeof handlers)[number];

export interface Backend {
  name: string;
  port: number;
  close(): Promise<void>;
}

/** A backend that isn't to be had here, and why. */
export interface MissingBackend {
  name: string;
  missing: string;
}
