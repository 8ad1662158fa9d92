/** What the internal token needs of the store. */
import type { JWK } from "jose";
import type { Consumer, InternalToken, Key, Tier } from "../domain/model.ts";
import type { ChangeContext } from "../store/store.ts";

/** A key that internal tokens are signed by, ES256. */
export interface SigningKey {
  kid: string;
  /** the private key */
  jwk: JWK;
  createdAtMs: number;
  /** the key with the latest such time that has come signs; the ones before it only verify */
  signsFromMs: number;
}

/** An environment's part of the internal token. */
export interface Identity {
  /** absent: none are issued */
  settings?: InternalToken;
  keys: SigningKey[];
}

/** Whose token a gateway asks for. */
export type CallerAsk =
  /** 32 hex digits: the first 16 bytes of the key's digest */
  | { kind: "key"; digest: string }
  /** a caller without a key, as the gateway has identified it by a token or a peer's certificate: wire ids */
  | { kind: "token" | "peer"; consumer: number; tier: number };

/** The records of a caller; `key` for those who call with one. */
export interface Caller {
  key?: Key;
  consumer: Consumer;
  tier: Tier;
}

export interface IdentityStore {
  /** `undefined`: no such environment */
  identity(environment: string): Promise<Identity | undefined>;
  /**
   * Replaces the environment's signing keys by what `edit` makes of them, under the environment's lock. Writes an audit entry when one is
   * given. Gives the keys as they are then; `undefined`: no such environment.
   */
  changeSigningKeys(
    environment: string,
    edit: (keys: SigningKey[]) => SigningKey[],
    audit?: { context: ChangeContext; action: string; id: string },
  ): Promise<SigningKey[] | undefined>;
  /** The records of callers, in the order asked; `undefined` for those of which one is missing. One consistent view. */
  callers(environment: string, asks: readonly CallerAsk[]): Promise<(Caller | undefined)[]>;
}
