/** Who made a request, as far as log and file tell. */
import { type Cidr, parseCidr } from "../domain/cidr.ts";
import { digestHex } from "../domain/keys.ts";
import type { Consumer, EnvironmentSpec, Key, Tier } from "../domain/model.ts";
import { parseTime } from "../domain/time.ts";
import { Distinct } from "./distinct.ts";
import { copied } from "./interned.ts";

export interface Caller {
  /** tells callers apart; what limits per key count by */
  readonly keySubject: string;
  /** what limits per consumer count by */
  readonly consumerSubject: string;
  /** a key's id; the start of the digest of a key that the file doesn't hold */
  readonly keyLabel: string | undefined;
  readonly consumerLabel: string | undefined;
  /** of a caller without key and consumer */
  readonly address: string | undefined;
  readonly consumer: Consumer | undefined;
  readonly tier: Tier | undefined;
  readonly key: KeyFacts | undefined;
}

/** A key of the file, its times and networks read. */
export interface KeyFacts {
  readonly key: Key;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
  readonly networks: readonly Cidr[];
}

/** What a line says of its caller. */
export interface Identity {
  key: string | undefined;
  /** from a field that may hold keys themselves */
  secret: string | undefined;
  consumer: string | undefined;
  tier: string | undefined;
  address: string | undefined;
}

const cacheMax = 200_000;
const digestPattern = /^[0-9a-f]{64}$/;

/** Finds callers, each as one object for as long as it's in use. */
export class Callers {
  /** every caller met */
  readonly distinct = new Distinct();
  readonly #keysById = new Map<string, KeyFacts>();
  readonly #keysByDigest = new Map<string, KeyFacts>();
  readonly #consumers: Map<string, Consumer>;
  readonly #tiers: Map<string, Tier>;
  readonly #standardTier: Tier | undefined;
  readonly #tierFieldWins: boolean;
  readonly #known = new Map<string, Caller>();

  /** `standardTier`: of callers whose tier neither file nor log tells. `tierFieldWins`: what a line says comes before the consumer's tier. */
  constructor(spec: EnvironmentSpec, standardTier: string | undefined, tierFieldWins: boolean) {
    for (const key of spec.keys) {
      const facts = factsOf(key);
      this.#keysById.set(key.id, facts);
      this.#keysByDigest.set(key.sha256, facts);
    }
    this.#consumers = new Map(spec.consumers.map((consumer) => [consumer.id, consumer]));
    this.#tiers = new Map(spec.tiers.map((tier) => [tier.id, tier]));
    this.#standardTier = standardTier === undefined ? undefined : this.#tiers.get(standardTier);
    this.#tierFieldWins = tierFieldWins;
  }

  /** The caller of a line; without key and consumer it's whoever has the address. */
  of(identity: Identity): Caller {
    const { key, secret, consumer, tier, address } = identity;
    const anonymous = key === undefined && secret === undefined && consumer === undefined;
    const name = anonymous ? `a${address ?? ""}\0${tier ?? ""}` : `${key ?? ""}\0${secret ?? ""}\0${consumer ?? ""}\0${tier ?? ""}`;
    let caller = this.#known.get(name);
    if (caller === undefined) {
      // Whoever comes back after this is told apart by the same subjects as before.
      if (this.#known.size >= cacheMax) this.#known.clear();
      caller = this.#make(identity, anonymous);
      this.#known.set(name, caller);
      this.distinct.add(caller.keySubject);
    }
    return caller;
  }

  #make({ key: keyText, secret, consumer: consumerText, tier, address }: Identity, anonymous: boolean): Caller {
    const facts = this.#keyOf(keyText ?? secret);
    const consumerId = facts?.key.consumer ?? copied(consumerText);
    const consumer = consumerId === undefined ? undefined : this.#consumers.get(consumerId);
    const keyLabel = facts?.key.id ?? copied(keyText) ?? (secret === undefined ? undefined : `sha256:${digestOf(secret).slice(0, 12)}…`);
    const keySubject = keyLabel === undefined ? (anonymous ? `address ${address ?? "unknown"}` : `consumer ${consumerId}`) : `key ${facts === undefined && secret !== undefined && keyText === undefined ? digestOf(secret) : keyLabel}`;
    return {
      keySubject: copied(keySubject),
      consumerSubject: consumerId === undefined ? copied(keySubject) : `consumer ${consumerId}`,
      keyLabel,
      consumerLabel: consumerId,
      address: anonymous ? (copied(address) ?? "unknown") : undefined,
      consumer,
      tier: this.#tierOf(facts?.key, consumer, tier),
      key: facts,
    };
  }

  #keyOf(text: string | undefined): KeyFacts | undefined {
    if (text === undefined) return undefined;
    return this.#keysById.get(text) ?? this.#keysByDigest.get(digestOf(text));
  }

  #tierOf(key: Key | undefined, consumer: Consumer | undefined, logged: string | undefined): Tier | undefined {
    const fromLog = logged === undefined ? undefined : this.#tiers.get(logged);
    const owned = key?.tier ?? consumer?.tier;
    const fromFile = owned === undefined ? undefined : this.#tiers.get(owned);
    return (this.#tierFieldWins ? (fromLog ?? fromFile) : (fromFile ?? fromLog)) ?? this.#standardTier;
  }
}

/** A digest as it is, anything else digested. */
function digestOf(text: string): string {
  const lower = text.toLowerCase();
  return digestPattern.test(lower) ? lower : digestHex(text);
}

function factsOf(key: Key): KeyFacts {
  return {
    key,
    notBeforeMs: key.notBefore === undefined ? 0 : parseTime(key.notBefore)!,
    expiresAtMs: key.expiresAt === undefined ? Infinity : parseTime(key.expiresAt)!,
    networks: key.allowedCidrs.map((text) => parseCidr(text)!),
  };
}
