const entriesMax = 100_000;

/** What a function makes of a text, remembered; what comes out holds no part of the log in memory, as a text that was cut out of one does. */
export class Interned {
  readonly #make: (text: string) => string | undefined;
  readonly #known = new Map<string, string | undefined>();

  constructor(make: (text: string) => string | undefined) {
    this.#make = make;
  }

  of(text: string): string | undefined {
    const known = this.#known.get(text);
    if (known !== undefined || this.#known.has(text)) return known;
    if (this.#known.size >= entriesMax) this.#known.clear();
    const own = copied(text);
    const made = this.#make(own);
    this.#known.set(own, made);
    return made;
  }
}

/** The text without the chunk of the log that it was cut out of. */
export function copied<T extends string | undefined>(text: T): T {
  return (text === undefined ? undefined : Buffer.from(text, "utf8").toString("utf8")) as T;
}
