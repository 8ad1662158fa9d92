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
export const claimNamePattern = "^[a-z0-9-]{1,63}$";
const scopePattern = "^[\\x21\\x23-\\x5B\\x5D-\\x7E]{1,128}$";
const tokenPattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$";

const closed = { additionalProperties: false } as const;

/** A string out of a fixed set, as one `enum`, so that an error names the choices. */
function oneOf<const T extends readonly string[]>(values: T, description: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
}

const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const list = <T extends TSchema>(items: T, maxItems: number, description: string) => Type.Array(items, { maxItems, description });

export const EnvironmentId = Type.String({
  pattern: environmentPattern,
  description: "An environment's name: 1 to 32 lower-case letters, digits and `-`.",
});
const LowerId = Type.String({
  pattern: lowerIdPattern,
  description: "An id: 1 to 63 lower-case letters, digits, `.`, `_`, `-`; the first a letter or a digit.",
});
const RecordId = Type.String({
  pattern: recordIdPattern,
  description: "An id: 1 to 63 letters, digits, `.`, `_`, `-`; the first a letter or a digit.",
});
export const DisplayName = Type.String({
  minLength: 1,
  maxLength: 200,
  // Neither do control characters belong into names, nor can every database keep NUL or half a surrogate pair.
  pattern: "^[^\\u0000-\\u001f\\u007f-\\u009f\\ud800-\\udfff]+$",
  description: "A name for people, 1 to 200 characters, no control characters.",
});
const Scope = Type.String({
  pattern: scopePattern,
  description: "A scope: 1 to 128 printable ASCII characters without space, `\"` and `\\`.",
});
const Scopes = (description: string) => list(Scope, 100, description);
const Methods = list(
  Type.String({ pattern: "^[A-Za-z][A-Za-z0-9-]{0,31}$", description: "An HTTP method, such as GET." }),
  32,
  "HTTP methods; empty: any. GET includes HEAD.",
);
const Path = Type.String({ minLength: 1, maxLength: 512, description: "A normalized path such as `/v1/search`: a prefix that ends on a segment's border." });
const Time = Type.String({ maxLength: 40, description: "A time of RFC 3339 with its offset, such as 2027-01-01T00:00:00Z." });
const U32 = (minimum: number, maximum: number, description: string) => Type.Integer({ minimum, maximum, description });

export const LimitSchema = Type.Object(
  {
    name: LowerId,
    kind: oneOf(namesOf(limitKind), "rate: N per window; quota: N per period."),
    limit: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: "How much is allowed, a whole number, 0 and more." }),
    windowSeconds: optional(U32(1, 2_678_400, "Only of a rate: the window's length, 1 to 2678400 whole seconds.")),
    period: optional(Type.String({ description: "Only of a quota: day, week, month, or a length such as `30d` or `12h`." })),
    anchor: optional(oneOf(["calendar", "firstUse"], "Only of a quota: calendar (UTC) or firstUse.")),
    subject: optional(oneOf(namesOf(subject), "What is counted. Default: key.")),
    enforcement: optional(oneOf(["global", "gateway"], "global: one count for all gateways; gateway: each gateway counts for itself. Default: global.")),
    mode: optional(oneOf(["enforce", "shadow"], "shadow: counts and reports, refuses nothing. Default: enforce.")),
    smoothing: optional(
      Type.Object(
        { perSecond: U32(1, 4_294_967_295, "A whole number, 1 and more."), burst: U32(1, 4_294_967_295, "A whole number, 1 and more.") },
        { ...closed, description: "Only of a rate: paces calls per gateway." },
      ),
    ),
  },
  { ...closed, description: "A rate or a quota." },
);
const Limits = (description: string) => list(LimitSchema, 32, description);

export const CorsSchema = Type.Object(
  {
    allowOrigins: Type.Array(Type.String({ minLength: 1, maxLength: 300 }), {
      minItems: 1,
      maxItems: 100,
      description: 'Origins: "*", an exact origin such as https://app.example.com, or https://*.example.com.',
    }),
    allowMethods: optional(Methods),
    allowHeaders: optional(list(Type.String({ pattern: tokenPattern, description: "A header's name." }), 100, "Request headers that a browser may send.")),
    exposeHeaders: optional(list(Type.String({ pattern: tokenPattern, description: "A header's name." }), 100, "Response headers that a script may read.")),
    maxAgeSeconds: optional(U32(0, 86_400, "How long a browser may keep a preflight's answer, 0 to 86400 seconds. Default: 600.")),
    allowCredentials: optional(Type.Boolean({ description: "true or false. Default: false." })),
  },
  { ...closed, description: "Cross-origin rules: preflights pass, and refusals carry the headers that let a browser show the reason." },
);

