/**
 * The one schema of `tollgate.yaml`, the admin API's bodies and the published JSON Schema. It holds what JSON Schema can say;
 * rules across fields are in semantics.ts. A `description` is shown when its field is wrong, so it says what is right.
 */
import { type Static, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";
import { authMode, failureModes, keyStates, legacyHeaders, limitKind, subject } from "../../protocol/enums.ts";
import { namesOf } from "../../protocol/define.ts";
import { TrafficSchema } from "./trafficSchema.ts";

export const recordIdPattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$";
export const lowerIdPattern = "^[a-z0-9][a-z0-9._-]{0,62}$";
export const environmentPattern = "^[a-z0-9-]{1,32}$";
const claimNamePattern = "^[a-z0-9-]{1,63}$";
const scopePattern = "^[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,128}$";
const tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$";

const closed = { additionalProperties: false } as const;

/** A string out of a fixed set, as one `enum`, so that an error names the choices. */
function oneOf<const T extends readonly string[]>(values: T, description: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
}

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const list = <T extends TSchema>(items: T, maxItems: number, description: string) =>
  Type.Array(items, { maxItems, description });

export const EnvironmentId = Type.String({
  pattern: environmentPattern,
  description: "The name of an environment: 1 to 32 lower-case letters, digits and `-`.",
});
const LowerId = Type.String({
  pattern: lowerIdPattern,
  description: "An ID: 1 to 63 lower-case letters, digits, `.`, `_` and `-`. It begins with a letter or digit.",
});
const RecordId = Type.String({
  pattern: recordIdPattern,
  description: "An ID: 1 to 63 letters, digits, `.`, `_` and `-`. It begins with a letter or digit.",
});
export const DisplayName = Type.String({
  minLength: 1,
  maxLength: 200,
  // Neither do control characters belong into names, nor can every database keep NUL or half a surrogate pair.
  pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]+$",
  description: "Display name, 1 to 200 characters, no control characters.",
});
const Scope = Type.String({
  pattern: scopePattern,
  description: 'A scope: 1 to 128 printable ASCII characters except space, `"` and `\\`.',
});
const Scopes = (description: string) => list(Scope, 100, description);
const Methods = list(
  Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,31}$", description: "An HTTP method, such as GET." }),
  32,
  "HTTP methods. Empty: all methods. GET includes HEAD.",
);
const Path = Type.String({
  minLength: 1,
  maxLength: 512,
  description: "A normalized path such as `/v1/search`. It matches as a prefix of whole segments.",
});
const Time = Type.String({
  maxLength: 40,
  description: "An RFC 3339 time with an offset, such as 2027-01-01T00:00:00Z.",
});
const U32 = (minimum: number, maximum: number, description: string) => Type.Integer({ minimum, maximum, description });

export const LimitSchema = Type.Object(
  {
    name: LowerId,
    kind: oneOf(namesOf(limitKind), "rate: N requests per window. quota: N requests per period."),
    limit: Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: "The maximum per window or period: a whole number, 0 or more.",
    }),
    windowSeconds: optional(U32(1, 2_678_400, "For rate limits only: the length of the window, 1 to 2678400 seconds.")),
    period: optional(
      Type.String({ description: "For quotas only: day, week, month, or a duration such as `30d` or `12h`." }),
    ),
    anchor: optional(
      oneOf(
        ["calendar", "firstUse"],
        "For quotas only, when periods begin: calendar (UTC), or firstUse (with the first request).",
      ),
    ),
    subject: optional(oneOf(namesOf(subject), "The subject that the limit counts. Default: key.")),
    enforcement: optional(
      oneOf(
        ["global", "gateway"],
        "global: all gateways share one counter. gateway: each gateway has its own counter. Default: global.",
      ),
    ),
    mode: optional(
      oneOf(
        ["enforce", "shadow"],
        "enforce: deny requests above the limit. shadow: count and report them only. Default: enforce.",
      ),
    ),
    smoothing: optional(
      Type.Object(
        {
          perSecond: U32(1, 4_294_967_295, "A whole number, 1 and more."),
          burst: U32(1, 4_294_967_295, "A whole number, 1 and more."),
        },
        { ...closed, description: "For rate limits only: spreads requests evenly, in each gateway." },
      ),
    ),
  },
  { ...closed, description: "A rate limit or a quota." },
);
const Limits = (description: string) => list(LimitSchema, 32, description);

