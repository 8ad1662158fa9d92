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
  unit: string;
  /** at most this; absent: no target, only to be known */
  target?: number;
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
  return alignedTable(["system", "CPU us/request", "of bare", "95% interval", "requests/s", "p50 ms", "p99 ms", "resident MB"], rows);
}

export function figureTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, target }) => [
    name,
    `${value.toFixed(value < 10 ? 2 : 0)} ${unit}`,
    target === undefined ? "" : `<= ${target} ${unit}`,
    target === undefined ? "" : value <= target ? "met" : "missed",
  ]);
  return alignedTable(["figure", "value", "target", ""], rows);
}

export function ratioText({ ratio, low, high }: Ratio): string {
  return `${ratio.toFixed(3)} (95% interval ${low.toFixed(3)} to ${high.toFixed(3)})`;
}

/** The first column to the left, the others to the right. */
function alignedTable(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [titles, ...rows];
  const widths = titles.map((_, column) => Math.max(...lines.map((line) => line[column]!.length)));
  return lines.map((line) => line.map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!))).join("  ")).join("\n");
}

export function writeResults(results: readonly Result[]): void {
  mkdirSync(resultsFolder, { recursive: true });
  writeJson("latest.json", results.map(rounded));
  writeFileSync(`${resultsFolder}latest.svg`, chart(results));
}

export function writeFigures(name: string, figures: readonly Figure[]): void {
  writeJson(name, figures.map((figure) => ({ ...figure, value: Number(figure.value.toPrecision(4)) })));
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
