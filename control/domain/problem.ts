/** What is wrong with a record or a file: where, what, and what to do. */
export type ProblemPath = readonly (string | number)[];

export interface Problem {
  severity: "error" | "warning";
  path: ProblemPath;
  message: string;
  remedy: string;
  /** `key` when the field's name is what is wrong, not its value */
  at?: "key" | "value";
  /** the JSON type that the value should have, when that is what is wrong */
  expected?: string;
}

/** A problem with its place in a file; line and column count from 1. */
export interface LocatedProblem extends Problem {
  line: number;
  column: number;
}

export type Report = (path: ProblemPath, message: string, remedy: string, severity?: Problem["severity"]) => void;

/** Collects problems: `report` adds one, `problems` has them in order. */
export function problemList(): { problems: Problem[]; report: Report } {
  const problems: Problem[] = [];
  return {
    problems,
    report: (path, message, remedy, severity = "error") => problems.push({ severity, path, message, remedy }),
  };
}

/** `["apis", 0, "hosts"]` as `apis[0].hosts`. */
export function pathText(path: ProblemPath): string {
  let text = "";
  for (const step of path) text += typeof step === "number" ? `[${step}]` : text === "" ? step : `.${step}`;
  return text;
}

/** One line for people: `tollgate.yaml:3:7: apis[0].hosts: … (what to do)`. */
export function problemLine(fileName: string, problem: LocatedProblem): string {
  const where = pathText(problem.path);
  const warning = problem.severity === "warning" ? "warning: " : "";
  return `${fileName}:${problem.line}:${problem.column}: ${warning}${where === "" ? "" : `${where}: `}${problem.message} ${problem.remedy}`.trimEnd();
}