export const CorsSchema = Type.Object(
  {
    allowOrigins: Type.Array(Type.String({ minLength: 1, maxLength: 300 }), {
      minItems: 1,
      maxItems: 100,
      description: 'Allowed origins: "*", an exact origin such as https://app.example.com, or https://*.example.com.',
    }),
    allowMethods: optional(Methods),
    allowHeaders: optional(
      list(
        Type.String({ pattern: tokenPattern, description: "A header's name." }),
        100,
        "Request headers that a browser may send.",
      ),
    ),
    exposeHeaders: optional(
      list(
        Type.String({ pattern: tokenPattern, description: "A header's name." }),
        100,
        "Response headers that a script may read.",
      ),
    ),
    maxAgeSeconds: optional(
      U32(0, 86_400, "How long a browser may cache a preflight response, 0 to 86400 seconds. Default: 600."),
    ),
    allowCredentials: optional(
      Type.Boolean({ description: "Whether requests may include credentials: true or false. Default: false." }),
    ),
  },
  {
    ...closed,
    description:
      "CORS rules. The gateway allows preflight requests, and adds CORS headers to errors so that browsers can show the reason.",
  },
);

export const RouteSchema = Type.Object(
  {
    path: Path,
    methods: optional(Methods),
    scopes: optional(Scopes("Scopes that the caller needs in addition to those of the API. All are required.")),
    cost: optional(
      U32(
        0,
        1_000_000,
        "How much one request counts toward every limit: a whole number from 0 to 1000000. Default: 1.",
      ),
    ),
    limits: optional(Limits("Limits of this route only.")),
  },
  {
    ...closed,
    description:
      "A route of an API with its own cost, scopes and limits. Its path is complete, not relative to the paths of the API.",
  },
);

const ClaimPath = (description: string) => Type.String({ pattern: "^[\\x21-\\x7E]{1,200}$", description });

const TokenIssuerSchema = Type.Object(
  {
    issuer: Type.String({
      pattern: "^[\\x21-\\x7E]{1,500}$",
      description:
        "The `iss` claim of the tokens, such as https://login.example.com/. It must match exactly, including a final slash.",
    }),
    jwksUri: optional(
      Type.String({
        pattern: "^https?://[\\x21-\\x7E]{1,500}$",
        description: "The URL of the issuer's public keys (JWKS). It begins with https://.",
      }),
    ),
    jwks: optional(
      Type.String({
        minLength: 2,
        maxLength: 65_536,
        description: "The issuer's public keys, as an inline JSON Web Key Set.",
      }),
    ),
    audiences: optional(
      list(
        Type.String({
          pattern: "^[\\x21-\\x7E]{1,500}$",
          description: "An audience, as in the `aud` claim of tokens.",
        }),
        32,
        "Accepted audiences. A token must contain one of them. Empty: any audience.",
      ),
    ),
  },
  { ...closed, description: "An issuer of access tokens, its public keys and the accepted audiences." },
);

export const AuthJwtSchema = Type.Object(
  {
    issuers: Type.Array(TokenIssuerSchema, {
      minItems: 1,
      maxItems: 10,
      description: "The accepted issuers, 1 to 10. Envoy verifies the tokens; the filter checks `iss` and `aud`.",
    }),
    consumerClaims: optional(
      Type.Array(ClaimPath("The name of a claim, or a path to it such as `app.id`."), {
        minItems: 1,
        maxItems: 10,
        description:
          "Claims that contain the consumer ID. The first one that the token has is used. Default: client_id, azp, sub.",
      }),
    ),
    tierClaim: optional(ClaimPath("The claim that contains a tier ID. It overrides the tier of the consumer.")),
    scopeClaim: optional(
      ClaimPath(
        "The claim that contains the scopes, separated by spaces or as a list. They narrow the scopes of the tier. Absent: the scopes of the tier.",
      ),
    ),
    unknownConsumers: optional(
      oneOf(
        ["deny", "allow"],
        "What happens to callers without a consumer record: deny them, or allow them with the tier in `tierClaim`. Default: deny.",
      ),
    ),
    forwardToken: optional(
      Type.Boolean({ description: "Whether the upstream receives the token: true or false. Default: true." }),
    ),
  },
  { ...closed, description: "For modes with access tokens: the accepted issuers, and the meaning of claims." },
);

