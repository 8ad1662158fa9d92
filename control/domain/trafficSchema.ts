/**
 * The part of an API's definition that is about its way through the gateway, not about who may call: `tollgate manifests` makes routes of
 * it. The filter doesn't know it, so it's no part of the snapshot.
 */
import { type Static, type TSchema, type TUnsafe, Type } from "@sinclair/typebox";

const closed = { additionalProperties: false } as const;
const optional = <T extends TSchema>(schema: T) => Type.Optional(schema);
const whole = (minimum: number, maximum: number, description: string) => Type.Integer({ minimum, maximum, description });
const seconds = (description: string) => Type.Number({ minimum: 0.001, maximum: 86_400, description });

function oneOf<const T extends readonly string[]>(values: T, description: string): TUnsafe<T[number]> {
  return Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
}

const headerNamePattern = "^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$";
const HeaderName = Type.String({ pattern: headerNamePattern, description: "A header's name." });
/** `%` would begin one of Envoy's substitutions, and a wrong one makes it refuse all routes. */
const HeaderValue = Type.String({ maxLength: 1024, pattern: "^(?:[\\x21-\\x24\\x26-\\x7E](?:[\\x20-\\x24\\x26-\\x7E]*[\\x21-\\x24\\x26-\\x7E])?)$", description: "A header's value: 1 to 1024 printable ASCII characters, no `%`, no blank at an end." });
const HeaderValues = (description: string) => Type.Record(Type.String({ pattern: headerNamePattern }), HeaderValue, { ...closed, maxProperties: 16, description });
const Path = (description: string) => Type.String({ minLength: 1, maxLength: 512, description });
const Service = Type.String({ pattern: "^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$", description: "The service's host name." });

const TlsSchema = Type.Object(
  {
    credentialName: Type.String({ pattern: "^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$", description: "The Secret with certificate and key, in the gateway's namespace." }),
    redirect: optional(Type.Boolean({ description: "Whether plain HTTP is redirected to HTTPS: true or false. Default: true." })),
  },
  { ...closed, description: "HTTPS for the API's hosts. Absent: HTTP, unless another API gives one of its hosts a certificate." },
);

const RewriteSchema = Type.Object(
  { prefix: Path("The path that the upstream sees in place of the API's, such as `/`.") },
  { ...closed, description: "Changes the path's beginning before the upstream sees it." },
);

const HeaderChangesSchema = (what: string) =>
  Type.Object(
    {
      set: optional(HeaderValues("Headers that are put in place of what was there, by name.")),
      add: optional(HeaderValues("Headers that are added to what was there, by name.")),
      remove: optional(Type.Array(HeaderName, { maxItems: 16, description: "Headers that are removed." })),
    },
    { ...closed, description: `Changes to the ${what}'s headers.` },
  );

export const retryReasons = [
  "5xx", "gateway-error", "reset", "connect-failure", "retriable-4xx", "refused-stream", "cancelled", "deadline-exceeded", "internal",
  "resource-exhausted", "unavailable",
] as const;

const RetriesSchema = Type.Object(
  {
    attempts: whole(0, 10, "How often a request is tried again, 0 to 10; 0: never."),
    perTryTimeoutSeconds: optional(seconds("How long one try may take, in seconds. Absent: as long as the request.")),
    on: optional(
      Type.Array(oneOf(retryReasons, "One of Envoy's conditions for a retry."), { minItems: 1, maxItems: 11, description: "When to try again. Absent: when the upstream can't have seen the request (Istio's own choice)." }),
    ),
  },
  { ...closed, description: "Tries again what failed. A request is counted once, however often it's tried." },
);

const MatchSchema = Type.Object(
  {
    path: optional(Path("A path within the API's, as whole as a route's: the version gets what is below it.")),
    header: optional(
      Type.Record(Type.String({ pattern: headerNamePattern }), HeaderValue, { ...closed, minProperties: 1, maxProperties: 8, description: "Headers that a request must have, with their values." }),
    ),
  },
  { ...closed, description: "Which requests the version gets. Absent: a share of the others, by its weight." },
);

export const VersionSchema = Type.Object(
  {
    name: Type.String({ pattern: "^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$", description: "A version's name: 1 to 32 lower-case letters, digits and `-`." }),
    labels: optional(
      Type.Record(
        Type.String({ pattern: "^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$" }),
        Type.String({ pattern: "^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$", description: "A label's value." }),
        { ...closed, minProperties: 1, maxProperties: 16, description: "Labels of the pods that are this version, among those of the service. Only with `--routing istio`." },
      ),
    ),
    upstream: optional(Type.Object({ service: Service, port: whole(1, 65_535, "A port, 1 to 65535.") }, { ...closed, description: "A service of the version's own." })),
    weight: optional(whole(0, 100, "Its share of the requests that no `match` takes, in per cent; the shares add up to 100.")),
    match: optional(MatchSchema),
    rewrite: optional(RewriteSchema),
  },
  { ...closed, description: "A version of the API: by path, header or weight." },
);

const CircuitBreakingSchema = Type.Object(
  {
    maxConnections: optional(whole(1, 1_000_000, "Connections to the upstream, of each gateway, at most.")),
    maxPendingRequests: optional(whole(1, 1_000_000, "Requests that may wait for a connection.")),
    maxRequests: optional(whole(1, 1_000_000, "Requests that may be under way at a time.")),
    maxRequestsPerConnection: optional(whole(0, 1_000_000, "Requests on one connection; 0: no bound.")),
    consecutive5xxErrors: optional(whole(0, 10_000, "5xx answers in a row after which an endpoint is left out; 0: never.")),
    intervalSeconds: optional(seconds("How often endpoints are judged, in seconds.")),
    baseEjectionSeconds: optional(seconds("How long an endpoint is left out the first time, in seconds.")),
    maxEjectionPercent: optional(whole(0, 100, "How many of the endpoints may be left out, in per cent.")),
  },
  { ...closed, description: "Bounds to what the upstream gets, and which of its endpoints are left out." },
);

export const TrafficSchema = Type.Object(
  {
    tls: optional(TlsSchema),
    rewrite: optional(RewriteSchema),
    timeoutSeconds: optional(seconds("How long the upstream may take, retries included, in seconds. Absent: no bound.")),
    retries: optional(RetriesSchema),
    headers: optional(
      Type.Object(
        { request: optional(HeaderChangesSchema("request")), response: optional(HeaderChangesSchema("response")) },
        { ...closed, description: "Changes to headers on the way to the upstream and back." },
      ),
    ),
    versions: optional(Type.Array(VersionSchema, { minItems: 1, maxItems: 16, description: "Versions of the API." })),
    loadBalancing: optional(oneOf(["roundRobin", "leastRequest", "random"], "Which endpoint gets the next request. Absent: Istio's default, leastRequest.")),
    consistentHash: optional(
      Type.Object({ header: HeaderName }, { ...closed, description: "Requests with the same value of a header go to the same endpoint, in place of `loadBalancing`." }),
    ),
    circuitBreaking: optional(CircuitBreakingSchema),
    external: optional(
      Type.Object({ tls: optional(Type.Boolean({ description: "Whether the gateway speaks TLS to it: true or false. Default: true." })) }, { ...closed, description: "The upstream is outside the mesh. Absent: it's a service of the cluster." }),
    ),
  },
  { ...closed, description: "The API's way through the gateway, of which `tollgate manifests` makes routes. The filter ignores it." },
);

export type Traffic = Static<typeof TrafficSchema>;
export type TrafficVersion = Static<typeof VersionSchema>;
export type HeaderChanges = Static<ReturnType<typeof HeaderChangesSchema>>;
