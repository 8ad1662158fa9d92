/**
 * Envoy's jwt_authn filter for the APIs that take tokens: it verifies them, before the plugin, which then reads their claims from the request's
 * metadata. In a mesh Istio makes it of RequestAuthentication; a gateway outside of one gets it from here.
 */
import { existsSync } from "node:fs";
import type { Api, AuthJwt, TokenIssuer } from "../../control/domain/model.ts";
import type { ClusterOptions, EnvoyObject } from "./bootstrap.ts";
import { literalPattern, routeMatches } from "./routes.ts";

const type = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
/** Where the filter looks for a token's claims, as in Istio. */
const payload = "payload";

/** The filter and the clusters by which it fetches keys; undefined when no API takes tokens. */
export function jwtAuthn(apis: readonly Api[]): { filter: EnvoyObject; clusters: ClusterOptions[] } | undefined {
  if (apis.every(({ auth }) => auth.jwt === undefined)) return undefined;
  const providers: Record<string, EnvoyObject> = {};
  const clusters = new Map<string, ClusterOptions>();
  const names = new Map<string, string>();
  const nameOf = (issuer: TokenIssuer, forward: boolean): string => {
    const identity = JSON.stringify([issuer.issuer, issuer.jwksUri, issuer.jwks, forward]);
    const known = names.get(identity);
    if (known !== undefined) return known;
    const name = `issuer-${names.size + 1}`;
    names.set(identity, name);
    providers[name] = provider(issuer, forward, clusters);
    return name;
  };
  // A request that no rule requires anything of keeps its token unread.
  const rules = routeMatches(apis).map(({ api, host, match }) => ({
    match:
      host === "*"
        ? match
        : { ...match, headers: [authority(host), ...((match["headers"] as EnvoyObject[] | undefined) ?? [])] },
    ...(api.auth.jwt === undefined ? {} : { requires: requirement(api.auth.jwt, nameOf) }),
  }));
  return {
    filter: { name: "envoy.filters.http.jwt_authn", typed_config: { "@type": type, providers, rules } },
    clusters: [...clusters.values()],
  };
}

/** A good token of any issuer, or none: what is missing is for the plugin to say. A bad token is refused here. */
function requirement(jwt: AuthJwt, nameOf: (issuer: TokenIssuer, forward: boolean) => string): EnvoyObject {
  const issuers = jwt.issuers.map((issuer) => ({ provider_name: nameOf(issuer, jwt.forwardToken) }));
  return { requires_any: { requirements: [...issuers, { allow_missing: {} }] } };
}

/** Audiences are for the plugin: they may differ from API to API. */
function provider(
  { issuer, jwksUri, jwks }: TokenIssuer,
  forward: boolean,
  clusters: Map<string, ClusterOptions>,
): EnvoyObject {
  const common = { issuer, forward, payload_in_metadata: payload };
  if (jwksUri === undefined) return { ...common, local_jwks: { inline_string: jwks ?? '{"keys":[]}' } };
  const cluster = keysCluster(new URL(jwksUri));
  clusters.set(cluster.name, cluster);
  return {
    ...common,
    remote_jwks: { http_uri: { uri: jwksUri, cluster: cluster.name, timeout: "5s" }, cache_duration: "300s" },
  };
}

function keysCluster({ protocol, hostname, port }: URL): ClusterOptions {
  const secure = protocol === "https:";
  const number = port === "" ? (secure ? 443 : 80) : Number(port);
  const host = hostname.replace(/^\[(.*)\]$/, "$1");
  return {
    name: `keys-of-${host}:${number}`,
    host,
    port: number,
    ...(secure ? { tls: { serverName: host, trustedCaPath: trustedCaPath() } } : {}),
  };
}

/** The system's certificate authorities, where distributions keep them. */
function trustedCaPath(): string {
  const places = ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
  return places.find((path) => existsSync(path)) ?? places[0]!;
}

/** A host as `:authority` may have it: any case, with or without a port. */
function authority(host: string): EnvoyObject {
  const escaped = literalPattern(host.replace(/^\*/, ""));
  return {
    name: ":authority",
    string_match: { safe_regex: { regex: `(?i)${host.startsWith("*") ? ".+" : ""}${escaped}(:\\d+)?` } },
  };
}
