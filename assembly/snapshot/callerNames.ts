/** Who is meant by a claim or a certificate: indexes of names, which a table has only when some API needs them. */
import { AUTH_JWT, AUTH_KEY_OR_JWT, AUTH_MTLS } from "../wire/enums";
import { count, first, next, text, textBytes } from "../wire/lists";
import {
  apiAuthMode,
  apiJwt,
  consumerId,
  consumerIdBytes,
  consumerIdentities,
  consumerWireId,
  tierId,
  tierWireId,
} from "../wire/records";
import { Manifest } from "../wire/frame";
import { NameIndex } from "./nameIndex";

/** Ids of consumers and tiers, for tokens. */
export const NAMES_IDS: u32 = 1;
/** Identities of consumers, for peers. */
export const NAMES_IDENTITIES: u32 = 2;
export const NAMES_ALL: u32 = 3;

/** The least that an identity takes in a record, which bounds how many a snapshot can hold. */
const IDENTITY_LEAST_BYTES: u64 = 14;

/** What an API's record needs. */
export function namesNeeded(api: usize): u32 {
  const mode = apiAuthMode(api);
  if (mode == AUTH_MTLS) return NAMES_IDENTITIES;
  return (mode == AUTH_JWT || mode == AUTH_KEY_OR_JWT) && apiJwt(api) != 0 ? NAMES_IDS : 0;
}

export class Names {
  /** which of them there are */
  kinds: u32 = 0;
  consumers: NameIndex = new NameIndex();
  tiers: NameIndex = new NameIndex();
  identities: NameIndex = new NameIndex();
  private clearing: u32 = 0;

  /** Takes memory for the names of a snapshot, with room for `extra` more of consumers; false when there is none. */
  reserve(manifest: Manifest, extra: u32, kinds: u32): bool {
    this.kinds = kinds;
    if (kinds & NAMES_IDS) {
      if (
        !this.consumers.reserve(manifest.consumerCount + (manifest.consumerCount >> 4) + extra) ||
        !this.tiers.reserve(manifest.tierCount * 2 + 256)
      )
        return false;
    }
    return (kinds & NAMES_IDENTITIES) == 0 || this.identities.reserve(identitiesMost(manifest, extra));
  }

  /** Clears a part; true when all is clear. */
  clear(): bool {
    if (this.clearing == 0 && (this.kinds & NAMES_IDS) != 0) {
      if (this.consumers.clear()) this.clearing = 1;
      return false;
    }
    if (this.clearing == 1) {
      if (this.tiers.clear()) this.clearing = 2;
      return false;
    }
    return (this.kinds & NAMES_IDENTITIES) == 0 || this.identities.clear();
  }

  /** Enters a consumer's names in place of those of its older record `old` (0: none). False when an index is full. */
  putConsumer(body: usize, old: usize): bool {
    if (this.kinds == 0) return true;
    if (old != 0) this.removeConsumer(old);
    const wireId = consumerWireId(body);
    if ((this.kinds & NAMES_IDS) != 0 && !this.consumers.put(consumerId(body), consumerIdBytes(body), wireId))
      return false;
    const list: usize = (this.kinds & NAMES_IDENTITIES) == 0 ? 0 : consumerIdentities(body);
    if (list == 0) return true;
    let item = first(list);
    for (let n = count(list); n > 0; n--) {
      if (!this.identities.put(text(item), textBytes(item), wireId)) return false;
      item = next(item);
    }
    return true;
  }

  removeConsumer(body: usize): void {
    const wireId = consumerWireId(body);
    if (this.kinds & NAMES_IDS) this.consumers.remove(consumerId(body), consumerIdBytes(body), wireId);
    const list: usize = (this.kinds & NAMES_IDENTITIES) == 0 ? 0 : consumerIdentities(body);
    if (list == 0) return;
    let item = first(list);
    for (let n = count(list); n > 0; n--) {
      this.identities.remove(text(item), textBytes(item), wireId);
      item = next(item);
    }
  }

  /** Enters a tier's id in place of that of its older record. False when the index is full. */
  putTier(body: usize, old: usize): bool {
    if ((this.kinds & NAMES_IDS) == 0) return true;
    if (old != 0) this.removeTier(old);
    return this.tiers.put(text(tierId(body)), textBytes(tierId(body)), tierWireId(body));
  }

  removeTier(body: usize): void {
    if (this.kinds & NAMES_IDS) this.tiers.remove(text(tierId(body)), textBytes(tierId(body)), tierWireId(body));
  }

  free(): void {
    this.consumers.free();
    this.tiers.free();
    this.identities.free();
  }
}

/** Most consumers have none or one: with more the table finds that it's full, and is built anew with a larger `extra`. */
function identitiesMost(manifest: Manifest, extra: u32): u32 {
  const bound = manifest.totalBytes / IDENTITY_LEAST_BYTES;
  const usual = <u64>manifest.consumerCount * 2 + 16384;
  return <u32>(bound < usual ? bound : usual) + extra;
}
