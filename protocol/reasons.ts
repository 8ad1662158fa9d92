/**
 * Why the filter refuses a request: the one table. `npm run generate` makes `assembly/wire/reasons.ts` and `docs/operate/failure-modes.md` of it.
 * The code is public (problem+json `reason`, Envoy's response code details `tollgate_<code>`, the counter
 * `tollgate.<environment>.refused.<code>`): once released it never changes, and new ones go to the end.
 */
export interface Reason {
  code: string;
  status: keyof typeof grpcStatus;
  /** the problem's title: short, for the caller, without anything that helps a guesser */
  title: string;
  /** what it means, for the owner */
  meaning: string;
  /** what to do about it */
  remedy: string;
  /** 401 only: what `WWW-Authenticate` asks for */
  challenge?: Challenge;
  /** of every 503: when to try again (RFC 9110 section 10.2.3). 1: it may pass at any moment; 5: somebody has to act. A 429 says it by its windows */
  retryAfterSeconds?: 1 | 5;
}

/** gRPC's status for each HTTP status that refusals have. */
export const grpcStatus = { 400: 3, 401: 16, 403: 7, 404: 12, 405: 12, 429: 8, 503: 14 } as const;

/** What a caller lacks, or has that isn't valid. The place is the code in `assembly/wire/reasons.ts`; 0: a reason that asks for nothing. */
export const challenges = ["none", "keyMissing", "keyInvalid", "tokenMissing", "tokenInvalid", "certificate"] as const;
export type Challenge = Exclude<(typeof challenges)[number], "none">;