export const ApiSchema = Type.Object(
  {
    id: LowerId,
    name: optional(DisplayName),
    hosts: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), {
      minItems: 1,
      maxItems: 256,
      description: 'Hosts without port: "*", "*.example.com" or an exact name.',
    }),
    paths: Type.Array(Path, {
      minItems: 1,
      maxItems: 256,
      description: "Path prefixes of whole segments. The longest match wins.",
    }),
    methods: optional(Methods),
    upstream: Type.Object(
      {
        service: Type.String({
          pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
          description: "The host name of the service.",
        }),
        port: U32(1, 65_535, "A port number, 1 to 65535."),
      },
      { ...closed, description: "The service behind the API." },
    ),
    auth: optional(
      Type.Object(
        {
          mode: oneOf(
            namesOf(authMode),
            "The credentials that a caller must present: key, jwt, key-or-jwt, key-and-jwt (a key and a token of the same consumer), mtls (a client certificate in the mesh) or none.",
          ),
          jwt: optional(AuthJwtSchema),
        },
        { ...closed, description: "How callers authenticate. Default: {mode: key}." },
      ),
    ),
    scopes: optional(Scopes("Scopes that the caller needs. All are required.")),
    failureMode: optional(
      oneOf(
        failureModes,
        "What happens to requests when the gateway can't get allowance: closed (deny), open (allow) or local (allow from the offline reserve). Default: closed.",
      ),
    ),
    rateLimitHeaders: optional(
      Type.Boolean({
        description:
          "Whether responses include the RateLimit and RateLimit-Policy headers: true or false. Default: true.",
      }),
    ),
    legacyHeaders: optional(
      oneOf(
        namesOf(legacyHeaders),
        "Add X-RateLimit-Limit, -Remaining and -Reset headers: tyk (reset as a Unix time) or envoy (reset in seconds). Default: off.",
      ),
    ),
    routes: optional(list(RouteSchema, 500, "Routes of the API with their own cost, scopes and limits.")),
    limits: optional(Limits("Limits of the whole API.")),
    cors: optional(CorsSchema),
    traffic: optional(TrafficSchema),
  },
  { ...closed, description: "An API: its hosts, paths and methods, its upstream and its access rules." },
);

export const TierSchema = Type.Object(
  {
    id: LowerId,
    name: optional(DisplayName),
    scopes: optional(Scopes('Scopes of callers in this tier. "*": every scope.')),
    apis: optional(list(LowerId, 1000, "IDs of the APIs that callers in this tier may call. Absent: every API.")),
    limits: optional(Limits("Limits of this tier. Empty: unlimited.")),
  },
  { ...closed, description: "A tier: limits, scopes and APIs that many consumers share." },
);

export const ConsumerSchema = Type.Object(
  {
    id: RecordId,
    name: optional(DisplayName),
    tier: optional(LowerId),
    claims: optional(
      Type.Record(
        Type.String({ pattern: claimNamePattern }),
        Type.String({
          maxLength: 1024,
          pattern: "^[\\x20-\\x7E]*$",
          description: "The value of a claim: at most 1024 printable ASCII characters.",
        }),
        {
          ...closed,
          maxProperties: 64,
          description:
            "Identity claims that the upstream receives as headers. Names: 1 to 63 lower-case letters, digits and `-`.",
        },
      ),
    ),
    identities: optional(
      Type.Array(
        Type.String({ maxLength: 512, description: "A SPIFFE ID such as spiffe://cluster.local/ns/shop/sa/checkout." }),
        {
          maxItems: 16,
          description:
            "SPIFFE IDs that identify the consumer for APIs with `auth.mode: mtls`, at most 16. They must match exactly.",
        },
      ),
    ),
    suspended: optional(
      Type.Boolean({
        description:
          "true: deny all keys, tokens and certificates of the consumer. Absent: unchanged; false for a new consumer.",
      }),
    ),
  },
  { ...closed, description: "A consumer: an account that calls APIs." },
);

const keyFields = {
  consumer: RecordId,
  name: optional(DisplayName),
  tier: optional(LowerId),
  state: optional(oneOf(keyStates, "active, suspended or revoked. Absent: unchanged; active for a new key.")),
  notBefore: optional(Time),
  expiresAt: optional(Time),
  allowedCidrs: optional(
    list(
      Type.String({ maxLength: 50 }),
      255,
      "Networks that callers must call from, such as 10.0.0.0/8. Empty: any network.",
    ),
  ),
  apis: optional(
    list(
      LowerId,
      1000,
      "IDs of APIs that the key may call. Narrows the APIs of the tier. Absent: all APIs of the tier.",
    ),
  ),
  scopes: optional(Scopes("Scopes of the key. Narrows the scopes of the tier. Absent: all scopes of the tier.")),
  limits: optional(Limits("Limits that override the limits of the tier with the same name.")),
};
const Sha256 = Type.String({
  pattern: "^[0-9A-Fa-f]{64}$",
  description: "The SHA-256 digest of the complete key, 64 hex digits. Never the key itself.",
});
const Prefix = Type.String({ pattern: "^[\\x21-\\x7E]{1,48}$", description: "The visible start of the key." });

