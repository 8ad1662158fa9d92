/** How high callers' peaks were: exact up to 1024, above it within 1 %; a bounded number of cells however many callers there are. */

const exactMax = 1024;
/** cells for each doubling beyond that: 2^(1/128) is less than 1 % */
const cellsPerDoubling = 128;

export class Peaks {
  readonly #cells = new Map<number, number>();
  #count = 0;
  #highest = 0;

  get count(): number {
    return this.#count;
  }

  add(peak: number): void {
    const cell = peak <= exactMax ? peak : exactMax + Math.ceil(Math.log2(peak / exactMax) * cellsPerDoubling);
    this.#cells.set(cell, (this.#cells.get(cell) ?? 0) + 1);
    this.#count++;
    this.#highest = Math.max(this.#highest, peak);
  }

  /** The smallest peak that at least this part (0 to 1) of the callers doesn't exceed; 0 when there are none. */
  at(part: number): number {
    if (part >= 1) return this.#highest;
    let left = Math.ceil(part * this.#count);
    for (const cell of [...this.#cells.keys()].sort((a, b) => a - b)) {
      left -= this.#cells.get(cell)!;
      if (left <= 0)
        return Math.min(
          this.#highest,
          cell <= exactMax ? cell : Math.ceil(exactMax * 2 ** ((cell - exactMax) / cellsPerDoubling)),
        );
    }
    return this.#highest;
  }

  /** Both together. */
  with(others: Iterable<number>): Peaks {
    const sum = new Peaks();
    for (const [cell, count] of this.#cells) sum.#cells.set(cell, count);
    sum.#count = this.#count;
    sum.#highest = this.#highest;
    for (const peak of others) sum.add(peak);
    return sum;
  }
}