export const reasons: readonly Reason[] = [
  { code: "not_configured", status: 503, retryAfterSeconds: 5, title: "Gateway not configured", meaning: "The plugin's configuration is empty.", remedy: "Give the WasmPlugin a `pluginConfig` with `control` or `snapshot`." },
  { code: "not_ready", status: 503, retryAfterSeconds: 1, title: "Gateway not ready", meaning: "No snapshot has arrived from control since Envoy started and the hold (`snapshotWaitTimeoutMs`, or its number of requests) is used up.", remedy: "Check control's health, the cluster name in `control.cluster` and the gateway token; `tollgate.<environment>.sync_*` metrics and Envoy's log name the failing call." },
  { code: "snapshot_stale", status: 503, retryAfterSeconds: 5, title: "Gateway not ready", meaning: "Control has not been heard of for longer than `maxSnapshotAgeSeconds`, so that revoked keys could still be honoured.", remedy: "Restore the way to control, or raise `maxSnapshotAgeSeconds` knowing the price." },
  { code: "path_invalid", status: 400, title: "Bad request path", meaning: "The path has dot segments, an encoded slash or backslash, a backslash, `//`, a control character, a bad escape or a doubly encoded one of these.", remedy: "Send a normalized path, or switch on Envoy's `normalize_path` and `merge_slashes`." },
  { code: "path_ambiguous", status: 400, title: "Bad request path", meaning: "The path belongs to different APIs or routes, depending on how a backend reads it: as it stands, decoded (escapes, `;` parameters), ended at an encoded `?` or `#`, or without regard to case.", remedy: "Send the path in the API's own case and without needless escapes. If every upstream is case-sensitive, set `pathCase: sensitive`." },
  { code: "unknown_api", status: 404, title: "Unknown API", meaning: "Host and path belong to no API of this gateway's group, and `unknownApi` is `deny`.", remedy: "Check the API's `hosts` and `paths`, and the APIs that the gateway token may see." },
  { code: "method_not_allowed", status: 405, title: "Method not allowed", meaning: "The path is known, no API at it allows the method.", remedy: "Add the method to the API." },
  { code: "key_missing", status: 401, challenge: "keyMissing", title: "API key required", meaning: "No configured key source carries a key.", remedy: "Send the key in the first of the plugin's `keySources`." },
  { code: "multiple_keys", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The source that carries the key carries more than one.", remedy: "Send one key." },
  { code: "key_too_long", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The key has more than 256 bytes.", remedy: "Send the key alone." },
  { code: "key_malformed", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "It begins as a Tollgate key, but its form or its checksum is wrong: a copying mistake.", remedy: "Copy the key again." },
  { code: "key_wrong_environment", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "A well-formed key of another environment.", remedy: "Use a key of this environment." },
  { code: "unknown_key", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "No such key, or it was deleted.", remedy: "Issue a key with `tollgate keys create`." },
  { code: "key_revoked", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The key was revoked, or replaced by rotation and its grace is over.", remedy: "Issue a new key." },
  { code: "key_suspended", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The key is suspended.", remedy: "`tollgate keys resume`." },
  { code: "key_not_yet_valid", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The key's `notBefore` has not come, by the gateway's clock.", remedy: "Wait, or check the clock." },
  { code: "key_expired", status: 401, challenge: "keyInvalid", title: "Invalid API key", meaning: "The key's `expiresAt` has passed, by the gateway's clock.", remedy: "Rotate the key before it expires." },
  { code: "consumer_suspended", status: 403, title: "Access suspended", meaning: "The consumer of the key, the token or the identity is suspended.", remedy: "`tollgate consumers resume`." },
  { code: "tier_missing", status: 403, title: "No access", meaning: "Neither the key nor its consumer has a tier; or the token's `tierClaim` names none that there is.", remedy: "Give the consumer a tier; check what the issuer writes into the claim." },
  { code: "api_not_allowed", status: 403, title: "API not allowed", meaning: "The caller's tier, or the key itself, does not include this API.", remedy: "Add the API to the tier, or to the key's `apis`." },
  { code: "scope_missing", status: 403, title: "Scope missing", meaning: "The API or the route requires a scope that the caller's tier, the key itself or the token's `scopeClaim` does not have.", remedy: "Add the scope to the tier, to the key's `scopes`, or have the issuer grant it." },
  { code: "ip_not_allowed", status: 403, title: "Address not allowed", meaning: "The caller's address is outside the key's `allowedCidrs`.", remedy: "Call from an allowed network; check `xff_num_trusted_hops` when a load balancer stands before Envoy." },
  { code: "auth_mode_unsupported", status: 503, retryAfterSeconds: 5, title: "API not available", meaning: "The API's `auth.mode` is one that this version of the filter doesn't know, or one with tokens without issuers: the API is closed.", remedy: "Upgrade the filter to control's version." },
  { code: "headers_unreadable", status: 400, title: "Bad request headers", meaning: "More headers than the filter can clean: more than 1024 claim headers or `Cookie` lines, or more than about 2 MiB in all, so that forged claims and keys could not be removed. Refused in observe mode too.", remedy: "Send fewer headers, or let Envoy refuse them first (`max_headers_count`, 100 by default)." },
  { code: "rate_limited", status: 429, title: "Too many requests", meaning: "A rate limit's window is used up, or its smoothing paces the caller. The problem's `violated-policies` names the limits.", remedy: "The caller waits for `Retry-After`; the owner raises the limit, or moves the caller to another tier." },
  { code: "quota_exceeded", status: 429, title: "Quota exceeded", meaning: "A quota's period is used up. The problem's `violated-policies` names the quotas.", remedy: "The caller waits for `Retry-After`; the owner raises the quota, grants extra or resets it (`tollgate quota`)." },
  { code: "limit_unavailable", status: 503, retryAfterSeconds: 1, title: "Rate limit service unavailable", meaning: "Allowance could not be had in time: control is away, slow or asked by too many at once, or the worker's room for counters (`maxCounters`) is full; and the API's `failureMode` is `closed`.", remedy: "Restore the way to control, or choose `failureMode: open` or `local` for the API knowing the price; raise `maxCounters` when the gauge `counters` stands at it." },
  { code: "token_missing", status: 401, challenge: "tokenMissing", title: "Token required", meaning: "The API takes tokens, and Envoy has verified none of this request: it has none, or no `jwt_authn` filter (Istio: RequestAuthentication) runs before the plugin.", remedy: "Send `Authorization: Bearer <token>`; with Istio the plugin's phase must be AUTHZ." },
  { code: "token_issuer", status: 401, challenge: "tokenInvalid", title: "Token not valid", meaning: "The token is verified, but its `iss` is none of the API's issuers.", remedy: "Use a token of an issuer of this API, or add the issuer; it's compared to the byte." },
  { code: "token_audience", status: 401, challenge: "tokenInvalid", title: "Token not valid", meaning: "The token's `aud` has none of the audiences that the API wants of this issuer.", remedy: "Ask the issuer for a token for this API, or add the audience." },
  { code: "unknown_consumer", status: 403, title: "Unknown client", meaning: "None of the token's `consumerClaims` names a consumer that there is.", remedy: "Create the consumer by the id that the claim has, or set `unknownConsumers: allow` with a `tierClaim`." },
  { code: "token_consumer_mismatch", status: 403, title: "Key and token differ", meaning: "With `auth.mode: key-and-jwt`, key and token belong to different consumers.", remedy: "Send a key and a token of the same consumer." },
  { code: "peer_missing", status: 401, challenge: "certificate", title: "Client certificate required", meaning: "The API takes callers by certificate, and the connection has none with a URI, or (`peer.source: waypoint`) the mesh has passed on no identity.", remedy: "Call from a workload in the mesh; demand mTLS (PeerAuthentication STRICT)." },
  { code: "unknown_peer", status: 403, title: "Unknown client", meaning: "No consumer has the caller's SPIFFE id among its `identities`.", remedy: "Add the identity to the consumer; it's compared to the byte." },
  { code: "token_unavailable", status: 503, retryAfterSeconds: 5, title: "Identity not available", meaning: "The caller's internal token (`claims.token`) could not be had in time: control is away, slow or asked by too many at once, gives none for this caller, or its claims make it too large; and the API's `failureMode` is `closed`.", remedy: "Restore the way to control; with `failureMode: open` or `local` the request goes on without the token. Envoy's log says when a token is too large." },
  { code: "host_invalid", status: 400, title: "Bad request host", meaning: "The host is neither a host name (labels of letters, digits, `-` and `_`, none of them empty, at most 255 bytes) nor a bracketed IPv6 address, with or without a port. Checked where an API names a host.", remedy: "Send the API's host. For hosts with a trailing dot, switch on Envoy's `strip_trailing_host_dot`." },
  { code: "method_invalid", status: 400, title: "Bad request method", meaning: "The method has a lower-case letter or a byte outside ASCII. Methods are case-sensitive, but common backends treat `post` as `POST`.", remedy: "Send the method in upper case." },
  { code: "record_unsupported", status: 503, retryAfterSeconds: 5, title: "Gateway out of date", meaning: "A record that the request needs (the API, its tier, consumer, key or one of its limits) has a value that this version of the filter doesn't know, such as a new limit subject: the record is closed.", remedy: "Upgrade the gateway's filter to the control plane's version." },
];
