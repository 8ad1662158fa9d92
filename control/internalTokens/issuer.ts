/** Issues internal tokens and publishes the keys that verify them, for gateways and services of every environment. */
import type { JSONWebKeySet } from "jose";
import { inForce, issue, type Issued, scopesOf } from "./issue.ts";
import { published, signer } from "./schedule.ts";
import { ensureSigningKey, publicJwk } from "./signingKeys.ts";
import type { Caller, CallerAsk, Identity, IdentityStore } from "./store.ts";

export type TokenAnswer =
  | ({ verdict: "granted" } & Issued)
  /** no such caller, or none that may call */
  | { verdict: "unknown" }
  /** the environment issues none */
  | { verdict: "off" }
  /** its claims make it too large */
  | { verdict: "tooLarge" };

/** Whose token, and for callers without a key the scopes that theirs is narrowed to. */
export type TokenAsk = CallerAsk & { scopes?: readonly string[] };

interface Remembered {
  askedMs: number;
  identity: Promise<Identity | undefined>;
}

/** So long another replica's rotation may go unnoticed; a new key is published for longer before it signs. */
const believedMs = 1000;
const rememberedMost = 1000;

export class Issuer {
  readonly #store: IdentityStore;
  readonly #now: () => number;
  readonly #remembered = new Map<string, Remembered>();
  /** the last set of each environment that was read: served while the database doesn't answer */
  readonly #sets = new Map<string, JSONWebKeySet>();

  constructor(store: IdentityStore, now: () => number = Date.now) {
    this.#store = store;
    this.#now = now;
  }

  /** The keys that verify an environment's tokens. `undefined`: there is no such environment, or it issues none. */
  async jwks(environment: string): Promise<JSONWebKeySet | undefined> {
    let identity: Identity | undefined;
    try {
      identity = await this.#identity(environment);
    } catch (error) {
      const last = this.#sets.get(environment);
      if (last === undefined) throw error;
      return last;
    }
    // A set outlives the switch: tokens may still be on their way.
    if (identity === undefined || (identity.settings?.enabled !== true && identity.keys.length === 0)) {
      this.#sets.delete(environment);
      return undefined;
    }
    const set = { keys: published(identity.keys, this.#now()).map(publicJwk) };
    this.#sets.set(environment, set);
    return set;
  }

  /** A token for each caller, in the order asked. A caller that isn't `allowed` is as unknown as one that there isn't. */
  async issue(
    environment: string,
    asks: readonly TokenAsk[],
    allowed: (ask: TokenAsk, caller: Caller) => boolean = () => true,
  ): Promise<TokenAnswer[]> {
    const identity = await this.#identity(environment);
    const settings = identity?.settings;
    const nowMs = this.#now();
    // Of a replica whose clock is ahead, even the first key may have a time that is yet to come.
    const key = signer(identity?.keys ?? [], nowMs) ?? identity?.keys[0];
    if (settings?.enabled !== true || key === undefined) return asks.map(() => ({ verdict: "off" }));
    const callers = await this.#store.callers(environment, asks);
    return callers.map((caller, index): TokenAnswer => {
      if (caller === undefined || !inForce(caller, nowMs) || !allowed(asks[index]!, caller))
        return { verdict: "unknown" };
      const issued = issue(environment, settings, key, caller, scopesOf(caller, asks[index]!.scopes), nowMs);
      return issued === undefined ? { verdict: "tooLarge" } : { verdict: "granted", ...issued };
    });
  }

  /** What the store said within the last second. An environment that issues tokens has a key. */
  async #identity(environment: string): Promise<Identity | undefined> {
    const nowMs = this.#now();
    const known = this.#remembered.get(environment);
    if (known !== undefined && nowMs - known.askedMs < believedMs && nowMs >= known.askedMs) return known.identity;
    if (this.#remembered.size >= rememberedMost) this.#remembered.clear();
    const entry = { askedMs: nowMs, identity: this.#ask(environment, nowMs) };
    this.#remembered.set(environment, entry);
    entry.identity.catch(() => {
      if (this.#remembered.get(environment) === entry) this.#remembered.delete(environment);
    });
    return entry.identity;
  }

  async #ask(environment: string, nowMs: number): Promise<Identity | undefined> {
    const identity = await this.#store.identity(environment);
    if (identity?.settings?.enabled !== true || identity.keys.length > 0) return identity;
    return { ...identity, keys: await ensureSigningKey(this.#store, environment, nowMs) };
  }
}
