/** The parts that many routes' schemas share. */
import { type TProperties, type TSchema, Type } from "@sinclair/typebox";
import { ApiSchema, ConsumerSchema, EnvironmentId, KeySchema, recordIdPattern, TierSchema } from "../domain/schema.ts";

const closed = { additionalProperties: false } as const;

export const environmentQuery = { environment: Type.Optional(Type.String({ ...EnvironmentId, default: "default" })) };

export const pageQuery = {
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100, description: "At most so many, 1 to 1000." })),
  cursor: Type.Optional(Type.String({ minLength: 1, maxLength: 200, description: "`next` of the page before." })),
};

export const query = <T extends TProperties>(properties: T) => Type.Object(properties, closed);
export const EnvironmentQuery = query(environmentQuery);

export const IdParams = Type.Object({ id: Type.String({ pattern: recordIdPattern, description: "The record's id." }) }, closed);

export const preconditions = Type.Object({
  "if-match": Type.Optional(Type.String({ description: "The record's ETag: the write is refused when the record has changed since." })),
  "if-none-match": Type.Optional(Type.String({ description: "`*`: only create, never replace." })),
});

const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String({ description: "Stable; see the table of errors." }),
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
  { description: "RFC 9457 problem details." },
);

/** The schemas that the OpenAPI document names once and refers to. */
export const namedSchemas = { Problem, Api: ApiSchema, Tier: TierSchema, Consumer: ConsumerSchema, Key: KeySchema };

/** Refers to a named schema; in answers only, which aren't validated. */
export const named = (name: keyof typeof namedSchemas) => Type.Unsafe<unknown>({ $ref: `${name}#` });

/** A route's answers: its own, and the problems of these statuses on top of 400, 401 and 500. */
export function answers(own: Record<number, TSchema | { description: string; content: Record<string, { schema: TSchema }> }>, ...problems: number[]): Record<string, object> {
  const refused = (status: number) => [String(status), { description: "Refused", content: { "application/problem+json": { schema: named("Problem") } } }] as const;
  return { ...own, ...Object.fromEntries([400, 401, 500, 503, ...problems].map(refused)) };
}

export const pageOf = (item: TSchema) => Type.Object({ items: Type.Array(item), next: Type.Optional(Type.String({ description: "Give it as `cursor` for the next page." })) });

export const Empty = Type.Null({ description: "Done" });
