import { countColumns, refusedPlace } from "./columns.ts";

export interface UsageCell {
  /** in the order of `countColumns` */
  counts: number[];
  /** requests by reason, its index in protocol/reasons.ts */
  refused: Map<number, number>;
  observed: Map<number, number>;
}

/** The question asks for more than one answer can hold. */
export class UsageTooLarge extends Error {}

interface Group {
  names: string[];
  sum: UsageCell;
  cells: Map<number, UsageCell>;
}

/** So many rows are looked at to find the busiest groups. */
const comparedMax = 200_000;

/** Sums up what the slices of a question give. */
export class Cells {
  private readonly top: number | undefined;
  private readonly rowsMax: number;
  private readonly groups = new Map<string, Group>();
  private count = 0;

  constructor(top: number | undefined, rowsMax: number) {
    this.top = top;
    this.rowsMax = rowsMax;
  }

  /** The cell to add to. */
  cell(at: number, names: string[]): UsageCell {
    const key = names.join("\n");
    let group = this.groups.get(key);
    if (group === undefined) this.groups.set(key, (group = { names, sum: emptyCell(), cells: new Map() }));
    let cell = group.cells.get(at);
    if (cell === undefined) {
      group.cells.set(at, (cell = emptyCell()));
      this.count++;
      if (this.top === undefined && this.count > this.rowsMax) throw this.tooManyRows();
      if (this.count > comparedMax) throw new UsageTooLarge(`More than ${comparedMax} rows would have to be compared.`);
    }
    return cell;
  }

  get totals(): UsageCell {
    const totals = emptyCell();
    for (const { cells } of this.groups.values()) for (const cell of cells.values()) addCell(totals, cell);
    return totals;
  }

  /** By time; in it the busiest first. */
  rows(): ({ at: number; names: string[] } & UsageCell)[] {
    const chosen = this.top === undefined ? [...this.groups.values()] : this.busiest(this.top);
    const rows = chosen.flatMap(({ names, cells }) => [...cells].map(([at, cell]) => ({ at, names, ...cell })));
    if (rows.length > this.rowsMax) throw this.tooManyRows();
    return rows.sort((a, b) => a.at - b.at || requestsOf(b) - requestsOf(a) || compare(a.names, b.names));
  }

  private tooManyRows(): UsageTooLarge {
    return new UsageTooLarge(`The answer would have more than ${this.rowsMax} rows.`);
  }

  private busiest(top: number): Group[] {
    const groups = [...this.groups.values()];
    for (const { sum, cells } of groups) for (const cell of cells.values()) addCell(sum, cell);
    return groups.sort((a, b) => requestsOf(b.sum) - requestsOf(a.sum) || compare(a.names, b.names)).slice(0, top);
  }
}

function emptyCell(): UsageCell {
  return { counts: countColumns.map(() => 0), refused: new Map(), observed: new Map() };
}

function requestsOf({ counts }: UsageCell): number {
  return counts[0]! + counts[refusedPlace]!;
}

function addCell(sum: UsageCell, { counts, refused, observed }: UsageCell): void {
  counts.forEach((count, place) => (sum.counts[place]! += count));
  for (const [reason, count] of refused) sum.refused.set(reason, (sum.refused.get(reason) ?? 0) + count);
  for (const [reason, count] of observed) sum.observed.set(reason, (sum.observed.get(reason) ?? 0) + count);
}

function compare(a: readonly string[], b: readonly string[]): number {
  const [left, right] = [a.join("\n"), b.join("\n")];
  return left < right ? -1 : left > right ? 1 : 0;
}
