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
type Challenge = Exclude<(typeof challenges)[number], "none">;

export const reasons: readonly Reason[] = [
  {
    code: "not_configured",
    status: 503,
    retryAfterSeconds: 5,
    title: "Gateway not configured",
    meaning: "The plugin configuration is empty.",
    remedy: "Set `control` or `snapshot` in the `pluginConfig` of the WasmPlugin.",
  },
  {
    code: "not_ready",
    status: 503,
    retryAfterSeconds: 1,
    title: "Gateway not ready",
    meaning:
      "No snapshot has arrived from the control plane since Envoy started, and the request has waited for `snapshotWaitTimeoutMs` or found `maxSnapshotWaiters` requests waiting.",
    remedy:
      "Check that the control plane is healthy, that `control.cluster` names its cluster and that the gateway token is valid. The `tollgate.<environment>.sync_*` metrics and the Envoy log name the failing call.",
  },
  {
    code: "snapshot_stale",
    status: 503,
    retryAfterSeconds: 5,
    title: "Gateway not ready",
    meaning:
      "The gateway has not reached the control plane for longer than `maxSnapshotAgeSeconds`, so it could still accept revoked keys.",
    remedy:
      "Restore connectivity to the control plane, or raise `maxSnapshotAgeSeconds`; revoked keys then stay usable for longer during an outage.",
  },
  {
    code: "path_invalid",
    status: 400,
    title: "Invalid request path",
    meaning:
      "The path contains a dot segment, `//`, a backslash, a control character, an invalid escape, an encoded slash or backslash, or a double-encoded form of one of these.",
    remedy: "Send a normalized path, or enable `normalize_path` and `merge_slashes` in Envoy.",
  },
  {
    code: "path_ambiguous",
    status: 400,
    title: "Ambiguous request path",
    meaning:
      "The path belongs to different APIs or routes depending on how an upstream reads it: as sent, decoded (escapes, `;` parameters), cut at an encoded `?` or `#`, or ignoring case.",
    remedy:
      "Send the path in the case that the API defines and without unnecessary escapes. If every upstream is case-sensitive, set `pathCase: sensitive`.",
  },
  {
    code: "unknown_api",
    status: 404,
    title: "Unknown API",
    meaning: "No API of the gateway group matches the host and path, and `unknownApi` is `deny`.",
    remedy: "Check the `hosts` and `paths` of the API, and the APIs that the gateway token allows.",
  },
  {
    code: "method_not_allowed",
    status: 405,
    title: "Method not allowed",
    meaning: "An API matches the host and path, but none that matches allows the method.",
    remedy: "Add the method to the API.",
  },
  {
    code: "key_missing",
    status: 401,
    challenge: "keyMissing",
    title: "API key required",
    meaning: "None of the configured key sources contains a key.",
    remedy: "Send the key in the first of the `keySources` of the plugin configuration.",
  },
  {
    code: "multiple_keys",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key source contains more than one key.",
    remedy: "Send exactly one key.",
  },
  {
    code: "key_too_long",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key is longer than 256 bytes.",
    remedy: "Send only the key.",
  },
  {
    code: "key_malformed",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning:
      "The key begins like a Tollgate key, but its format or its checksum is wrong. It was probably copied incorrectly.",
    remedy: "Copy the key again.",
  },
  {
    code: "key_wrong_environment",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key belongs to another environment.",
    remedy: "Use a key of this environment.",
  },
  {
    code: "unknown_key",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key doesn't exist or was deleted.",
    remedy: "Create a key with `tollgate keys create`.",
  },
  {
    code: "key_revoked",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key was revoked, or it was rotated and its grace period has ended.",
    remedy: "Create a new key with `tollgate keys create`.",
  },
  {
    code: "key_suspended",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The key is suspended.",
    remedy: "Resume the key with `tollgate keys resume`.",
  },
  {
    code: "key_not_yet_valid",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The `notBefore` time of the key is in the future according to the clock of the gateway.",
    remedy: "Wait until then, or check the clock of the gateway.",
  },
  {
    code: "key_expired",
    status: 401,
    challenge: "keyInvalid",
    title: "Invalid API key",
    meaning: "The `expiresAt` time of the key has passed according to the clock of the gateway.",
    remedy: "Create a new key, and rotate keys before they expire.",
  },
  {
    code: "consumer_suspended",
    status: 403,
    title: "Access suspended",
    meaning: "The consumer that the key, access token or client certificate belongs to is suspended.",
    remedy: "Resume the consumer with `tollgate consumers resume`.",
  },
  {
    code: "tier_missing",
    status: 403,
    title: "No tier assigned",
    meaning:
      "Neither the key nor its consumer has a tier, or the `tierClaim` of the access token names no existing tier.",
    remedy: "Assign a tier to the consumer, or check the value that the issuer writes into the claim.",
  },
  {
    code: "api_not_allowed",
    status: 403,
    title: "API not allowed",
    meaning: "The tier of the caller, or the key itself, doesn't include the API.",
    remedy: "Add the API to the tier, or to `apis` of the key.",
  },
  {
    code: "scope_missing",
    status: 403,
    title: "Missing scope",
    meaning:
      "The API or route requires a scope that the tier of the caller, the key or the `scopeClaim` of the access token doesn't include.",
    remedy: "Add the scope to the tier or to `scopes` of the key, or configure the issuer to grant it.",
  },
  {
    code: "ip_not_allowed",
    status: 403,
    title: "IP address not allowed",
    meaning: "The IP address of the caller is outside `allowedCidrs` of the key.",
    remedy: "Call from an allowed network. If a load balancer is in front of Envoy, check `xff_num_trusted_hops`.",
  },
  {
    code: "auth_mode_unsupported",
    status: 503,
    retryAfterSeconds: 5,
    title: "API unavailable",
    meaning:
      "The filter doesn't know the `auth.mode` of the API, or the mode requires access tokens and the API has no issuers. The filter denies all requests to the API.",
    remedy: "Upgrade the filter to the version of the control plane.",
  },
  {
    code: "headers_unreadable",
    status: 400,
    title: "Invalid request headers",
    meaning:
      "The request has more headers than the filter can clean: more than 1024 identity headers or `Cookie` lines, or more than about 2 MiB in total. The filter could not remove keys and spoofed headers. Such requests are denied in observe mode too.",
    remedy: "Send fewer headers, or let Envoy deny such requests first (`max_headers_count`, 100 by default).",
  },
  {
    code: "rate_limited",
    status: 429,
    title: "Too many requests",
    meaning:
      "A rate limit is exhausted for its window, or its smoothing delays the caller. `violated-policies` in the problem document names the limits.",
    remedy:
      "As the caller, wait for the time in `Retry-After`. As the owner, raise the limit or move the caller to another tier.",
  },
  {
    code: "quota_exceeded",
    status: 429,
    title: "Quota exceeded",
    meaning: "A quota is exhausted for its period. `violated-policies` in the problem document names the quotas.",
    remedy:
      "As the caller, wait for the time in `Retry-After`. As the owner, raise the quota, or grant extra quota or reset it with `tollgate quota`.",
  },
  {
    code: "limit_unavailable",
    status: 503,
    retryAfterSeconds: 1,
    title: "Rate limit service unavailable",
    meaning:
      "The worker could not get allowance in time, and the `failureMode` of the API is `closed`. The control plane is unreachable, slow or overloaded, or the worker holds `maxCounters` counters.",
    remedy:
      "Restore connectivity to the control plane, or set `failureMode: open` or `local` for the API. If the `counters` gauge equals `maxCounters`, raise `maxCounters`.",
  },
  {
    code: "token_missing",
    status: 401,
    challenge: "tokenMissing",
    title: "Access token required",
    meaning:
      "The API requires an access token, and Envoy has verified none for this request. The request has no token, or no `jwt_authn` filter (Istio: RequestAuthentication) runs before the plugin.",
    remedy: "Send `Authorization: Bearer <token>`. With Istio, set the phase of the plugin to AUTHZ.",
  },
  {
    code: "token_issuer",
    status: 401,
    challenge: "tokenInvalid",
    title: "Invalid access token",
    meaning: "The access token is verified, but its `iss` claim matches no issuer of the API.",
    remedy: "Use a token of an issuer of this API, or add the issuer. The value must match exactly.",
  },
  {
    code: "token_audience",
    status: 401,
    challenge: "tokenInvalid",
    title: "Invalid access token",
    meaning:
      "The `aud` claim of the access token contains none of the audiences that the API requires for this issuer.",
    remedy: "Request a token for this API from the issuer, or add the audience.",
  },
  {
    code: "unknown_consumer",
    status: 403,
    title: "Unknown client",
    meaning: "None of the `consumerClaims` of the access token names an existing consumer.",
    remedy: "Create a consumer with the ID in the claim, or set `unknownConsumers: allow` and a `tierClaim`.",
  },
  {
    code: "token_consumer_mismatch",
    status: 403,
    title: "Key and token differ",
    meaning: "The API has `auth.mode: key-and-jwt`, and the key and the access token belong to different consumers.",
    remedy: "Send a key and a token of the same consumer.",
  },
  {
    code: "peer_missing",
    status: 401,
    challenge: "certificate",
    title: "Client certificate required",
    meaning:
      "The API identifies callers by client certificate. The connection has no certificate with a URI, or (`peer.source: waypoint`) the mesh forwarded no SPIFFE ID.",
    remedy: "Call from a workload in the mesh, and require mTLS (PeerAuthentication STRICT).",
  },
  {
    code: "unknown_peer",
    status: 403,
    title: "Unknown client",
    meaning: "No consumer has the SPIFFE ID of the caller in `identities`.",
    remedy: "Add the SPIFFE ID to `identities` of the consumer. The value must match exactly.",
  },
  {
    code: "token_unavailable",
    status: 503,
    retryAfterSeconds: 5,
    title: "Token service unavailable",
    meaning:
      "The worker could not get the internal token of the caller (`claims.token`) in time, and the `failureMode` of the API is `closed`. The control plane is unreachable, slow or overloaded, issues no token for this caller, or the token is too large.",
    remedy:
      "Restore connectivity to the control plane. With `failureMode: open` or `local`, requests continue without the token. The Envoy log reports tokens that are too large.",
  },
  {
    code: "host_invalid",
    status: 400,
    title: "Invalid request host",
    meaning:
      "The host is neither a host name (non-empty labels of letters, digits, `-` and `_`, at most 255 bytes) nor a bracketed IPv6 address, with or without a port. The filter checks the host if an API names one.",
    remedy: "Send the host of the API. For hosts with a trailing dot, enable `strip_trailing_host_dot` in Envoy.",
  },
  {
    code: "method_invalid",
    status: 400,
    title: "Invalid request method",
    meaning:
      "The method contains a lower-case letter or a byte outside ASCII. Methods are case-sensitive, but common upstreams treat `post` as `POST`.",
    remedy: "Send the method in upper case.",
  },
  {
    code: "record_unsupported",
    status: 503,
    retryAfterSeconds: 5,
    title: "Gateway out of date",
    meaning:
      "A record that the request needs (the API, its tier, consumer, key or one of its limits) has a value that this version of the filter doesn't know, such as a new limit subject. The filter denies requests that need the record.",
    remedy: "Upgrade the filter to the version of the control plane.",
  },
];
