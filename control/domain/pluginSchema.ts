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

const whole = (minimum: number, maximum: number, standard: number, description: string) =>
  Type.Integer({ minimum, maximum, default: standard, description });

const tokenByte = "[!#$%&'*+.^_`|~0-9A-Za-z-]";
const token = `^${tokenByte}{1,128}$`;

/** Matches the names that a backend could take for this one: any case, and any byte but letters and digits for `-`. */
function folded(name: string): string {
  return [...name]
    .map((c) => (/[a-z]/.test(c) ? `[${c.toUpperCase()}${c}]` : /\d/.test(c) ? c : "[^0-9A-Za-z]"))
    .join("");
}

function header(taken: readonly string[], description: string) {
  return Type.String({ pattern: token, not: { pattern: `^(?:${taken.map(folded).join("|")})$` }, description });
}

const keyHeader = header(
  messageHeaders,
  "The name of a header, at most 128 bytes, case-insensitive. Not a header that frames the message, such as Host or Cookie. `authorization` uses the raw value of that header.",
);
const claimHeader = header(
  [...messageHeaders, "authorization"],
  "The name of a header, at most 128 bytes, case-insensitive. Not Authorization or a header that frames the message, such as Host or Cookie.",
);

/** What a prefix would take along: every beginning of these headers that ends with `-`. */
const takenPrefixes = [
  ...new Set(messageHeaders.flatMap((name) => [...name.matchAll(/-/g)].map(({ index }) => name.slice(0, index + 1)))),
];

const base64Digit = "[A-Za-z0-9+/_-]";
const base64 = `^(?:${base64Digit}{4})*(?:${base64Digit}[AQgw](?:==)?|${base64Digit}{2}[AEIMQUYcgkosw048]=?)?$`;
/** 128 KiB in base64 */
const snapshotMaxChars = 174_764;

const ControlSchema = Type.Object(
  {
    cluster: Type.String({
      pattern: "^[\\x21-\\x7E]+$",
      description:
        "The name of the Envoy cluster for the sync port of the control plane. In Istio: `outbound|8091||<service>.<namespace>.svc.cluster.local`.",
    }),
    authority: Type.String({
      pattern: "^[\\x21-\\x7E]+$",
      description: "The `:authority` (host) of calls to the control plane.",
    }),
    tokenEnv: optional(
      Type.String({
        pattern: "^[A-Za-z_][A-Za-z0-9_]{0,127}$",
        default: "TOLLGATE_GATEWAY_TOKEN",
        description:
          "The name of the VM environment variable that contains the gateway token. Never set the token itself: the Envoy admin interface shows this configuration.",
      }),
    ),
    timeoutMs: optional(
      whole(
        100,
        60_000,
        5000,
        "Timeout of calls to the control plane, in milliseconds. For a watch, `waitMs` is added.",
      ),
    ),
    waitMs: optional(
      whole(
        100,
        55_000,
        25_000,
        "How long the control plane may hold a watch open while nothing changes, in milliseconds.",
      ),
    ),
  },
  { ...closed, description: "Load the configuration from a control plane. Excludes `snapshot`." },
);

const SourceSchema = Type.Object(
  {
    header: optional(keyHeader),
    bearer: optional(
      Type.Literal(true, {
        description: "`Authorization: Bearer <key>`. Only true is allowed. To disable the source, omit it.",
      }),
    ),
    query: optional(
      Type.String({
        minLength: 1,
        maxLength: 128,
        description: "The name of a query parameter, decoded, at most 128 bytes, case-sensitive.",
      }),
    ),
    cookie: optional(
      Type.String({ pattern: token, description: "The name of a cookie, at most 128 bytes, case-sensitive." }),
    ),
  },
  {
    ...closed,
    minProperties: 1,
    maxProperties: 1,
    description: "One key source: exactly one of header, bearer, query and cookie.",
  },
);

