/** Numbers and names of the wire format; docs/internals/protocol.md says what they mean. */

export const MAGIC = 0x31574754;
export const FORMAT = 1;
export const HEADER_BYTES = 48;
export const MANIFEST_BYTES = 40;
export const MAX_FRAME_BYTES = 1 << 20;
export const CONTENT_TYPE = "application/vnd.tollgate.frames";

export const frameCodes = { manifest: 1, page: 2, delta: 3, heartbeat: 4, recall: 5, leases: 6, leasesAnswer: 7, usage: 8, usageAnswer: 9, tokens: 10, tokensAnswer: 11 } as const;
export const recordCodes = { api: 1, tier: 2, consumer: 3, key: 4, delete: 5, limit: 6, counter: 7 } as const;
export const deleteKinds = { api: 1, tier: 2, consumer: 3, key: 4, limit: 6 } as const;
export const ownerKinds = { api: 1, tier: 2, key: 4, route: 10 } as const;
/** Index = code. */
export const authModes = ["none", "key", "jwt", "key-or-jwt", "key-and-jwt", "mtls"] as const;
export const failureModes = ["closed", "open", "local"] as const;
export const keyStates = ["active", "suspended", "revoked"] as const;
export const legacyHeaders = ["off", "tyk", "envoy"] as const;
export const periods = ["none", "day", "week", "month"] as const;
/** Index = code - 1. */
export const limitKinds = ["rate", "quota"] as const;
export const subjects = ["key", "consumer", "api", "consumer+api", "ip"] as const;

export const FLAG_MORE = 1;
export const NO_ROUTE = 0xffffffff;

/** What `name` of a table has this code; undefined when the code is unknown. */
export function nameOf<T extends string>(table: Readonly<Record<T, number>>, code: number): T | undefined {
  for (const name in table) if (table[name] === code) return name;
  return undefined;
}
