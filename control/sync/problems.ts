/** The errors of the sync port: one table. Gateways act on the status alone; the rest is for people. */

import { errorTypeBase } from "../errors.ts";

export const syncProblems = {
  parameter_invalid: { status: 400, title: "A parameter is wrong" },
  usage_refused: { status: 400, title: "Usage refused" },
  token_unknown: { status: 401, title: "Gateway token required" },
  token_of_other_environment: { status: 403, title: "The token is of another environment" },
  gateway_held: { status: 403, title: "The gateway's id is taken" },
  not_found: { status: 404, title: "No such call" },
  epoch_changed: { status: 409, title: "Another epoch" },
  call_outdated: { status: 409, title: "A later call was answered" },
  snapshot_gone: { status: 410, title: "The snapshot is gone" },
  gateways_exhausted: { status: 429, title: "Too many gateways" },
  internal: { status: 500, title: "Internal error" },
  polls_exhausted: { status: 503, title: "Too many waiting calls" },
  not_ready: { status: 503, title: "Not ready" },
} as const;

export type SyncProblemCode = keyof typeof syncProblems;

/** An answer other than success. `message` says what to do. */
export class SyncProblem extends Error {
  override name = "SyncProblem";

  constructor(
    readonly code: SyncProblemCode,
    detail: string,
    options?: ErrorOptions,
  ) {
    super(detail, options);
  }

  get status(): number {
    return syncProblems[this.code].status;
  }

  /** RFC 9457 problem details. */
  body(): object {
    const { status, title } = syncProblems[this.code];
    return { type: `${errorTypeBase}sync-${this.code}`, title, status, code: this.code, detail: this.message };
  }
}
