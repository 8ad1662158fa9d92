/** Where a command writes and reads: the process's streams, or a test's. */
export interface Streams {
  out(text: string): void;
  err(text: string): void;
}

export interface Column<T> {
  title: string;
  /** undefined shows as a dash */
  value: (row: T) => string | number | boolean | null | undefined;
}

/** Rows in aligned columns under their titles; a line that says so when there are none. */
export function table<T>(rows: readonly T[], columns: readonly Column<T>[]): string {
  if (rows.length === 0) return "None.\n";
  const cells = [
    columns.map(({ title }) => title),
    ...rows.map((row) => columns.map(({ value }) => cellText(value(row)))),
  ];
  const widths = columns.map((_, index) => Math.max(...cells.map((line) => line[index]!.length)));
  return cells
    .map(
      (line) =>
        `${line
          .map((cell, index) => cell.padEnd(widths[index]!))
          .join("  ")
          .trimEnd()}\n`,
    )
    .join("");
}

export function json(value: unknown): string {
  return `${JSON.stringify(value ?? {}, null, 2)}\n`;
}

/** A list of words for a table's cell. */
export function words(list: readonly string[] | null | undefined): string | undefined {
  return list === undefined || list === null ? undefined : list.join(",");
}

function cellText(value: string | number | boolean | null | undefined): string {
  if (value === undefined || value === null || value === "") return "-";
  // What others named must not move the cursor of the terminal that shows it.
  return String(value).replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}