export const RouteSchema = Type.Object(
  {
    path: Path,
    methods: optional(Methods),
    scopes: optional(Scopes("Scopes that the caller must have, all of them, on top of the API's.")),
    cost: optional(U32(0, 1_000_000, "What one call takes from every limit, a whole number from 0 to 1000000. Default: 1.")),
    limits: optional(Limits("Limits of this route alone.")),
  },
  { ...closed, description: "A part of an API with its own cost, scopes and limits. Its path is whole, not relative to the API's." },
);

const ClaimPath = (description: string) => Type.String({ pattern: "^[\\x21-\\x7E]{1,200}$", description });

export const TokenIssuerSchema = Type.Object(
  {
    issuer: Type.String({ pattern: "^[\\x21-\\x7E]{1,500}$", description: "What tokens carry as `iss`, to the byte: an address such as https://login.example.com/ (mind the last slash)." }),
    jwksUri: optional(Type.String({ pattern: "^https?://[\\x21-\\x7E]{1,500}$", description: "Where the issuer publishes its public keys: an address that begins with https://." })),
    jwks: optional(Type.String({ minLength: 2, maxLength: 65_536, description: "The issuer's public keys themselves, a JSON Web Key Set." })),
    audiences: optional(list(Type.String({ pattern: "^[\\x21-\\x7E]{1,500}$", description: "An audience, as tokens carry it as `aud`." }), 32, "Audiences of which a token must carry one. Empty: any.")),
  },
  { ...closed, description: "Who signs tokens, where its public keys are, and for whom its tokens must be." },
);

