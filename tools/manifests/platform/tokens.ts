/** Tokens of other issuers: Envoy verifies them by a RequestAuthentication, the filter then decides on what they say. */
import { takesTokens, type Api, type EnvironmentSpec, type TokenIssuer } from "../../../control/domain/model.ts";
import { type ManifestDocument, ManifestError, type ManifestOptions } from "../model.ts";
import { pluginName, sorted } from "./names.ts";
import { gatewayTarget } from "./plugin.ts";

interface Issuer {
  issuer: string;
  jwksUri: string | undefined;
  jwks: string | undefined;
  /** of all its APIs; undefined: an API takes any */
  audiences: string[] | undefined;
  forward: boolean;
  apis: string[];
}

/** One rule for each issuer: a gateway's rules hold for all of its APIs. None when no API takes tokens. */
export function requestAuthentication(spec: EnvironmentSpec, options: ManifestOptions): ManifestDocument | undefined {
  const issuers = mergeIssuers(spec.apis);
  if (issuers.length === 0) return undefined;
  const comments = new Map<string, string>();
  const jwtRules = issuers.map(({ issuer, jwksUri, jwks, audiences, forward, apis }, index) => {
    comments.set(
      `/spec/jwtRules/${index}`,
      `For ${apis.join(", ")}. ${audiences === undefined ? "Any audience: the filter asks for that of each API." : "The audiences of all of them: the filter asks for that of each API."}`,
    );
    if (index === 0)
      comments.set(
        `/spec/jwtRules/0/fromHeaders`,
        "Here alone: by default Istio takes tokens from the query as well, where logs and histories keep them.",
      );
    return {
      issuer,
      ...(jwksUri === undefined ? { jwks } : { jwksUri }),
      ...(audiences === undefined ? {} : { audiences }),
      fromHeaders: [{ name: "Authorization", prefix: "Bearer " }],
      forwardOriginalToken: forward,
    };
  });
  return {
    comment: [
      "Who signs the tokens that APIs of this gateway take. A token that is broken, expired or of another issuer is refused (401) whatever the API, before the filter sees it;",
      "a request without a token passes here, and the filter asks for one where the API does.",
    ].join("\n"),
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "RequestAuthentication",
      metadata: { name: pluginName, namespace: options.gateway.namespace },
      spec: { ...gatewayTarget(options), jwtRules },
    },
    comments,
  };
}

/** Issuers of all APIs, each once. Throws where APIs say different things of one that Envoy can hold only once. */
function mergeIssuers(apis: readonly Api[]): Issuer[] {
  const issuers = new Map<string, Issuer>();
  for (const api of apis) {
    if (!takesTokens(api.auth.mode) || api.auth.jwt === undefined) continue;
    for (const own of api.auth.jwt.issuers) {
      const known = issuers.get(own.issuer);
      if (known === undefined)
        issuers.set(own.issuer, {
          ...own,
          jwksUri: own.jwksUri,
          jwks: own.jwks,
          audiences: own.audiences.length === 0 ? undefined : sorted(own.audiences),
          forward: api.auth.jwt.forwardToken,
          apis: [api.id],
        });
      else merge(known, own, api);
    }
  }
  return [...issuers.values()].sort((a, b) => (a.issuer < b.issuer ? -1 : 1));
}

function merge(known: Issuer, own: TokenIssuer, api: Api): void {
  const fail = (field: string, remedy: string): never => {
    throw new ManifestError(
      `APIs \`${known.apis[0]}\` and \`${api.id}\`: auth.jwt has the issuer ${own.issuer} with different ${field}. A gateway verifies each issuer's tokens in one way: ${remedy}`,
    );
  };
  if (known.jwksUri !== own.jwksUri || known.jwks !== own.jwks) fail("keys", "give both the same jwksUri or jwks.");
  if (known.forward !== api.auth.jwt!.forwardToken) fail("forwardToken", "give both the same.");
  known.audiences =
    known.audiences === undefined || own.audiences.length === 0
      ? undefined
      : sorted([...known.audiences, ...own.audiences]);
  if (!known.apis.includes(api.id)) known.apis.push(api.id);
}
