/** Every error of the admin API: one table, of which problem+json and the documents are made. A released code never changes. */

export interface ErrorKind {
  status: number;
  title: string;
  meaning: string;
  remedy: string;
}

export const errorKinds = {
  invalid_request: {
    status: 400,
    title: "Invalid request",
    meaning: "The body, query or path doesn't match the schema of the API, or the record contradicts itself.",
    remedy: "Correct the fields that `errors` names.",
  },
  invalid_file: {
    status: 400,
    title: "Invalid configuration file",
    meaning: "The configuration file has errors. Nothing was changed.",
    remedy: "Correct the places that `errors` names. `tollgate validate` checks a file without a server.",
  },
  invalid_json: {
    status: 400,
    title: "Invalid JSON",
    meaning: "The body could not be parsed as JSON.",
    remedy: "Send well-formed JSON.",
  },
  environment_mismatch: {
    status: 400,
    title: "Environment mismatch",
    meaning: "The file and the query name different environments.",
    remedy: "Omit `?environment=`, or use the same name in both.",
  },
  unauthenticated: {
    status: 401,
    title: "Admin token required",
    meaning: "The bearer token is missing, unknown or expired.",
    remedy: "Send `Authorization: Bearer <admin token>`.",
  },
  not_found: {
    status: 404,
    title: "Path not found",
    meaning: "The API has no such path.",
    remedy: "See /openapi.json for all paths.",
  },
  environment_not_found: {
    status: 404,
    title: "Environment not found",
    meaning: "The environment doesn't exist.",
    remedy: "Create it with POST /v1/environments, or correct `?environment=`.",
  },
  record_not_found: {
    status: 404,
    title: "Record not found",
    meaning: "There is no record of this kind with this ID.",
    remedy: "List the records. IDs are case-sensitive.",
  },
  method_not_allowed: {
    status: 405,
    title: "Method not allowed",
    meaning: "The path doesn't support this method.",
    remedy: "Use a method from the Allow header.",
  },
  record_exists: {
    status: 409,
    title: "ID already in use",
    meaning: "A record with this ID already exists, and POST only creates records.",
    remedy: "Choose another ID, or replace the record with PUT.",
  },
  digest_in_use: {
    status: 409,
    title: "Key already exists",
    meaning: "Another key of the environment has the same digest.",
    remedy: "Use the key that `detail` names, or send another digest.",
  },
  record_referenced: {
    status: 409,
    title: "Record in use",
    meaning: "Other records refer to the record.",
    remedy: "Change or delete the records that `references` names first.",
  },
  api_ambiguous: {
    status: 409,
    title: "API conflicts with another",
    meaning: "Another API has the same host and path and a common method.",
    remedy: "Separate the APIs by host, path or method.",
  },
  key_revoked: {
    status: 409,
    title: "Key revoked",
    meaning: "The key is revoked. Revocation is permanent.",
    remedy: "Create a new key.",
  },
  key_expired: {
    status: 409,
    title: "Key expired",
    meaning: "An expired key can't be rotated, because its successor would be expired too.",
    remedy: "Create a new key, or extend `expiresAt` first.",
  },
  key_suspended: {
    status: 409,
    title: "Key suspended",
    meaning: "A suspended key can't be rotated, because its successor would be denied too.",
    remedy: "Resume the key with POST /v1/keys/{id}/resume and rotate it, or create a new key.",
  },
  key_rotated: {
    status: 409,
    title: "Key already rotated",
    meaning: "The key already has a successor.",
    remedy: "Rotate the successor that `rotatedTo` names.",
  },
  gateway_tokens_full: {
    status: 409,
    title: "Too many gateway tokens",
    meaning: "The gateway group has two valid tokens: the maximum, for a rotation without downtime.",
    remedy: "Delete the token that is no longer used, or wait until one expires.",
  },
  token_key_pending: {
    status: 409,
    title: "Signing key rotation pending",
    meaning: "The previous rotation published a signing key that doesn't sign yet.",
    remedy: "Wait until the key signs. If the current key has leaked, send `withdraw: true`.",
  },
  limit_not_applicable: {
    status: 409,
    title: "Limit not found",
    meaning: "No limit of this name counts this key or consumer across all gateways for this API.",
    remedy: "List the limits that apply, and what each one counts, with GET …/quota.",
  },
  limit_ambiguous: {
    status: 409,
    title: "Multiple limits match",
    meaning: "The grant matches several counters.",
    remedy: "Select one with `limit`, and with `api` if the limit has a counter for each API.",
  },
  last_admin_token: {
    status: 409,
    title: "Last admin token",
    meaning: "This is the last valid admin token. Without it, the API would be inaccessible.",
    remedy: "Create another admin token first.",
  },
  version_mismatch: {
    status: 412,
    title: "Record has changed",
    meaning: "If-Match names a version other than the stored one.",
    remedy: "Read the record again and repeat your change.",
  },
  body_too_large: {
    status: 413,
    title: "Body too large",
    meaning: "The body exceeds the maximum size of the route.",
    remedy: "Send a smaller body. POST /v1/keys/import accepts streams of any length.",
  },
  unsupported_media_type: {
    status: 415,
    title: "Unsupported content type",
    meaning: "The route doesn't support this content type.",
    remedy: "Send application/json. Configuration files may be application/yaml; imports must be application/x-ndjson.",
  },
  usage_too_large: {
    status: 422,
    title: "Usage report too large",
    meaning: "The report would have too many rows or take too long to compute.",
    remedy: "Request a shorter time range, a longer interval, fewer groups, one consumer or API, or set `top`.",
  },
  usage_minutes_gone: {
    status: 422,
    title: "Usage data expired",
    meaning: "Usage by the minute is kept for TOLLGATE_USAGE_MINUTES_HOURS, 48 by default.",
    remedy: "Use `interval=hour`, or a later `from`.",
  },
  internal: {
    status: 500,
    title: "Internal error",
    meaning: "Tollgate or its database failed.",
    remedy: "Search the control plane log for the request ID.",
  },
  not_ready: {
    status: 503,
    title: "Not ready",
    meaning: "The database is unavailable, or the control plane is starting or stopping.",
    remedy: "Try again soon. If the error persists, check the database.",
  },
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
