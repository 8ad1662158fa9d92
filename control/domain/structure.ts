/** Checks values against the schemas and says what is wrong in words. */
import type { TSchema } from "@sinclair/typebox";
import { Ajv, type ErrorObject } from "ajv";
import { nearest } from "./nearest.ts";
import type { Problem, ProblemPath } from "./problem.ts";

const ajv = new Ajv({
  allErrors: true,
  verbose: true,
  strict: true,
  coerceTypes: false,
  removeAdditional: false,
  useDefaults: false,
});

/** Compiles a schema into a function that gives the problems of a value; none: the value fits. */
export function structureCheck(schema: TSchema): (value: unknown) => Problem[] {
  const validate = ajv.compile(schema);
  return (value) => (validate(value) ? [] : structureProblems(validate.errors ?? [], value));
}

/** Ajv's errors (made with `verbose`) as problems. */
export function structureProblems(errors: readonly ErrorObject[], value: unknown): Problem[] {
  return errors.filter((error) => error.keyword !== "if").map((error) => structureProblem(error, value));
}

function structureProblem(error: ErrorObject, value: unknown): Problem {
  const path = pointerSteps(error.instancePath, value);
  const description = (error.parentSchema as { description?: string } | undefined)?.description ?? "";
  const params = error.params as Record<string, unknown>;
  switch (error.keyword) {
    case "additionalProperties": {
      const name = String(params["additionalProperty"]);
      const schema = error.parentSchema as { properties?: object } | undefined;
      if (schema?.properties === undefined)
        return {
          severity: "error",
          path: [...path, name],
          at: "key",
          message: `\`${name}\` is not a valid name.`,
          remedy: description,
        };
      const known = Object.keys(schema.properties);
      const near = nearest(name, known);
      const remedy =
        near === undefined ? `Remove it; the fields here are ${known.join(", ")}.` : `Did you mean \`${near}\`?`;
      return { severity: "error", path: [...path, name], at: "key", message: `Unknown field \`${name}\`.`, remedy };
    }
    case "required":
      return {
        severity: "error",
        path,
        message: `\`${String(params["missingProperty"])}\` is missing.`,
        remedy: missingRemedy(error, String(params["missingProperty"])),
      };
    case "type":
      return typeProblem(String(params["type"]), error.data, path, description);
    case "enum": {
      const allowed = (params["allowedValues"] as string[]) ?? [];
      const near = typeof error.data === "string" ? nearest(error.data, allowed) : undefined;
      const remedy =
        near === undefined
          ? `Use one of ${allowed.join(", ")}.`
          : `Did you mean \`${near}\`? It is one of ${allowed.join(", ")}.`;
      return { severity: "error", path, message: `${shown(error.data, path)} is not allowed here.`, remedy };
    }
    case "const":
      return {
        severity: "error",
        path,
        message: `Must be ${JSON.stringify(params["allowedValue"])}, is ${shown(error.data, path)}.`,
        remedy: description,
      };
    case "pattern":
      return { severity: "error", path, message: `${shown(error.data, path)} is not valid.`, remedy: description };
    default:
      return {
        severity: "error",
        path,
        message: `${shown(error.data, path)} ${error.message ?? "is not valid"}.`,
        remedy: description,
      };
  }
}

function typeProblem(type: string, value: unknown, path: ProblemPath, description: string): Problem {
  const hint = retyped(type, value);
  const remedy = hint === undefined ? description : [hint, description].filter(Boolean).join(" ");
  return {
    severity: "error",
    path,
    expected: type,
    message: `Must be ${article(type)}, is ${typeName(value, path)}.`,
    remedy,
  };
}

/** What to write when the value only looks like the type. */
function retyped(type: string, value: unknown): string | undefined {
  if (typeof value !== "string") return undefined;
  if ((type === "integer" || type === "number") && /^-?\d{1,15}$/.test(value))
    return `Write it without quotes: ${Number(value)}.`;
  if (type === "boolean" && /^(?:true|yes|on|y)$/i.test(value)) return "Write it without quotes: true.";
  if (type === "boolean" && /^(?:false|no|off|n)$/i.test(value)) return "Write it without quotes: false.";
  return undefined;
}

function missingRemedy(error: ErrorObject, name: string): string {
  const properties = (error.parentSchema as { properties?: Record<string, { description?: string }> } | undefined)
    ?.properties;
  return properties?.[name]?.description ?? "Add it.";
}

/** A JSON pointer as steps; a step into an array becomes a number. */
function pointerSteps(pointer: string, value: unknown): (string | number)[] {
  if (pointer === "") return [];
  let current = value;
  return pointer
    .slice(1)
    .split("/")
    .map((raw) => {
      const step = raw.replaceAll("~1", "/").replaceAll("~0", "~");
      const result = Array.isArray(current) ? Number(step) : step;
      current = (current as Record<string | number, unknown> | undefined)?.[result];
      return result;
    });
}

function article(type: string): string {
  return /^[aeiou]/.test(type) ? `an ${type}` : `a ${type}`;
}

function typeName(value: unknown, path: ProblemPath): string {
  if (value === null) return "empty (null)";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "an object";
  return secret(value, path) ? `a ${typeof value}` : `the ${typeof value} ${shown(value, path)}`;
}

/** Shows a short value. What may be a key or a token is never repeated: errors end up in build logs. */
function shown(value: unknown, path: ProblemPath): string {
  if (typeof value === "object" && value !== null) return Array.isArray(value) ? "The list" : "The object";
  if (secret(value, path)) return "The value";
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 80 ? text : `${text.slice(0, 40)}…`;
}

/** May it be a key, a token or a digest? */
export function secret(value: unknown, path: ProblemPath): boolean {
  const name = path.at(-1);
  return name === "sha256" || name === "key" || (typeof value === "string" && /tg[ag]?_/.test(value));
}