export const AuthJwtSchema = Type.Object(
  {
    issuers: Type.Array(TokenIssuerSchema, { minItems: 1, maxItems: 10, description: "Whose tokens are taken, 1 to 10. Envoy verifies them; the filter compares `iss` and `aud`." }),
    consumerClaims: optional(Type.Array(ClaimPath("A claim's name, or a path to it such as `app.id`."), { minItems: 1, maxItems: 10, description: "Claims that may name the consumer's id; the first that a token has counts. Default: client_id, azp, sub." })),
    tierClaim: optional(ClaimPath("The claim whose value is a tier's id, which then counts in place of the consumer's own tier.")),
    scopeClaim: optional(ClaimPath("The claim with the token's scopes, separated by blanks or as a list; they narrow the tier's. Absent: the tier's.")),
    unknownConsumers: optional(oneOf(["deny", "allow"], "Callers that no consumer record names: deny, or allow by the tier in `tierClaim`. Default: deny.")),
    forwardToken: optional(Type.Boolean({ description: "Whether the upstream gets the token: true or false. Default: true." })),
  },
  { ...closed, description: "Of modes with tokens: whose tokens are taken, and what their claims mean." },
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
    paths: Type.Array(Path, { minItems: 1, maxItems: 256, description: "Path prefixes on segment borders; the longest match wins." }),
    methods: optional(Methods),
    upstream: Type.Object(
      {
        service: Type.String({ pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$", description: "The service's host name." }),
        port: U32(1, 65_535, "A port, 1 to 65535."),
      },
      { ...closed, description: "Where the API is served." },
    ),
    auth: optional(
      Type.Object(
        {
          mode: oneOf(namesOf(authMode), "Credentials a caller must present: key, jwt, key-or-jwt, key-and-jwt (a key and a token of the same consumer), mtls (a client certificate in the mesh) or none."),
          jwt: optional(AuthJwtSchema),
        },
        { ...closed, description: "Who may call. Default: {mode: key}." },
      ),
    ),
    scopes: optional(Scopes("Scopes that the caller must have, all of them.")),
    failureMode: optional(oneOf(failureModes, "What happens when allowance can't be had: closed, open or local. Default: closed.")),
    rateLimitHeaders: optional(Type.Boolean({ description: "Whether responses tell by RateLimit and RateLimit-Policy what is left: true or false. Default: true." })),
    legacyHeaders: optional(oneOf(namesOf(legacyHeaders), "X-RateLimit-Limit, -Remaining and -Reset as well: tyk (the reset as a Unix time) or envoy (in seconds). Default: off.")),
    routes: optional(list(RouteSchema, 500, "Parts of the API with their own cost, scopes, limits.")),
    limits: optional(Limits("Limits of the API itself.")),
    cors: optional(CorsSchema),
    traffic: optional(TrafficSchema),
  },
  { ...closed, description: "Hosts, paths and methods that lead to an upstream, and who may call them." },
);

export const TierSchema = Type.Object(
  {
    id: LowerId,
    name: optional(DisplayName),
    scopes: optional(Scopes('What callers of this tier may do; "*": every scope.')),
    apis: optional(list(LowerId, 1000, "Ids of the APIs that it may call. Absent: every API.")),
    limits: optional(Limits("Limits of this tier. None: unlimited.")),
  },
  { ...closed, description: "Named limits, scopes and APIs that many consumers share." },
);

export const ConsumerSchema = Type.Object(
  {
    id: RecordId,
    name: optional(DisplayName),
    tier: optional(LowerId),
    claims: optional(
      Type.Record(
        Type.String({ pattern: claimNamePattern }),
        Type.String({ maxLength: 1024, pattern: "^[\\x20-\\x7E]*$", description: "A claim's value: at most 1024 printable ASCII characters." }),
        { ...closed, maxProperties: 64, description: "Facts on the caller, sent as headers; names of 1 to 63 lower-case letters, digits and `-`." },
      ),
    ),
    identities: optional(
      Type.Array(Type.String({ maxLength: 512, description: "A SPIFFE id such as spiffe://cluster.local/ns/shop/sa/checkout." }), {
        maxItems: 16,
        description: "SPIFFE ids by which it calls APIs with `auth.mode: mtls`, at most 16, exact.",
      }),
    ),
    suspended: optional(Type.Boolean({ description: "true refuses all its keys, tokens and certificates. Absent: as it is; false at first." })),
  },
  { ...closed, description: "A person, an app or an organization that calls APIs." },
);

const keyFields = {
  consumer: RecordId,
  name: optional(DisplayName),
  tier: optional(LowerId),
  state: optional(oneOf(keyStates, "active, suspended or revoked. Absent: as it is; active at first.")),
  notBefore: optional(Time),
  expiresAt: optional(Time),
  allowedCidrs: optional(list(Type.String({ maxLength: 50 }), 255, "Networks that callers must come from, such as 10.0.0.0/8. Empty: any.")),
  apis: optional(list(LowerId, 1000, "Ids of APIs; narrows the tier's. Absent: all of the tier's.")),
  scopes: optional(Scopes("Narrows the tier's scopes. Absent: all of the tier's.")),
  limits: optional(Limits("In place of the tier's limits of the same name.")),
};
const Sha256 = Type.String({ pattern: "^[0-9A-Fa-f]{64}$", description: "The SHA-256 of the whole key, 64 hex digits. Never the key itself." });
const Prefix = Type.String({ pattern: "^[\\x21-\\x7E]{1,48}$", description: "The visible start of the key." });

export const KeySchema = Type.Object(
  { id: RecordId, sha256: Sha256, prefix: optional(Prefix), ...keyFields, rotatedTo: optional(RecordId) },
  { ...closed, description: "A key, by its digest." },
);

/** The body that issues a key: no digest, since control makes the key. */
export const IssueKeySchema = Type.Object({ id: optional(RecordId), ...keyFields }, { ...closed, description: "A key to be issued." });

/** One line of an import: a digest, or a key of any form that is digested at once and never kept. */
export const ImportKeySchema = Type.Object(
  {
    id: optional(RecordId),
    sha256: optional(Sha256),
    key: optional(Type.String({ minLength: 1, maxLength: 256, description: "A key of 1 to 256 characters." })),
    prefix: optional(Prefix),
    ...keyFields,
  },
  { ...closed, description: "A key to be imported: `sha256` or `key`, one of them." },
);

export const InternalTokenSchema = Type.Object(
  {
    enabled: optional(Type.Boolean({ description: "false: no tokens are issued. Default: true." })),
    issuer: Type.String({ pattern: "^[\\x21-\\x7E]{1,256}$", description: "The tokens' `iss`: a URL or a name of 1 to 256 printable ASCII characters without space, such as https://tollgate.example.com." }),
    audiences: optional(
      Type.Array(Type.String({ pattern: "^[\\x21-\\x7E]{1,256}$", description: "An audience: 1 to 256 printable ASCII characters without space." }), {
        minItems: 1,
        maxItems: 10,
        description: "The tokens' `aud`: 1 to 10 names. Default: [tollgate].",
      }),
    ),
    lifetimeSeconds: optional(U32(60, 3600, "How long a token is valid, 60 to 3600 seconds. Default: 300.")),
  },
  { ...closed, description: "The tokens of control's own that tell services in the mesh who calls. Absent: as it is; at first none are issued." },
);

export const FileSchema = Type.Object(
  {
    version: Type.Literal(1, { description: "The format's version: 1." }),
    environment: optional(EnvironmentId),
    internalToken: optional(InternalTokenSchema),
    apis: optional(Type.Array(ApiSchema)),
    tiers: optional(Type.Array(TierSchema)),
    consumers: optional(Type.Array(ConsumerSchema)),
    keys: optional(Type.Array(KeySchema)),
  },
  { ...closed, $id: "https://tollgate.dev/schema/tollgate.schema.json", title: "tollgate.yaml", description: "One environment of Tollgate." },
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
export const PutKeySchema = Type.Object({ ...KeySchema.properties, id: optional(RecordId), sha256: optional(Sha256) }, closed);
