/**
 * The schema of the plugin's configuration: what the filter's own reader (assembly/config/parse.ts and its parts) takes, as far as JSON Schema
 * can say it. A test holds the two together. What it can't say is in `pluginRules`.
 */
import { type Static, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";
import { messageHeaders } from "../../protocol/enums.ts";
import { environmentPattern } from "./schema.ts";

const closed = { additionalProperties: false } as const;
const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);

/** A string out of a fixed set, as one `enum`, so that an error names the choices. */
function oneOf<const T extends readonly [string, ...string[]]>(values: T, description: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], default: values[0], description });
}

const whole = (minimum: number, maximum: number, standard: number, description: string) => Type.Integer({ minimum, maximum, default: standard, description });

const tokenByte = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
const token = `^${tokenByte}{1,128}$`;

/** Matches the names that a backend could take for this one: any case, and any byte but letters and digits for `-`. */
function folded(name: string): string {
  return [...name].map((c) => (/[a-z]/.test(c) ? `[${c.toUpperCase()}${c}]` : /\d/.test(c) ? c : "[^0-9A-Za-z]")).join("");
}

function header(taken: readonly string[], description: string) {
  return Type.String({ pattern: token, not: { pattern: `^(?:${taken.map(folded).join("|")})$` }, description });
}

const keyHeader = header(messageHeaders, "A header's name, at most 128 bytes, in any case; not one that carries the message, such as Host or Cookie. `authorization` takes the raw value of that header.");
const claimHeader = header([...messageHeaders, "authorization"], "A header's name, at most 128 bytes, in any case; not Authorization nor one that carries the message, such as Host or Cookie.");

/** What a prefix would take along: every beginning of these headers that ends with `-`. */
const takenPrefixes = [...new Set(messageHeaders.flatMap((name) => [...name.matchAll(/-/g)].map(({ index }) => name.slice(0, index + 1))))];

const base64Digit = "[A-Za-z0-9+/_-]";
const base64 = `^(?:${base64Digit}{4})*(?:${base64Digit}[AQgw](?:==)?|${base64Digit}{2}[AEIMQUYcgkosw048]=?)?$`;
/** 128 KiB in base64 */
const snapshotMaxChars = 174_764;

