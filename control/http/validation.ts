/** Validates requests by their schemas: bodies as they are, queries and path parameters with their text turned into numbers and booleans. */
import type { TSchema } from "@sinclair/typebox";
import { Ajv, type Options } from "ajv";
import type { FastifySchemaCompiler } from "fastify";
import { type Problem, pathText } from "../domain/problem.ts";
import { structureProblems } from "../domain/structure.ts";
import { ControlError, type ErrorDetail } from "../errors.ts";

const options: Options = { allErrors: true, verbose: true, strict: true, removeAdditional: false, useDefaults: true };
const bodies = new Ajv({ ...options, useDefaults: false, coerceTypes: false });
const texts = new Ajv({ ...options, coerceTypes: true });

/** What an error calls the parts of a request other than the body. */
const partNames: Record<string, string> = { querystring: "query", params: "path", headers: "header" };

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validate = (httpPart === "body" ? bodies : texts).compile(schema);
  return (value: unknown) => {
    if (validate(value)) return { value };
    return { error: invalidRequest(structureProblems(validate.errors ?? [], value), partNames[httpPart ?? ""]) };
  };
};

/** The error of a request with these problems; `part` names where they are when it isn't the body. */
export function invalidRequest(problems: readonly Problem[], part?: string): ControlError {
  const errors = problems.map((problem): ErrorDetail => {
    const path = pathText(problem.path);
    return {
      path: part === undefined ? path : [part, path].filter((step) => step !== "").join("."),
      message: problem.message,
      remedy: problem.remedy,
    };
  });
  const first = errors[0];
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : "";
  const detail =
    first === undefined ? undefined : `${first.path === "" ? "" : `${first.path}: `}${first.message}${more}`;
  return new ControlError("invalid_request", detail, { errors });
}
