/** What the program ends with: 0 done, 1 refused, 2 usage. */
import { CommanderError } from "commander";
import type { StartError } from "../control/config.ts";
import { ApiError, UnreachableError } from "../tools/client/adminClient.ts";

const exitCodes = { done: 0, refused: 1, usage: 2 } as const;

/** The command line itself is wrong. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** Something was refused, and what to print of it is known already. */
export class RefusedError extends Error {
  override name = "RefusedError";
}

export interface Failure {
  exitCode: number;
  /** for standard error; empty when all has been said */
  text: string;
}

/** The exit code and the text for whatever a command threw. `file` is the file that the command sent, for places in it. */
export function describeFailure(error: unknown, file?: string): Failure {
  if (error instanceof CommanderError) {
    // Commander has printed its own message, or the help that was asked for.
    return { exitCode: error.exitCode === 0 ? exitCodes.done : exitCodes.usage, text: "" };
  }
  if (error instanceof UsageError) return { exitCode: exitCodes.usage, text: `${error.message}\n` };
  if (error instanceof ApiError) return { exitCode: exitCodes.refused, text: apiErrorText(error, file) };
  if (isStartError(error))
    return { exitCode: exitCodes.refused, text: `${error.message}\n  ${error.remedy.replaceAll("\n", "\n  ")}\n` };
  if (
    error instanceof RefusedError ||
    error instanceof UnreachableError ||
    (error instanceof Error && error.name === "CompileError")
  ) {
    return { exitCode: exitCodes.refused, text: error.message === "" ? "" : `${error.message}\n` };
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { exitCode: exitCodes.refused, text: `Unexpected fault, please report it: ${text}\n` };
}

/** By its name: its module, and all that it loads, is there only when a command that can throw it was run. */
function isStartError(error: unknown): error is StartError {
  return error instanceof Error && error.name === "StartError";
}

function apiErrorText({ status, problem }: ApiError, file: string | undefined): string {
  const lines: string[] = [];
  const placed = (problem.errors ?? []).filter(({ line }) => line !== undefined);
  for (const { path, message, remedy, line, column } of problem.errors ?? []) {
    const where =
      line === undefined
        ? ""
        : `${file ?? "line "}${file === undefined ? "" : ":"}${line}${column === undefined ? "" : `:${column}`}: `;
    lines.push([`${where}${path ? `${path}: ` : ""}${message}`, remedy].filter(Boolean).join(" "));
  }
  if (placed.length === 0)
    lines.unshift([problem.detail ?? problem.title ?? "Refused.", problem.remedy].filter(Boolean).join(" "));
  for (const { kind, id } of problem.references ?? []) lines.push(`  used by ${kind} ${id}`);
  return `${lines.join("\n")}\n(${[`status ${status}`, problem.code, status >= 500 && problem.requestId !== undefined ? `request ${problem.requestId}` : undefined].filter(Boolean).join(", ")})\n`;
}
