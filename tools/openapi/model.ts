/** What is taken from an OpenAPI document, between reading it and writing APIs. */
import type { AuthMode, FailureMode, Limit } from "../../control/domain/model.ts";
import type { ProblemPath } from "../../control/domain/problem.ts";
import type { ApiInput } from "../../control/domain/schema.ts";

/** Where an operation is served: an URL of `servers`, taken apart. */
export interface Origin {
  /** undefined: the document doesn't say */
  host: string | undefined;
  /** "" or "/v1" */
  basePath: string;
}

/** One method of one path. */
export interface Operation {
  /** its place in the document */
  at: ProblemPath;
  /** as the document has it, without base path */
  template: string;
  method: string;
  operationId: string | undefined;
  origins: readonly Origin[];
  mode: AuthMode;
  failureMode: FailureMode;
  /** sorted */
  scopes: readonly string[];
  cost: number;
  limits: readonly Limit[];
}

/** How callers may send keys, as the plugin's `keySources` name it. */
export type KeySource = { header: string } | { bearer: true } | { query: string } | { cookie: string };

/** The document's own `x-tollgate`, as far as it's not about single operations. */
export type ApiExtension = Partial<
  Pick<
    ApiInput,
    | "id"
    | "name"
    | "upstream"
    | "failureMode"
    | "scopes"
    | "limits"
    | "rateLimitHeaders"
    | "legacyHeaders"
    | "cors"
    | "auth"
  >
> & {
  cost?: number;
};

export interface ReadApi {
  title: string;
  version: string;
  operations: readonly Operation[];
  extension: ApiExtension;
  keySources: readonly KeySource[];
}
