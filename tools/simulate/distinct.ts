const exactMax = 1_000_000;

/** Counts distinct names, up to a million of them. */
export class Distinct {
  readonly #names = new Set<string>();
  #full = false;

  add(name: string): void {
    if (this.#names.size < exactMax) this.#names.add(name);
    else this.#full ||= !this.#names.has(name);
  }

  get count(): number {
    return this.#names.size;
  }

  /** Were there no more than that? */
  get exact(): boolean {
    return !this.#full;
  }
}
