/** `x-tollgate`: what OpenAPI has no field for. In the document for every API; in a path or an operation for its routes. */
import { Type } from "@sinclair/typebox";
import { fillApi } from "../../control/domain/defaults.ts";
import type { Limit } from "../../control/domain/model.ts";
import { problemList, type ProblemPath } from "../../control/domain/problem.ts";
import { ApiSchema, type LimitInput, RouteSchema } from "../../control/domain/schema.ts";
import { checkApi } from "../../control/domain/semantics.ts";
import { structureCheck } from "../../control/domain/structure.ts";
import type { ApiExtension } from "./model.ts";
import type { Source } from "./source.ts";

export const extensionName = "x-tollgate";

const { id, name, upstream, failureMode, scopes, limits, rateLimitHeaders, legacyHeaders, cors, auth } =
  ApiSchema.properties;
const { cost } = RouteSchema.properties;
const closed = { additionalProperties: false } as const;
const checkDocument = structureCheck(
  Type.Partial(
    Type.Object(
      { id, name, upstream, failureMode, scopes, limits, cost, rateLimitHeaders, legacyHeaders, cors, auth },
      closed,
    ),
    closed,
  ),
);
const checkRoute = structureCheck(
  Type.Partial(Type.Object({ failureMode, scopes, limits, cost, auth }, closed), closed),
);

/** What a path or an operation may say. */
export type RouteExtension = Pick<ApiExtension, "failureMode" | "scopes" | "limits" | "cost" | "auth">;

export function documentExtension(source: Source): ApiExtension {
  return read<ApiExtension>(source, source.root[extensionName], [extensionName], checkDocument);
}

export function routeExtension(source: Source, value: unknown, path: ProblemPath): RouteExtension {
  return read<RouteExtension>(source, value, [...path, extensionName], checkRoute);
}

/** Limits with their defaults. */
export function filledLimits(inputs: readonly LimitInput[] | undefined): Limit[] {
  return probe({ limits: [...(inputs ?? [])] }).limits;
}

function read<T extends ApiExtension>(source: Source, value: unknown, path: ProblemPath, check: typeof checkRoute): T {
  if (value === undefined) return {} as T;
  const problems = check(value).map((problem) => ({ ...problem, path: [...path, ...problem.path] }));
  if (problems.length > 0) source.refuseAll(problems);
  const meaning = problemList();
  // Who may call doesn't matter here: a limit that needs a caller is judged where it's known whether there is one.
  checkApi(probe({ ...(value as T), auth: { mode: "key" } }), meaning.report, path);
  if (meaning.problems.length > 0) source.refuseAll(meaning.problems);
  return value as T;
}

/** An API that has these fields, for checks of them. */
function probe(fields: ApiExtension): ReturnType<typeof fillApi> {
  const { cost: _, ...rest } = fields;
  return fillApi({ id: "probe", hosts: ["*"], paths: ["/"], upstream: { service: "probe", port: 1 }, ...rest });
}
