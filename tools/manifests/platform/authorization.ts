/** A second line behind the filter: a policy for each API that asks for a caller, on the headers that the filter has set. */
import { takesTokens, type Api, type EnvironmentSpec } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { objectName } from "../routing/names.ts";
import { claimHeader, sorted } from "./names.ts";
import { gatewayTarget } from "./plugin.ts";
import { territory } from "./territory.ts";

/** The policy of one API, or undefined where there is nothing to ask for: keyless APIs, those for callers in the mesh, a filter that only observes, an API whose requests a policy can't tell from others'. */
export function apiAuthorization(
  api: Api,
  spec: EnvironmentSpec,
  options: ManifestOptions,
): ManifestDocument | undefined {
  if (api.auth.mode === "none" || api.auth.mode === "mtls" || options.plugin?.["mode"] === "observe") return undefined;
  const operations = territory(
    api,
    spec.apis.filter(({ auth }) => auth.mode !== "mtls"),
  );
  if (operations.length === 0) return undefined;
  // An operation that asks for nothing is any request.
  const where = operations.some((operation) => Object.keys(operation).length === 0)
    ? {}
    : { to: operations.map((operation) => ({ operation })) };
  const rules: Record<string, unknown>[] = [{ ...where, when: [...conditions(api, spec, options)] }];
  const comments = new Map<string, string>([["/spec/rules/0/when", conditionComment(spec, options)]]);
  if (takesTokens(api.auth.mode) && api.auth.mode !== "key-or-jwt") {
    rules.push({
      ...where,
      when: [{ key: "request.auth.claims[iss]", notValues: sorted(api.auth.jwt!.issuers.map(({ issuer }) => issuer)) }],
    });
    comments.set(
      "/spec/rules/1",
      "Nor without a token of one of the API's issuers, which Envoy has verified. By its claim, since a principal would need `sub` as well.",
    );
  }
  return {
    comment: [
      `Nobody comes to ${api.id} whom the filter hasn't let in. The filter decides and says why; this holds should it be missing or changed by mistake.`,
      "It's about HTTP alone: a gateway that also listens for TCP needs `ports` in every rule, or those connections are refused.",
      "Sound because the filter removes what clients put into these headers, before policies are asked (phase AUTHN or AUTHZ, never STATS).",
    ].join("\n"),
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: objectName(api), namespace: options.gateway.namespace },
      spec: { ...gatewayTarget(options), action: "DENY", rules },
    },
    comments,
  };
}

/** Tiers of the file whose callers may call the API; undefined when the file has none, and control alone knows them. */
export function tiersOf(api: Api, { tiers }: Pick<EnvironmentSpec, "tiers">): string[] | undefined {
  if (tiers.length === 0) return undefined;
  return sorted(tiers.filter((tier) => tier.apis === undefined || tier.apis.includes(api.id)).map(({ id }) => id));
}

function conditions(api: Api, spec: EnvironmentSpec, options: ManifestOptions): Record<string, unknown>[] {
  const tiers = tiersOf(api, spec);
  return [
    // A header that isn't there is not one of these either.
    {
      key: `request.headers[${claimHeader("tier", options)}]`,
      notValues: tiers === undefined || tiers.length === 0 ? ["*"] : tiers,
    },
    ...(options.plugin?.["failureMode"] === "open"
      ? [{ key: `request.headers[${claimHeader("unchecked", options)}]`, notValues: ["*"] }]
      : []),
  ];
}

function conditionComment(spec: EnvironmentSpec, options: ManifestOptions): string {
  return [
    spec.tiers.length === 0
      ? "Every caller that the filter lets in has a tier."
      : "The tiers that may call it: make the manifests anew when tiers change. Without the header it's none of them.",
    "Scopes aren't asked for here: they come in one header, and a policy can't look for a word in it. It can in a token: components/mesh-identity.",
    ...(options.plugin?.["failureMode"] === "open"
      ? ["failureMode open lets requests through unchecked, and marks them."]
      : []),
  ].join("\n");
}