export const KeySchema = Type.Object(
  { id: RecordId, sha256: Sha256, prefix: optional(Prefix), ...keyFields, rotatedTo: optional(RecordId) },
  { ...closed, description: "An API key, stored as a digest." },
);

/** The body that issues a key: no digest, since control makes the key. */
export const IssueKeySchema = Type.Object(
  { id: optional(RecordId), ...keyFields },
  { ...closed, description: "An API key to create." },
);

/** One line of an import: a digest, or a key of any form that is digested at once and never kept. */
export const ImportKeySchema = Type.Object(
  {
    id: optional(RecordId),
    sha256: optional(Sha256),
    key: optional(Type.String({ minLength: 1, maxLength: 256, description: "A key of 1 to 256 characters." })),
    prefix: optional(Prefix),
    ...keyFields,
  },
  { ...closed, description: "An API key to import, with either `sha256` or `key`." },
);

const InternalTokenSchema = Type.Object(
  {
    enabled: optional(
      Type.Boolean({ description: "Whether the control plane issues internal tokens: true or false. Default: true." }),
    ),
    issuer: Type.String({
      pattern: "^[\\x21-\\x7E]{1,256}$",
      description:
        "The `iss` claim of the tokens: a URL or a name of 1 to 256 printable ASCII characters without spaces, such as https://tollgate.example.com.",
    }),
    audiences: optional(
      Type.Array(
        Type.String({
          pattern: "^[\\x21-\\x7E]{1,256}$",
          description: "An audience: 1 to 256 printable ASCII characters without spaces.",
        }),
        {
          minItems: 1,
          maxItems: 10,
          description: "The `aud` claim of the tokens: 1 to 10 names. Default: [tollgate].",
        },
      ),
    ),
    lifetimeSeconds: optional(U32(60, 3600, "How long a token is valid, 60 to 3600 seconds. Default: 300.")),
  },
  {
    ...closed,
    description:
      "Internal tokens, which identify the caller to services in the mesh. Absent: unchanged; a new environment issues none.",
  },
);

export const FileSchema = Type.Object(
  {
    version: Type.Literal(1, { description: "The version of the file format: 1." }),
    environment: optional(EnvironmentId),
    internalToken: optional(InternalTokenSchema),
    apis: optional(Type.Array(ApiSchema)),
    tiers: optional(Type.Array(TierSchema)),
    consumers: optional(Type.Array(ConsumerSchema)),
    keys: optional(Type.Array(KeySchema)),
  },
  {
    ...closed,
    $id: "https://tollgate.dev/schema/tollgate.schema.json",
    title: "tollgate.yaml",
    description: "The configuration of one Tollgate environment.",
  },
);

export type LimitInput = Static<typeof LimitSchema>;
export type CorsInput = Static<typeof CorsSchema>;
export type RouteInput = Static<typeof RouteSchema>;
export type AuthJwtInput = Static<typeof AuthJwtSchema>;
export type ApiInput = Static<typeof ApiSchema>;
export type TierInput = Static<typeof TierSchema>;
export type ConsumerInput = Static<typeof ConsumerSchema>;
export type KeyInput = Static<typeof KeySchema>;
export type IssueKeyInput = Static<typeof IssueKeySchema>;
export type ImportKeyInput = Static<typeof ImportKeySchema>;
export type InternalTokenInput = Static<typeof InternalTokenSchema>;
export type FileInput = Static<typeof FileSchema>;

/** Bodies of PUT: the id is in the path and may be left out, and a key keeps its digest when none is given. */
export const PutApiSchema = Type.Object({ ...ApiSchema.properties, id: optional(LowerId) }, closed);
export const PutTierSchema = Type.Object({ ...TierSchema.properties, id: optional(LowerId) }, closed);
export const PutConsumerSchema = Type.Object({ ...ConsumerSchema.properties, id: optional(RecordId) }, closed);
export const PutKeySchema = Type.Object(
  { ...KeySchema.properties, id: optional(RecordId), sha256: optional(Sha256) },
  closed,
);