const ClaimNamesSchema = Type.Unsafe<Record<string, string>>({
  type: "object",
  patternProperties: { "^(?:consumer|tier|key-id|scopes|claim-[a-z0-9-]{1,122})$": claimHeader },
  additionalProperties: false,
  description:
    "Header names that replace `<prefix><claim>`, by claim: consumer, tier, key-id, scopes, or `claim-<name>` for a claim of the consumer, at most 64 of these. Not Authorization or a header that frames the message.",
});

const ClaimsSchema = Type.Object(
  {
    prefix: optional(
      Type.String({
        pattern: `^[A-Za-z0-9]${tokenByte}{0,126}-$`,
        not: { pattern: `^(?:${takenPrefixes.map(folded).join("|")})$` },
        default: "x-tollgate-",
        description:
          "The prefix of identity headers. It begins with a letter or digit, ends with `-` and has at most 128 bytes. The filter removes every request header with this prefix, so headers that frame the message must not begin with it (`x-`, `content-`, …).",
      }),
    ),
    names: optional(ClaimNamesSchema),
    token: optional(
      Type.String({
        pattern: token,
        not: { pattern: `^(?:${[...messageHeaders, "authorization"].map(folded).join("|")})$` },
        description:
          "The header for the internal token that the control plane signs for each caller, usually `x-tollgate-token`. The filter removes it from requests, like other identity headers. Absent: no internal tokens. Excludes `snapshot`.",
      }),
    ),
  },
  { ...closed, description: "The identity headers, which identify the caller to the upstream." },
);

