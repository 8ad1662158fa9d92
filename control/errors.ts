/** Every error of the admin API: one table, of which problem+json and the documents are made. A released code never changes. */

export interface ErrorKind {
  status: number;
  title: string;
  meaning: string;
  remedy: string;
}

export const errorKinds = {
  invalid_request: { status: 400, title: "Invalid request", meaning: "The body, the query or the path breaks the API's schema, or what the record says can't be.", remedy: "Correct the fields that `errors` names." },
  invalid_file: { status: 400, title: "The file is not valid", meaning: "tollgate.yaml has errors of syntax, structure or meaning; nothing was changed.", remedy: "Correct the places that `errors` names; `tollgate validate` checks without a server." },
  invalid_json: { status: 400, title: "The body is not JSON", meaning: "The body could not be parsed.", remedy: "Send well-formed JSON." },
  environment_mismatch: { status: 400, title: "Another environment", meaning: "The file names another environment than the query.", remedy: "Leave `?environment=` out, or give the same name in both." },
  unauthenticated: { status: 401, title: "Admin token required", meaning: "There is no bearer token, or it isn't known, or it has expired.", remedy: "Send `Authorization: Bearer <admin token>`." },
  not_found: { status: 404, title: "No such path", meaning: "The API has no such path.", remedy: "See /openapi.json." },
  environment_not_found: { status: 404, title: "No such environment", meaning: "The environment was never created.", remedy: "Create it with POST /v1/environments, or correct `?environment=`." },
  record_not_found: { status: 404, title: "No such record", meaning: "There is no record of this kind with this id.", remedy: "List the records; ids are case-sensitive." },
  method_not_allowed: { status: 405, title: "Method not allowed", meaning: "The path doesn't take this method.", remedy: "Use a method of the Allow header." },
  record_exists: { status: 409, title: "The id is in use", meaning: "POST creates, and a record with this id exists.", remedy: "Choose another id, or replace the record with PUT." },
  digest_in_use: { status: 409, title: "The key exists already", meaning: "Another key of the environment has the same digest.", remedy: "Use the key that `detail` names, or another digest." },
  record_referenced: { status: 409, title: "The record is in use", meaning: "Others refer to the record.", remedy: "Change or delete those that `references` names first." },
  api_ambiguous: { status: 409, title: "The API collides with another", meaning: "Another API has the same host, path and a common method.", remedy: "Separate them by host, path or method." },
  key_revoked: { status: 409, title: "The key is revoked", meaning: "Revocation is final.", remedy: "Issue a new key." },
  key_expired: { status: 409, title: "The key has expired", meaning: "An expired key can't be rotated: its successor would be dead too.", remedy: "Issue a new key, or extend `expiresAt` first." },
  key_suspended: { status: 409, title: "The key is suspended", meaning: "A suspended key can't be rotated: its successor would be refused too.", remedy: "Resume the key with POST /v1/keys/{id}/resume and rotate it, or issue a new key." },
  key_rotated: { status: 409, title: "The key was rotated already", meaning: "It has a successor.", remedy: "Rotate the successor, named by `rotatedTo`." },
  gateway_tokens_full: { status: 409, title: "The group has two valid tokens", meaning: "At most two tokens of a group are valid at a time: the old one and the new one.", remedy: "Delete the one that is no longer used, or wait until it expires." },
  token_key_pending: { status: 409, title: "A new key is on its way", meaning: "A key that signs internal tokens was published by the rotation before and doesn't sign yet.", remedy: "Wait until it signs, or send `withdraw: true` when the present key has leaked." },
  limit_not_applicable: { status: 409, title: "No such limit", meaning: "No limit of this name, at this API, counts this key or consumer for all gateways together.", remedy: "GET …/quota lists the limits that apply and what each one counts." },
  limit_ambiguous: { status: 409, title: "Several limits match", meaning: "The grant could go to several counters.", remedy: "Name one with `limit`, and with `api` where it's counted by API." },
  last_admin_token: { status: 409, title: "The last admin token", meaning: "Without it nobody could use the API.", remedy: "Create another admin token first." },
  version_mismatch: { status: 412, title: "The record has changed", meaning: "If-Match names another version than the stored one.", remedy: "Read the record again and repeat your change." },
  body_too_large: { status: 413, title: "The body is too large", meaning: "The body is larger than the route takes.", remedy: "Send less at once; POST /v1/keys/import takes streams of any length." },
  unsupported_media_type: { status: 415, title: "Unsupported content type", meaning: "The route doesn't read this content type.", remedy: "Send application/json; files also as application/yaml, imports as application/x-ndjson." },
  usage_too_large: { status: 422, title: "Too much usage", meaning: "The answer would have too many rows, or take too long to make.", remedy: "Ask for less time, a longer interval, fewer groups, one consumer or API, or `top`." },
  usage_minutes_gone: { status: 422, title: "Minutes are kept no longer", meaning: "Usage by the minute is kept for TOLLGATE_USAGE_MINUTES_HOURS, 48 unless set otherwise.", remedy: "Use `interval=hour`, or a later `from`." },
  internal: { status: 500, title: "Internal error", meaning: "A fault of Tollgate or of its database.", remedy: "Look for the request id in control's log." },
  not_ready: { status: 503, title: "Not ready", meaning: "The database can't be used, or the control plane is starting or stopping.", remedy: "Try again soon; check the database." },
} as const satisfies Record<string, ErrorKind>;

export type ErrorCode = keyof typeof errorKinds;

/** One fault within a request: where, what, and what to do. */
export interface ErrorDetail {
  path: string;
  message: string;
  remedy: string;
  line?: number;
  column?: number;
}

export interface ErrorExtras {
  /** in place of the code's own */
  remedy?: string;
  errors?: ErrorDetail[];
  references?: { kind: string; id: string }[];
}

/** An answer other than success, thrown anywhere below a route. */
export class ControlError extends Error {
  readonly code: ErrorCode;
  readonly extras: ErrorExtras;

  constructor(code: ErrorCode, detail: string = errorKinds[code].meaning, extras: ErrorExtras = {}) {
    super(detail);
    this.name = "ControlError";
    this.code = code;
    this.extras = extras;
  }

  get status(): number {
    return errorKinds[this.code].status;
  }
}

/** An error's code completes it to the problem's type, a URL. */
export const errorTypeBase = "https://tollgate.dev/errors/";

/** An error as RFC 9457 problem details. */
export function problemBody(error: ControlError, requestId: string): object {
  const kind = errorKinds[error.code];
  return {
    type: `${errorTypeBase}${error.code}`,
    title: kind.title,
    status: kind.status,
    code: error.code,
    detail: error.message,
    remedy: kind.remedy,
    requestId,
    ...error.extras,
  };
}
