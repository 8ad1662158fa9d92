/** What a run of the benchmarks leaves: a table, `bench/results/latest.json` and a chart. */
import { mkdirSync, writeFileSync } from "node:fs";
import { chart } from "./chart.ts";
import type { Ratio } from "./statistics.ts";

/** One line of `latest.json`. */
export interface Result {
  name: string;
  cpuMicrosPerRequest: number;
  ratioToBare: number;
  /** the ratio's 95% interval */
  ratioLow: number;
  ratioHigh: number;
  requestsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  residentMb: number;
}

/** A single measured value beside what it should be. */
export interface Figure {
  name: string;
  value: number;
  /** its 95% interval, where it has one */
  low?: number;
  high?: number;
  unit: string;
  /** at most this; with neither this nor `atLeast` there is no target, it is only to be known */
  target?: number;
  /** at least this */
  atLeast?: number;
}

const resultsFolder = new URL("results/", import.meta.url).pathname;

export function table(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.name,
    result.cpuMicrosPerRequest.toFixed(1),
    result.ratioToBare.toFixed(3),
    `${result.ratioLow.toFixed(3)}-${result.ratioHigh.toFixed(3)}`,
    result.requestsPerSecond.toFixed(0),
    result.p50Ms.toFixed(2),
    result.p99Ms.toFixed(2),
    result.residentMb.toFixed(0),
  ]);
  return alignedTable(
    ["system", "CPU us/request", "of bare", "95% interval", "requests/s", "p50 ms", "p99 ms", "resident MB"],
    rows,
  );
}

export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, low, high, unit, target, atLeast }) => [
    name,
    withUnit(value, unit),
    low === undefined || high === undefined ? "" : `${plainNumber(low)} to ${plainNumber(high)}`,
    target !== undefined
      ? `<= ${withUnit(target, unit)}`
      : atLeast !== undefined
        ? `>= ${withUnit(atLeast, unit)}`
        : "",
    target === undefined && atLeast === undefined
      ? ""
      : value <= (target ?? Infinity) && value >= (atLeast ?? -Infinity)
        ? "met"
        : "missed",
  ]);
  return alignedTable(["figure", "value", "95% interval", "target", ""], rows);
}

function withUnit(value: number, unit: string): string {
  return `${plainNumber(value)} ${unit}`.trimEnd();
}

/** Three digits at least, and no more than are worth reading. */
function plainNumber(value: number): string {
  if (!Number.isFinite(value)) return value < 0 ? "-inf" : "inf";
  const size = Math.abs(value);
  return Number.isInteger(value) ? String(value) : value.toFixed(size < 2 ? 3 : size < 10 ? 2 : 0);
}

export function ratioText({ ratio, low, high }: Ratio): string {
  return `${ratio.toFixed(3)} (95% interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
}

/** The first column to the left, the others to the right. */
function alignedTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, ...rows];
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines
    .map((line) =>
      line
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join("  "),
    )
    .join("\n");
}

export function writeResults(results: readonly Result[]): void {
  mkdirSync(resultsFolder, { recursive: true });
  writeJson("latest.json", results.map(rounded));
  writeFileSync(`${resultsFolder}latest.svg`, chart(results));
}

export function writeFigures(name: string, figures: readonly Figure[]): void {
  const short = (value: number): number => Number(value.toPrecision(4));
  writeJson(
    name,
    figures.map(({ value, low, high, ...rest }) => ({
      ...rest,
      value: short(value),
      ...(low === undefined ? {} : { low: short(low) }),
      ...(high === undefined ? {} : { high: short(high) }),
    })),
  );
}

function writeJson(name: string, value: unknown): void {
  mkdirSync(resultsFolder, { recursive: true });
  writeFileSync(`${resultsFolder}${name}`, JSON.stringify(value, null, 2) + "\n");
}

function rounded(result: Result): Result {
  const copy = { ...result };
  for (const [name, value] of Object.entries(copy)) {
    if (typeof value === "number") Object.assign(copy, { [name]: Number(value.toPrecision(5)) });
  }
  return copy;
}
