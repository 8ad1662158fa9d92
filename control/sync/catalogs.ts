/** The catalogs of all environments, made as they are needed. */
import type { FeedSource } from "../store/feedSource.ts";
import { Catalog } from "./catalog.ts";

export class Catalogs {
  readonly #source: FeedSource;
  readonly #catalogs = new Map<string, Catalog>();

  constructor(source: FeedSource) {
    this.#source = source;
  }

  of(environment: string): Catalog {
    let catalog = this.#catalogs.get(environment);
    if (catalog === undefined) this.#catalogs.set(environment, (catalog = new Catalog(this.#source, environment)));
    return catalog;
  }
}
