/**
 * The part of an API's definition that is about its way through the gateway, not about who may call: `tollgate manifests` makes routes of
 * it. The filter doesn't know it, so it's no part of the snapshot.
 */
import { type Static, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";

const closed = { additionalProperties: false } as const;
const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const whole = (minimum: number, maximum: number, description: string) =>
  Type.Integer({ minimum, maximum, description });
const seconds = (description: string) => Type.Number({ minimum: 0.001, maximum: 86_400, description });

function oneOf<const T extends readonly string[]>(values: T, description: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
}

const headerNamePattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";
const HeaderName = Type.String({ pattern: headerNamePattern, description: "The name of a header." });
/** `%` would begin one of Envoy's substitutions, and a wrong one makes it refuse all routes. */
const HeaderValue = Type.String({
  maxLength: 1024,
  pattern: "^(?:[\\x21-\\x24\\x26-\\x7E](?:[\\x20-\\x24\\x26-\\x7E]*[\\x21-\\x24\\x26-\\x7E])?)$",
  description:
    "The value of a header: 1 to 1024 printable ASCII characters without `%`, and without a space at the beginning or end.",
});
const HeaderValues = (description: string) =>
  Type.Record(Type.String({ pattern: headerNamePattern }), HeaderValue, { ...closed, maxProperties: 16, description });
const Path = (description: string) => Type.String({ minLength: 1, maxLength: 512, description });
const Service = Type.String({
  pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$",
  description: "The host name of the service.",
});

const TlsSchema = Type.Object(
  {
    credentialName: Type.String({
      pattern: "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$",
      description: "The Secret with the certificate and private key, in the namespace of the gateway.",
    }),
    redirect: optional(
      Type.Boolean({ description: "Whether plain HTTP is redirected to HTTPS: true or false. Default: true." }),
    ),
  },
  {
    ...closed,
    description:
      "HTTPS for the hosts of the API. Absent: HTTP, unless another API sets a certificate for one of the hosts.",
  },
);

const RewriteSchema = Type.Object(
  { prefix: Path("The path prefix that replaces the path of the API, such as `/`.") },
  { ...closed, description: "Rewrites the path prefix before the request reaches the upstream." },
);

const HeaderChangesSchema = (what: string) =>
  Type.Object(
    {
      set: optional(HeaderValues("Headers to set, by name. Existing values are replaced.")),
      add: optional(HeaderValues("Headers to add, by name. Existing values are kept.")),
      remove: optional(Type.Array(HeaderName, { maxItems: 16, description: "Headers to remove." })),
    },
    { ...closed, description: `Changes to the ${what} headers.` },
  );

const retryReasons = [
  "5xx",
  "gateway-error",
  "reset",
  "connect-failure",
  "retriable-4xx",
  "refused-stream",
  "cancelled",
  "deadline-exceeded",
  "internal",
  "resource-exhausted",
  "unavailable",
] as const;

const RetriesSchema = Type.Object(
  {
    attempts: whole(0, 10, "The maximum number of retries, 0 to 10. 0: no retries."),
    perTryTimeoutSeconds: optional(seconds("Timeout of each attempt, in seconds. Absent: the timeout of the request.")),
    on: optional(
      Type.Array(oneOf(retryReasons, "A retry condition of Envoy."), {
        minItems: 1,
        maxItems: 11,
        description:
          "When to retry. Absent: the default of Istio, which retries only if the upstream can't have processed the request.",
      }),
    ),
  },
  { ...closed, description: "Retries failed requests. A request counts once toward limits, including its retries." },
);

const MatchSchema = Type.Object(
  {
    path: optional(Path("A path prefix within the paths of the API. Like the path of a route, it is complete.")),
    header: optional(
      Type.Record(Type.String({ pattern: headerNamePattern }), HeaderValue, {
        ...closed,
        minProperties: 1,
        maxProperties: 8,
        description: "Headers and values that a request must have.",
      }),
    ),
  },
  { ...closed, description: "The requests that the version receives. Absent: the remaining requests, by weight." },
);

export const VersionSchema = Type.Object(
  {
    name: Type.String({
      pattern: "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
      description: "The name of a version: 1 to 32 lower-case letters, digits and `-`.",
    }),
    labels: optional(
      Type.Record(
        Type.String({ pattern: "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$" }),
        Type.String({
          pattern: "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
          description: "The value of a label.",
        }),
        {
          ...closed,
          minProperties: 1,
          maxProperties: 16,
          description: "Labels of the service pods that run this version. Only with `--routing istio`.",
        },
      ),
    ),
    upstream: optional(
      Type.Object(
        { service: Service, port: whole(1, 65_535, "A port number, 1 to 65535.") },
        { ...closed, description: "A separate service for the version." },
      ),
    ),
    weight: optional(
      whole(
        0,
        100,
        "The percentage of requests, among those without a `match`, that the version receives. The weights must add up to 100.",
      ),
    ),
    match: optional(MatchSchema),
    rewrite: optional(RewriteSchema),
  },
  { ...closed, description: "A version of the API, selected by path, header or weight." },
);

const CircuitBreakingSchema = Type.Object(
  {
    maxConnections: optional(whole(1, 1_000_000, "Maximum number of connections from each gateway to the upstream.")),
    maxPendingRequests: optional(whole(1, 1_000_000, "Maximum number of requests waiting for a connection.")),
    maxRequests: optional(whole(1, 1_000_000, "Maximum number of concurrent requests.")),
    maxRequestsPerConnection: optional(whole(0, 1_000_000, "Maximum number of requests per connection. 0: unlimited.")),
    consecutive5xxErrors: optional(
      whole(0, 10_000, "Number of consecutive 5xx responses after which an endpoint is ejected. 0: never."),
    ),
    intervalSeconds: optional(seconds("How often endpoints are checked for ejection, in seconds.")),
    baseEjectionSeconds: optional(seconds("How long an endpoint is ejected the first time, in seconds.")),
    maxEjectionPercent: optional(whole(0, 100, "Maximum percentage of endpoints that may be ejected.")),
  },
  { ...closed, description: "Limits on connections and requests to the upstream, and ejection of failing endpoints." },
);

export const TrafficSchema = Type.Object(
  {
    tls: optional(TlsSchema),
    rewrite: optional(RewriteSchema),
    timeoutSeconds: optional(seconds("Timeout of the upstream, including retries, in seconds. Absent: no timeout.")),
    retries: optional(RetriesSchema),
    headers: optional(
      Type.Object(
        { request: optional(HeaderChangesSchema("request")), response: optional(HeaderChangesSchema("response")) },
        { ...closed, description: "Changes to request and response headers." },
      ),
    ),
    versions: optional(Type.Array(VersionSchema, { minItems: 1, maxItems: 16, description: "Versions of the API." })),
    loadBalancing: optional(
      oneOf(
        ["roundRobin", "leastRequest", "random"],
        "The load balancing policy. Absent: the default of Istio, leastRequest.",
      ),
    ),
    consistentHash: optional(
      Type.Object(
        { header: HeaderName },
        {
          ...closed,
          description: "Send requests with the same value of a header to the same endpoint. Replaces `loadBalancing`.",
        },
      ),
    ),
    circuitBreaking: optional(CircuitBreakingSchema),
    external: optional(
      Type.Object(
        {
          tls: optional(
            Type.Boolean({
              description: "Whether the gateway uses TLS to the upstream: true or false. Default: true.",
            }),
          ),
        },
        { ...closed, description: "The upstream is outside the mesh. Absent: it is a service in the cluster." },
      ),
    ),
  },
  {
    ...closed,
    description:
      "Routing of the API through the gateway. `tollgate manifests` generates routes from it; the filter ignores it.",
  },
);

export type Traffic = Static<typeof TrafficSchema>;
export type TrafficVersion = Static<typeof VersionSchema>;
export type HeaderChanges = Static<ReturnType<typeof HeaderChangesSchema>>;
