/** An OpenAPI document as it was read: values, references, and where in the text they are. */
import { isScalar } from "yaml";
import { nearest } from "../../control/domain/nearest.ts";
import type { LocatedProblem, Problem, ProblemPath } from "../../control/domain/problem.ts";
import { readDocument } from "../../control/domain/yamlFile.ts";

export type Fields = Record<string, unknown>;

/** The document can't be imported. */
export class OpenApiError extends Error {
  readonly problems: readonly LocatedProblem[];

  constructor(problems: readonly LocatedProblem[]) {
    super(problems.map(({ message }) => message).join(" "));
    this.name = "OpenApiError";
    this.problems = problems;
  }
}

/** A value together with its place, which is that of its definition when a reference led there. */
export interface Found {
  value: unknown;
  path: ProblemPath;
}

export class Source {
  readonly root: Fields;
  /** 3.0, 3.1, 3.2 */
  readonly version: string;
  readonly #locate: (problems: readonly Problem[]) => LocatedProblem[];
  readonly #notes: Problem[] = [];
  readonly #seen = new Set<string>();

  private constructor(root: Fields, version: string, locate: (problems: readonly Problem[]) => LocatedProblem[]) {
    this.root = root;
    this.version = version;
    this.#locate = locate;
  }

  /** Reads YAML or JSON. Throws an OpenApiError when it isn't that, or no OpenAPI document of a version that is understood. */
  static read(source: string): Source {
    const { document, locate, syntax } = readDocument(source, { merge: true });
    if (syntax.length > 0) throw new OpenApiError(syntax);
    const refuse = (path: ProblemPath, message: string, remedy: string): never => {
      throw new OpenApiError(locate([{ severity: "error", path, message, remedy }]));
    };
    let root: unknown;
    try {
      root = document.toJS({ maxAliasCount: 1000 });
    } catch (error) {
      return refuse([], `${(error as Error).message}.`, "Write repeated parts out.");
    }
    if (root === null || root === undefined)
      return refuse([], "The file is empty.", "Name an OpenAPI document with -f.");
    if (!isFields(root))
      return refuse([], "This is not an OpenAPI document.", "It must be an object with a field `openapi`.");
    if ("swagger" in root) {
      return refuse(
        ["swagger"],
        `This is Swagger ${printable(root["swagger"])}, which is older than OpenAPI 3.`,
        "Convert it first, for example with `npx swagger2openapi`.",
      );
    }
    if (!("openapi" in root))
      return refuse(
        [],
        "This is not an OpenAPI document: it has no field `openapi`.",
        "Name an OpenAPI document of version 3.0 to 3.2 with -f.",
      );
    // Unquoted, 3.0 is the number 3: only the text tells them apart.
    const written = document.get("openapi", true);
    const text = isScalar(written) && typeof written.value === "number" ? written.source : root["openapi"];
    const version = /^(3\.[0-2])(\.\d+\S*)?$/.exec(String(text))?.[1];
    if (version === undefined)
      return refuse(
        ["openapi"],
        `OpenAPI ${printable(text)} is not understood.`,
        "Use a document of version 3.0, 3.1 or 3.2.",
      );
    return new Source(root, version, locate);
  }

  /** Ends the import. */
  refuse(path: ProblemPath, message: string, remedy: string): never {
    return this.refuseAll([{ severity: "error", path, message: printable(message), remedy }]);
  }

  refuseAll(problems: readonly Problem[]): never {
    throw new OpenApiError(this.#locate(problems));
  }

  /** Remembers what the result leaves unsaid; each sentence once. */
  note(path: ProblemPath, message: string, remedy = ""): void {
    const text = printable(message);
    if (this.#seen.has(text)) return;
    this.#seen.add(text);
    this.#notes.push({ severity: "warning", path, message: text, remedy });
  }

  notes(): LocatedProblem[] {
    return this.#locate(this.#notes);
  }

  /** A member that must be an object when it's there; references are followed. */
  fields(value: unknown, path: ProblemPath): { fields: Fields; path: ProblemPath } | undefined {
    if (value === undefined) return undefined;
    const found = this.follow({ value, path });
    if (!isFields(found.value)) return this.refuse(found.path, "Must be an object.", "See the OpenAPI specification.");
    return { fields: found.value, path: found.path };
  }

  /** A member that must be a list when it's there. */
  list(value: unknown, path: ProblemPath): readonly unknown[] | undefined {
    if (value === undefined) return undefined;
    if (!Array.isArray(value)) return this.refuse(path, "Must be a list.", "See the OpenAPI specification.");
    return value;
  }

  /** Follows `$ref` within the document to what it names. Fields beside it win over those that it names. */
  follow(found: Found): Found {
    const siblings: Fields[] = [];
    const seen = new Set<string>();
    let { value, path } = found;
    while (isFields(value) && typeof value["$ref"] === "string") {
      const reference = value["$ref"];
      if (!reference.startsWith("#")) {
        this.refuse(
          [...path, "$ref"],
          `\`${reference}\` is outside the document, and nothing is fetched.`,
          "Bundle the document into one file first, for example with `npx @redocly/cli bundle`.",
        );
      }
      if (seen.has(reference))
        this.refuse([...path, "$ref"], `\`${reference}\` leads back to itself.`, "Correct the reference.");
      seen.add(reference);
      const { $ref: _, ...rest } = value;
      siblings.unshift(rest);
      const target = this.#pointed(reference, [...path, "$ref"]);
      ({ value, path } = target);
    }
    return { value: isFields(value) ? Object.assign({}, value, ...siblings) : value, path };
  }

  #pointed(reference: string, at: ProblemPath): Found {
    const path: string[] = [];
    let value: unknown = this.root;
    for (const raw of pointerSteps(reference)) {
      const step = raw.replaceAll("~1", "/").replaceAll("~0", "~");
      const members: Fields = isFields(value) ? value : Array.isArray(value) ? Object.fromEntries(value.entries()) : {};
      if (!Object.hasOwn(members, step)) {
        const near = nearest(step, Object.keys(members));
        return this.refuse(
          at,
          `\`${reference}\` names nothing in the document.`,
          near === undefined ? "Correct the reference." : `Did you mean \`${near}\` in place of \`${step}\`?`,
        );
      }
      path.push(step);
      value = members[step];
    }
    return { value, path };
  }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What a document says goes to terminals and into comments: one line, nothing that moves a cursor. */
export function printable(value: unknown): string {
  return String(value)
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ")
    .trim();
}

function pointerSteps(reference: string): string[] {
  let pointer = reference.slice(1);
  try {
    pointer = decodeURIComponent(pointer);
  } catch {
    // Not an escape after all.
  }
  return pointer === "" ? [] : pointer.replace(/^\//, "").split("/");
}