export const PluginSchema = Type.Object(
  {
    control: optional(ControlSchema),
    snapshot: optional(
      Type.String({
        minLength: 1,
        maxLength: snapshotMaxChars,
        pattern: base64,
        description:
          "Load the configuration from this snapshot: the base64 output of `tollgate compile`, at most 128 KiB before encoding. Excludes `control`.",
      }),
    ),
    environment: optional(
      Type.String({
        pattern: environmentPattern,
        description:
          "The environment of the gateway: 1 to 32 lower-case letters, digits and `-`. Required, unless the configuration is empty.",
      }),
    ),
    keySources: optional(
      Type.Array(SourceSchema, {
        minItems: 1,
        maxItems: 8,
        uniqueItems: true,
        default: [{ header: "x-api-key" }, { bearer: true }],
        description:
          "Where the filter looks for keys, in this order. The first source that contains a key is used. 1 to 8 different sources.",
      }),
    ),
    claims: optional(ClaimsSchema),
    unknownApi: optional(
      oneOf(
        ["deny", "allow"],
        "What happens to requests that match no API. `deny`: respond with 404. `allow`: forward them without keys and identity headers.",
      ),
    ),
    pathCase: optional(
      oneOf(
        ["insensitive", "sensitive"],
        "How upstreams treat the case of paths. `insensitive`: some upstreams may ignore case, so the filter denies a path that matches another API or route when case is ignored (`path_ambiguous`). `sensitive`: every upstream distinguishes `/Admin` from `/admin`.",
      ),
    ),
    failureMode: optional(
      oneOf(
        ["closed", "open"],
        "What happens to requests while there is no snapshot or it is too old. `closed`: respond with 503. `open`: forward them unchecked, without keys, with the header `<prefix>unchecked`.",
      ),
    ),
    snapshotWaitTimeoutMs: optional(
      whole(
        0,
        60_000,
        2000,
        "How long a request waits for the first snapshot, in milliseconds, before `failureMode` applies. 0: no wait.",
      ),
    ),
    maxSnapshotWaiters: optional(
      whole(
        0,
        8192,
        1024,
        "The maximum number of requests in each worker that wait for the first snapshot. `failureMode` applies to further requests.",
      ),
    ),
    maxSnapshotAgeSeconds: optional(
      whole(
        0,
        316_224_000,
        86_400,
        "How long a snapshot stays valid without contact to the control plane, in seconds. 0: forever. Ignored with `snapshot`.",
      ),
    ),
    limitWaitTimeoutMs: optional(
      whole(
        0,
        10_000,
        1000,
        "How long a request waits for allowance from the control plane, in milliseconds, before the `failureMode` of the API applies. 0: no wait.",
      ),
    ),
    maxLimitWaiters: optional(
      whole(
        0,
        8192,
        1024,
        "The maximum number of requests in each worker that wait for allowance. The `failureMode` of the API applies to further requests.",
      ),
    ),
    maxCounters: optional(
      whole(
        1024,
        1_048_576,
        262_144,
        "The maximum number of counters (one limit of one caller) in the memory of each worker. When all are in use, the `failureMode` of the API applies to callers that need another counter; callers with a counter continue.",
      ),
    ),
    responseSamplesPerSecond: optional(
      whole(
        0,
        1_000_000,
        512,
        "The number of responses per second whose status and latency each worker records individually. Above this rate, it samples the first response in each usage batch of up to 512 callers and one in sixteen of the others, and extrapolates: `responses` and `latency` are then estimates. Allowed and denied requests are always counted exactly.",
      ),
    ),
    problemTypeBase: optional(
      Type.String({
        pattern: "^https?://[\\x21\\x23-\\x5b\\x5d-\\x7e]+$",
        minLength: 9,
        maxLength: 200,
        default: "https://tollgate.dev/reasons/",
        description:
          "The base URL of the `type` in problem documents; the reason code is appended. For example, an error reference in your developer portal.",
      }),
    ),
    peer: optional(
      Type.Object(
        {
          source: optional(
            oneOf(
              ["connection", "waypoint"],
              "`connection`: the client certificate. Envoy must validate its chain, as it does with Istio mTLS. `waypoint`: the identity that the ambient mesh of Istio forwards to a waypoint.",
            ),
          ),
        },
        { ...closed, description: "The source of the caller's SPIFFE ID, for APIs with `auth.mode: mtls`." },
      ),
    ),
    mode: optional(
      oneOf(
        ["enforce", "observe"],
        "`enforce`: deny requests. `observe`: decide, count and set identity headers, but deny nothing. Use it before a migration.",
      ),
    ),
    observe: optional(
      Type.Object(
        {
          key: optional(
            oneOf(
              ["strip", "keep"],
              "`strip`: remove keys from requests. `keep`: leave them, for another gateway behind this one that needs them.",
            ),
          ),
        },
        { ...closed, description: "Settings for `mode: observe`." },
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
      oneOf: [
        { properties: { control: true }, required: ["control"] },
        { properties: { snapshot: true }, required: ["snapshot"] },
      ],
      description: "Set either `control` or `snapshot`.",
    },
    $id: "https://tollgate.dev/schema/plugin.schema.json",
    title: "Plugin configuration",
    description: "The `pluginConfig` of a WasmPlugin, or the `configuration` of an Envoy Wasm filter.",
  },
);

export type PluginConfiguration = Static<typeof PluginSchema>;

/** What the filter refuses beyond the schema, for people. */
export const pluginRules: readonly string[] = [
  "Each field may appear only once.",
  "Header names are compared as an upstream could confuse them: case is ignored, and every byte except letters and digits counts as `-`. No two header sources may be equal in this comparison.",
  "No header source may begin with `claims.prefix` or be a header of `claims.names`.",
  "No two claims may use the same header. This includes claims that are not renamed, `<prefix>unchecked` and the internal token. A header in `claims.names` must not begin with `<prefix>claim-`.",
  "At most 64 claims of consumers (`claim-<name>`) can be renamed.",
  "The name of a query parameter has at most 128 bytes in UTF-8, not 128 characters.",
  "`snapshot` has at most 131072 bytes after decoding and must come from `tollgate compile` of this version.",
  "`claims.token` requires `control`: a standalone gateway has no signing key.",
  "With `control`, the environment variable that `control.tokenEnv` names must be set and not empty, both in `vm_config.environment_variables` (Istio: `vmConfig.env`) and in the environment of Envoy.",
];
