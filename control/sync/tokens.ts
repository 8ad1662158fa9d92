/** Gateway tokens by their digest. What the store says is believed for a moment only, so that a deleted token soon stops working. */
import { createHash } from "node:crypto";
import type { FeedSource, GatewayGrant } from "../store/feedSource.ts";
import { View } from "./view.ts";

export interface Grant extends GatewayGrant {
  view: View;
}

const believedMs = 500;
/** Unknown tokens are remembered as well; a flood of them mustn't fill the memory. */
const rememberedMax = 10_000;

interface Entry {
  askedMs: number;
  grant: Promise<Grant | undefined>;
}

export class Tokens {
  readonly #source: FeedSource;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();

  constructor(source: FeedSource, now: () => number = Date.now) {
    this.#source = source;
    this.#now = now;
  }

  /** The token of an `authorization` header as digest, hex. Undefined: there is no bearer token. */
  static digestOf(authorization: string | undefined): string | undefined {
    const match = /^Bearer +([\x21-\x7e]{1,512}) *$/i.exec(authorization ?? "");
    return match === null ? undefined : createHash("sha256").update(match[1]!).digest("hex");
  }

  /** What the token allows, as the store said within the last half second. Undefined: no such token. */
  grant(digest: string): Promise<Grant | undefined> {
    const entry = this.#entries.get(digest);
    return entry !== undefined && this.#now() - entry.askedMs < believedMs ? entry.grant : this.ask(digest);
  }

  /** As `grant`, but asks the store now. */
  ask(digest: string): Promise<Grant | undefined> {
    const askedMs = this.#now();
    const grant = this.#source
      .gatewayToken(digest, askedMs)
      .then((found) => (found === undefined ? undefined : { ...found, view: new View(found.apis) }));
    if (this.#entries.size >= rememberedMax) this.#entries.clear();
    const entry = { askedMs, grant };
    this.#entries.set(digest, entry);
    grant.catch(() => {
      if (this.#entries.get(digest) === entry) this.#entries.delete(digest);
    });
    return grant;
  }
}
