/** Who made a request, as far as log and file tell. */
import { type Cidr, parseCidr } from "../../control/domain/cidr.ts";
import { digestHex } from "../../control/domain/keys.ts";
import type { Consumer, EnvironmentSpec, Key, Tier } from "../../control/domain/model.ts";
import { parseTime } from "../../control/domain/time.ts";
import { Distinct } from "./distinct.ts";
import { copied, Interned } from "./interned.ts";

/** One caller, as reports show it and as limits tell it from others. There may be millions: what many share is one text. */
export class Caller {
  /** a key's id; the start of the digest of a key that the file doesn't hold */
  readonly keyLabel: string | undefined;
  readonly consumerLabel: string | undefined;
  readonly consumer: Consumer | undefined;
  readonly tier: Tier | undefined;
  readonly key: KeyFacts | undefined;
  /** what limits per key count by */
  readonly keySubject: string;
  #consumerSubject: string | undefined;

  constructor(parts: Omit<Caller, "consumerSubject" | "address">) {
    this.keyLabel = parts.keyLabel;
    this.consumerLabel = parts.consumerLabel;
    this.consumer = parts.consumer;
    this.tier = parts.tier;
    this.key = parts.key;
    this.keySubject = parts.keySubject;
    this.#consumerSubject = parts.consumerLabel;
  }

  /** What limits per consumer count by: without a consumer, the key. */
  get consumerSubject(): string {
    return (this.#consumerSubject ??= `${keyMark}${this.keySubject}`);
  }

  /** Of a caller without key and consumer. */
  get address(): string | undefined {
    return this.keyLabel === undefined && this.consumerLabel === undefined
      ? this.keySubject.slice(addressMark.length)
      : undefined;
  }
}

/** Before what counts as a key, a consumer and isn't one; no log holds these. */
const addressMark = "\u0001";
const consumerMark = "\u0002";
const keyMark = "\u0003";

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
  readonly #consumerLabels = new Interned((text) => text);
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
    const name = anonymous
      ? `a${address ?? ""}\0${tier ?? ""}`
      : `${key ?? ""}\0${secret ?? ""}\0${consumer ?? ""}\0${tier ?? ""}`;
    let caller = this.#known.get(name);
    if (caller === undefined) {
      // Whoever comes back after this is told apart by the same subjects as before.
      if (this.#known.size >= cacheMax) this.#known.clear();
      caller = this.#make(identity);
      this.#known.set(name, caller);
      this.distinct.add(caller.keySubject);
    }
    return caller;
  }

  #make({ key: keyText, secret, consumer: consumerText, tier, address }: Identity): Caller {
    const facts = this.#keyOf(keyText, secret);
    const consumerLabel =
      facts?.key.consumer ?? (consumerText === undefined ? undefined : this.#consumerLabels.of(consumerText));
    const consumer = consumerLabel === undefined ? undefined : this.#consumers.get(consumerLabel);
    const digest = facts === undefined && keyText === undefined && secret !== undefined ? digestOf(secret) : undefined;
    const keyLabel = facts?.key.id ?? (digest === undefined ? copied(keyText) : `sha256:${digest.slice(0, 12)}…`);
    const keySubject =
      digest ??
      keyLabel ??
      (consumerLabel === undefined
        ? copied(`${addressMark}${address ?? "unknown"}`)
        : `${consumerMark}${consumerLabel}`);
    return new Caller({
      keyLabel,
      consumerLabel,
      consumer,
      tier: this.#tierOf(facts?.key, consumer, tier),
      key: facts,
      keySubject,
    });
  }

  /** The file's key, by id, by digest, or by itself where the field may hold keys. */
  #keyOf(text: string | undefined, secret: string | undefined): KeyFacts | undefined {
    const named = text ?? secret;
    if (named === undefined || this.#keysById.size === 0) return undefined;
    const known = this.#keysById.get(named);
    if (known !== undefined) return known;
    return text === undefined || text.length === 64 ? this.#keysByDigest.get(digestOf(named)) : undefined;
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