const ControlSchema = Type.Object(
  {
    cluster: Type.String({ pattern: "^[\\x21-\\x7E]+$", description: "Envoy's name of the cluster that leads to control's sync port; in Istio `outbound|8091||<service>.<namespace>.svc.cluster.local`." }),
    authority: Type.String({ pattern: "^[\\x21-\\x7E]+$", description: "The `:authority` (host) of calls to control." }),
    tokenEnv: optional(Type.String({ pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$", default: "TOLLGATE_GATEWAY_TOKEN", description: "The name of the VM's environment variable that holds the gateway token; never the token itself, since Envoy's admin page shows this configuration." })),
    timeoutMs: optional(whole(100, 60_000, 5000, "How long a call to control may take, in milliseconds, on top of `waitMs` for a watch.")),
    waitMs: optional(whole(100, 55_000, 25_000, "How long control may keep a watch waiting for news, in milliseconds.")),
  },
  { ...closed, description: "Keys come from a control service. Excludes `snapshot`." },
);

const SourceSchema = Type.Object(
  {
    header: optional(keyHeader),
    bearer: optional(Type.Literal(true, { description: "`Authorization: Bearer <key>`. Only true is allowed: leave the source out to switch it off." })),
    query: optional(Type.String({ minLength: 1, maxLength: 128, description: "A query parameter's name, decoded, at most 128 bytes; case counts." })),
    cookie: optional(Type.String({ pattern: token, description: "A cookie's name, at most 128 bytes; case counts." })),
  },
  { ...closed, minProperties: 1, maxProperties: 1, description: "One place: exactly one of header, bearer, query, cookie." },
);

const ClaimNamesSchema = Type.Unsafe<Record<string, string>>({
  type: "object",
  patternProperties: { "^(?:consumer|tier|key-id|scopes|claim-[a-z0-9-]{1,122})$": claimHeader },
  additionalProperties: false,
  description: "Headers in place of `<prefix><claim>`, by claim: consumer, tier, key-id, scopes, or `claim-<name>` for a consumer's own, at most 64 of these. Not Authorization nor a header that carries the message.",
});

const ClaimsSchema = Type.Object(
  {
    prefix: optional(
      Type.String({
        pattern: `^[A-Za-z0-9]${tokenByte}{0,126}-$`,
        not: { pattern: `^(?:${takenPrefixes.map(folded).join("|")})$` },
        default: "x-tollgate-",
        description: "What claim headers begin with: a letter or digit first, `-` last, at most 128 bytes. Every header of a request that begins so is removed, so it may not be the beginning of one that carries the message (`x-`, `content-`, …).",
      }),
    ),
    names: optional(ClaimNamesSchema),
    token: optional(
      Type.String({
        pattern: token,
        not: { pattern: `^(?:${[...messageHeaders, "authorization"].map(folded).join("|")})$` },
        description: "The header of the internal token that control signs for each caller, usually `x-tollgate-token`; like a claim's, and removed from requests as those are. Absent: none is fetched. Excludes `snapshot`.",
      }),
    ),
  },
  { ...closed, description: "The headers that tell an upstream who calls." },
);

export const PluginSchema = Type.Object(
  {
    control: optional(ControlSchema),
    snapshot: optional(Type.String({ minLength: 1, maxLength: snapshotMaxChars, pattern: base64, description: "Keys come from this snapshot, base64, of at most 128 KiB before that: what `tollgate compile` writes. Excludes `control`." })),
    environment: optional(Type.String({ pattern: environmentPattern, description: "The environment whose keys count: 1 to 32 lower-case letters, digits and `-`. Required, unless the configuration is empty." })),
    keySources: optional(
      Type.Array(SourceSchema, {
        minItems: 1,
        maxItems: 8,
        uniqueItems: true,
        default: [{ header: "x-api-key" }, { bearer: true }],
        description: "Where keys are looked for, in this order: the first place that carries one decides. 1 to 8 different places.",
      }),
    ),
    claims: optional(ClaimsSchema),
    unknownApi: optional(oneOf(["deny", "allow"], "Requests that belong to no API: `deny` answers 404, `allow` lets them go on without claims and without keys.")),
    pathCase: optional(oneOf(["insensitive", "sensitive"], "How upstreams may read the case of paths. `insensitive`: some may ignore it, so a path that without regard to case belongs to another API or route is refused (`path_ambiguous`). `sensitive`: every upstream tells `/Admin` from `/admin`.")),
    failureMode: optional(oneOf(["closed", "open"], "Requests while there is no snapshot, or too old a one: `closed` answers 503; `open` lets them go on, unchecked, without keys, marked by the header `<prefix>unchecked`.")),
    snapshotWaitTimeoutMs: optional(whole(0, 60_000, 2000, "How long a request waits for the first snapshot, in milliseconds, before `failureMode` applies. 0: not at all.")),
    maxSnapshotWaiters: optional(whole(0, 8192, 1024, "How many requests each worker holds at a time; one more is not held.")),
    maxSnapshotAgeSeconds: optional(whole(0, 316_224_000, 86_400, "Once control has not answered for this long, what is loaded counts as none. 0: never. Has no meaning with `snapshot`.")),
    limitWaitTimeoutMs: optional(whole(0, 10_000, 1000, "How long a request waits for allowance that is being fetched, in milliseconds, before the API's `failureMode` applies. 0: not at all.")),
    maxLimitWaiters: optional(whole(0, 8192, 1024, "How many requests each worker lets wait for allowance at a time; the API's `failureMode` applies to one more.")),
    maxCounters: optional(whole(1024, 1_048_576, 262_144, "How many counters (a limit of one caller) each worker keeps in memory. When they are in use, the API's `failureMode` applies to callers that would need one more; those that have one go on.")),
    responseSamplesPerSecond: optional(whole(0, 1_000_000, 512, "How many responses per second each worker looks at one by one for their status and time. Beyond that it looks at the first one of a batch of usage of up to 512 callers, and at one in sixteen of the others; usage takes the rest to have gone as these: `responses` and `latency` are estimates then. Admissions and refusals are always counted exactly.")),
    problemTypeBase: optional(Type.String({ pattern: "^https?://[\\x21\\x23-\\x5b\\x5d-\\x7e]+$", minLength: 9, maxLength: 200, default: "https://tollgate.dev/reasons/", description: "The URL that a reason's code completes to the `type` of a problem document, such as your developer portal's page about refusals." })),
    peer: optional(
      Type.Object(
        { source: optional(oneOf(["connection", "waypoint"], "`connection`: the client's certificate, of which Envoy must have validated the chain (Istio's mTLS does). `waypoint`: the identity that Istio's ambient mesh passes on to a waypoint.")) },
        { ...closed, description: "Where the caller's SPIFFE id comes from, for APIs with `auth.mode: mtls`." },
      ),
    ),
    mode: optional(oneOf(["enforce", "observe"], "`observe` decides, counts and sets claims, and refuses nothing: to run ahead of a cut-over.")),
    observe: optional(
      Type.Object(
        { key: optional(oneOf(["strip", "keep"], "`keep` leaves keys in requests, for a gateway behind that still needs them.")) },
        { ...closed, description: "Heeded with `mode: observe` alone." },
      ),
    ),
  },
  {
    ...closed,
    // An empty one loads, and answers every request with not_configured.
    if: { minProperties: 1 },
    then: {
      properties: { environment: true },
      required: ["environment"],
      oneOf: [{ properties: { control: true }, required: ["control"] }, { properties: { snapshot: true }, required: ["snapshot"] }],
      description: "Give `control` or `snapshot`, one of them.",
    },
    $id: "https://tollgate.dev/schema/plugin.schema.json",
    title: "The plugin's configuration",
    description: "What a WasmPlugin's `pluginConfig`, or an Envoy Wasm filter's `configuration`, holds.",
  },
);

export type PluginConfiguration = Static<typeof PluginSchema>;

/** What the filter refuses beyond the schema, for people. */
export const pluginRules: readonly string[] = [
  "A field may be given once.",
  "Names of headers are compared as a backend may confuse them: any case, and every byte but letters and digits counts as `-`. So compared, no two header sources may be the same.",
  "No header source may begin with `claims.prefix` or be a header of `claims.names`.",
  "No two claims may go into one header, the ones that were not renamed, `<prefix>unchecked` and the internal token included; and none that is named may begin with `<prefix>claim-`.",
  "At most 64 of a consumer's own claims (`claim-<name>`) can be renamed.",
  "A query parameter's name has at most 128 bytes of UTF-8, not characters.",
  "`snapshot` has at most 131072 bytes once decoded, and is what `tollgate compile` of this version writes.",
  "`claims.token` goes with `control` alone: a standalone gateway has nobody who signs.",
  "With `control`, the variable that `control.tokenEnv` names must be there and not empty: in `vm_config.environment_variables` (Istio: `vmConfig.env`), and where Envoy starts.",
];
