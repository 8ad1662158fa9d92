/** A table whose cells wrap, so that it fits a width. */
export interface WrappedColumn {
  title: string;
  /** it isn't made narrower than this */
  leastWidth: number;
}

/** A row's cells; each has blocks, and blocks of one index begin on one line. */
export type WrappedRow = readonly (readonly (readonly string[])[])[];

const gap = 2;

/** Rows under their titles, in lines of at most `width` characters. */
export function wrappedTable(columns: readonly WrappedColumn[], rows: readonly WrappedRow[], width: number): string {
  const widths = widthsOf(columns, rows, width);
  const lines = [columns.map(({ title }) => title), ...rows.flatMap((row) => rowLines(row, widths))];
  return lines
    .map(
      (cells) =>
        `${cells
          .map((cell, index) => cell.padEnd(widths[index]!))
          .join(" ".repeat(gap))
          .trimEnd()}\n`,
    )
    .join("");
}

function widthsOf(columns: readonly WrappedColumn[], rows: readonly WrappedRow[], width: number): number[] {
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.flatMap((row) => row[index]!.flat().map((text) => text.length))),
  );
  const total = () => widths.reduce((sum, one) => sum + one, 0) + gap * (columns.length - 1);
  while (total() > width) {
    let widest = -1;
    columns.forEach(({ title, leastWidth }, index) => {
      if (widths[index]! > Math.max(title.length, leastWidth) && (widest < 0 || widths[index]! > widths[widest]!))
        widest = index;
    });
    if (widest < 0) break;
    widths[widest]!--;
  }
  return widths;
}

function rowLines(row: WrappedRow, widths: readonly number[]): string[][] {
  const blocks = Math.max(...row.map((cell) => cell.length));
  return Array.from({ length: blocks }, (_, block) => {
    const cells = row.map((cell, index) => (cell[block] ?? []).flatMap((text) => wrap(text, widths[index]!)));
    const height = Math.max(1, ...cells.map((lines) => lines.length));
    return Array.from({ length: height }, (_line, line) => cells.map((lines) => lines[line] ?? ""));
  }).flat();
}

/** A text in lines of at most `width`: broken after a blank or a comma, before a slash, else anywhere. Continued lines are indented. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  let indent = "";
  while (rest.length + indent.length > width) {
    const room = Math.max(1, width - indent.length);
    const head = rest.slice(0, room + 1);
    const at = Math.max(head.lastIndexOf(" "), head.slice(0, room).lastIndexOf(",") + 1, head.lastIndexOf("/", room));
    const cut = at > 0 ? at : room;
    lines.push(`${indent}${rest.slice(0, cut).trimEnd()}`);
    rest = rest.slice(cut).trimStart();
    indent = width > 8 ? "  " : "";
  }
  return rest === "" && lines.length > 0 ? lines : [...lines, `${indent}${rest}`];
}
