/** Reads `tollgate.yaml`: every error and warning with its line and column. JSON is read as the YAML that it is. */
import { type Document, isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from "yaml";
import { fillEnvironment } from "./defaults.ts";
import type { EnvironmentSpec } from "./model.ts";
import type { LocatedProblem, Problem } from "./problem.ts";
import { type FileInput, FileSchema } from "./schema.ts";
import { checkEnvironment } from "./semantics.ts";
import { soundRecordProblems } from "./soundRecords.ts";
import { secret, structureCheck } from "./structure.ts";

export interface ParsedFile {
  /** present when the file's structure is right */
  input?: FileInput;
  /** why there is no input */
  problems: LocatedProblem[];
  /** gives problems found later their place in the file */
  locate(problems: readonly Problem[]): LocatedProblem[];
}

export interface LoadedFile {
  /** present when there is no error */
  spec?: EnvironmentSpec;
  /** errors and warnings, in order of their place */
  problems: LocatedProblem[];
}

const checkFile = structureCheck(FileSchema);

/**
 * Parses the text and checks its structure, not yet its meaning; of a file with faults it says what can be said of the meaning as well.
 * `references`: whether those have to be within the file, or may be stored already.
 */
export function parseFile(text: string, references: "file" | "any" = "any"): ParsedFile {
  const { document, locate, syntax } = readDocument(text);
  if (syntax.length > 0) return { problems: syntax, locate };
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      problems: [
        {
          severity: "error",
          path: [],
          message: `${message}.`,
          remedy: "Write repeated parts out.",
          line: 1,
          column: 1,
        },
      ],
      locate,
    };
  }
  if (value === null || value === undefined) {
    return {
      problems: [
        {
          severity: "error",
          path: [],
          message: "The file is empty.",
          remedy: "Begin with `version: 1`.",
          line: 1,
          column: 1,
        },
      ],
      locate,
    };
  }
  const structural = checkFile(value).map((problem) => withQuotes(problem, document));
  if (structural.length === 0) return { input: value as FileInput, problems: [], locate };
  return { problems: locate([...structural, ...soundRecordProblems(value, structural, references)]), locate };
}

export interface ReadDocument {
  document: Document;
  /** gives problems their place in the text, in order */
  locate(problems: readonly Problem[]): LocatedProblem[];
  /** what is wrong with the YAML itself */
  syntax: LocatedProblem[];
}

/** Parses YAML 1.2, or JSON, of any content. `merge`: whether `<<` merges maps, which YAML 1.2 leaves out and many still write. */
export function readDocument(text: string, { merge = false } = {}): ReadDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    version: "1.2",
    schema: "core",
    uniqueKeys: true,
    merge,
  });
  const syntax: LocatedProblem[] = [...document.errors, ...document.warnings].map((error) => {
    const { line, col } = lines.linePos(error.pos[0]);
    return {
      severity: "error",
      path: [],
      message: syntaxMessage(error.code, error.message),
      remedy: syntaxRemedy(error.code),
      line: Math.max(1, line),
      column: Math.max(1, col),
    };
  });
  return {
    document,
    locate: (problems) => problems.map((problem) => ({ ...problem, ...place(document, lines, problem) })).sort(byPlace),
    syntax: syntax.sort(byPlace),
  };
}

/**
 * Parses the text, fills in defaults and checks everything that can be checked without a store. `asked`: the environment that the caller
 * named; a file that names another one is refused, as applying it is.
 */
export function loadFile(text: string, asked?: string): LoadedFile {
  const file = parseFile(text, "file");
  if (file.input === undefined) return { problems: file.problems };
  const named = file.input.environment;
  const spec = fillEnvironment(file.input, named ?? asked ?? "default");
  const problems = file.locate([
    ...(asked !== undefined && named !== undefined && asked !== named ? [otherEnvironment(named, asked)] : []),
    ...checkEnvironment(spec),
  ]);
  return problems.some(({ severity }) => severity === "error") ? { problems } : { spec, problems };
}

/** A text that YAML reads as a number, a boolean or nothing: the problem says so, and how to write it. */
function withQuotes(problem: Problem, document: Document): Problem {
  if (problem.expected !== "string") return problem;
  const node: unknown = document.getIn(problem.path, true);
  if (
    !isScalar(node) ||
    node.source === undefined ||
    node.source === "" ||
    !["number", "boolean"].includes(typeof node.value)
  )
    return problem;
  const kind = typeof node.value === "boolean" ? "boolean" : "number";
  if (secret(node.source, problem.path))
    return { ...problem, message: `Must be a string, but YAML reads it as a ${kind}.`, remedy: "Write it in quotes." };
  const read = String(node.value) === node.source ? `a ${kind}` : `the ${kind} ${String(node.value)}`;
  return {
    ...problem,
    message: `Must be a string, but YAML reads \`${node.source}\` as ${read}.`,
    remedy: `Write it in quotes: "${node.source}".`,
  };
}

function otherEnvironment(named: string, asked: string): Problem {
  const message = `The file is for the environment \`${named}\`, but \`${asked}\` was asked for.`;
  return { severity: "error", path: ["environment"], message, remedy: "Ask for the file's environment, or for none." };
}

function byPlace(a: LocatedProblem, b: LocatedProblem): number {
  return a.line - b.line || a.column - b.column;
}

/** The place of the deepest node on the path that exists; the key's place when the key is wrong. */
function place(document: Document, lines: LineCounter, problem: Problem): { line: number; column: number } {
  let node: unknown = document.contents;
  let offset = offsetOf(node) ?? 0;
  problem.path.forEach((step, index) => {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      const last = index === problem.path.length - 1;
      const target =
        pair === undefined ? undefined : last && problem.at === "key" ? pair.key : (pair.value ?? pair.key);
      offset = offsetOf(target) ?? offset;
      node = pair?.value;
    } else if (isNode(node)) {
      node =
        document.contents === null
          ? undefined
          : (node as { get?: (key: unknown, keepScalar: boolean) => unknown }).get?.(step, true);
      offset = offsetOf(node) ?? offset;
    }
  });
  const { line, col } = lines.linePos(offset);
  return { line: Math.max(1, line), column: Math.max(1, col) };
}

function offsetOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

function syntaxMessage(code: string, message: string): string {
  if (code === "DUPLICATE_KEY") return "The field is written twice.";
  if (code === "MULTIPLE_DOCS") return "A second YAML document begins here; a file holds one.";
  return message.endsWith(".") ? message : `${message}.`;
}

function syntaxRemedy(code: string): string {
  switch (code) {
    case "DUPLICATE_KEY":
      return "Remove one.";
    case "TAB_AS_INDENT":
      return "Indent with spaces.";
    case "MULTIPLE_DOCS":
      return "Put each document into a file of its own, or remove the `---`.";
    case "BAD_INDENT":
      return "Align the line with its neighbours.";
    default:
      return "Correct the YAML here.";
  }
}
