/** The parts that many routes' schemas share. */
import { STATUS_CODES } from "node:http";
import { type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { ApiSchema, ConsumerSchema, EnvironmentId, KeySchema, recordIdPattern, TierSchema } from "../domain/schema.ts";

const closed = { additionalProperties: false } as const;

export const environmentQuery = { environment: Type.Optional(Type.String({ ...EnvironmentId, default: "default" })) };

export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: "The maximum number of items, 1 to 1000." }),
  ),
  cursor: Type.Optional(
    Type.String({ minLength: 1, maxLength: 200, description: "The `next` value of the previous page." }),
  ),
};

export const query = <T extends TProperties>(properties: T) => Type.Object(properties, closed);
export const EnvironmentQuery = query(environmentQuery);

export const IdParams = Type.Object(
  { id: Type.String({ pattern: recordIdPattern, description: "The ID of the record." }) },
  closed,
);

export const preconditions = Type.Object({
  "if-match": Type.Optional(
    Type.String({ description: "The ETag of the record. The write fails with 412 if the record has changed since." }),
  ),
  "if-none-match": Type.Optional(Type.String({ description: "`*`: create the record, but never replace one." })),
});

const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: "The stable error code." }),
    detail: Type.String(),
    remedy: Type.String(),
    requestId: Type.String(),
    errors: Type.Optional(
      Type.Array(
        Type.Object({
          path: Type.String(),
          message: Type.String(),
          remedy: Type.String(),
          line: Type.Optional(Type.Integer()),
          column: Type.Optional(Type.Integer()),
        }),
      ),
    ),
    references: Type.Optional(Type.Array(Type.Object({ kind: Type.String(), id: Type.String() }))),
  },
  { description: "Problem details (RFC 9457)." },
);

/** The schemas that the OpenAPI document names once and refers to. */
export const namedSchemas = { Problem, Api: ApiSchema, Tier: TierSchema, Consumer: ConsumerSchema, Key: KeySchema };

/** Returns a reference to a named schema. For responses only, which aren't validated. */
export const named = (name: keyof typeof namedSchemas) => Type.Unsafe<unknown>({ $ref: `${name}#` });

/** Returns the responses of a route: its own, and problems with 400, 401, 500, 503 and the given statuses. */
export function answers(
  own: Record<number, TSchema | { description: string; content: Record<string, { schema: TSchema }> }>,
  ...problems: number[]
): Record<string, object> {
  return { ...own, ...problemAnswers(400, 401, 500, 503, ...problems) };
}

/** Returns problem responses with these statuses, for a route that needs no token and reads no input. */
export function problemAnswers(...statuses: number[]): Record<string, object> {
  const problem = (status: number) =>
    [
      String(status),
      { description: STATUS_CODES[status]!, content: { "application/problem+json": { schema: named("Problem") } } },
    ] as const;
  return Object.fromEntries(statuses.map(problem));
}

export const pageOf = (item: TSchema) =>
  Type.Object({
    items: Type.Array(item),
    next: Type.Optional(Type.String({ description: "The `cursor` of the next page. Absent on the last page." })),
  });

export const Empty = Type.Null({ description: "No Content" });
