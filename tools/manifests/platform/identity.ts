/** Services that verify the internal token themselves, and let nobody in who comes without one: a policy for each upstream in the cluster. */
import type { Api, EnvironmentSpec, InternalToken } from "../../../control/domain/model.ts";
import { withHead } from "../../../control/domain/precedence.ts";
import { type ManifestDocument, ManifestError, type ManifestFile, type ManifestOptions } from "../model.ts";
import { tiersOf } from "./authorization.ts";
import { clusterService, controlHost, sorted, syncPort } from "./names.ts";
import { type Service, serviceTarget, targetComment } from "./services.ts";
import { pathForms } from "./territory.ts";

/** The header that carries the internal token to services. */
function tokenHeader({ plugin }: Pick<ManifestOptions, "plugin">): string {
  return ((plugin?.["claims"] ?? {}) as { token?: string }).token ?? "x-tollgate-token";
}

/** One file for each service behind APIs; none without internal tokens. */
export function identityFiles(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile[] {
  const token = spec.internalToken;
  if (token === undefined || !token.enabled) return [];
  const services = new Map<string, { name: string; namespace: string; apis: Api[] }>();
  for (const api of spec.apis) {
    for (const host of upstreamsOf(api)) {
      const service = clusterService(host);
      if (service === undefined) continue;
      const id = `${service.namespace}.${service.name}`;
      const known = services.get(id) ?? { ...service, apis: [] };
      known.apis.push(api);
      services.set(id, known);
    }
  }
  return [...services]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([id, service]) => ({
      path: `${id}.yaml`,
      // Callers of APIs for peers bring a certificate, no token.
      documents: [
        ...(service.apis.some(({ auth }) => auth.mode !== "mtls") ? [verification(service, token, options)] : []),
        authorization(service, token, spec, options),
      ],
    }));
}

interface ServiceOfApis extends Service {
  apis: readonly Api[];
}

function verification(service: ServiceOfApis, token: InternalToken, options: ManifestOptions): ManifestDocument {
  return {
    comment: `The service ${service.name} takes the tokens that control signs for callers of its APIs.`,
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "RequestAuthentication",
      metadata: { name: `tollgate-${service.name}`, namespace: service.namespace },
      spec: {
        ...serviceTarget(service, options),
        jwtRules: [
          {
            issuer: token.issuer,
            audiences: [...token.audiences],
            jwksUri: `http://${controlHost(options)}:${syncPort}/.well-known/tollgate/${options.environment}/jwks.json`,
            fromHeaders: [{ name: tokenHeader(options) }],
            forwardOriginalToken: true,
          },
        ],
      },
    },
    comments: new Map([
      targetComment(service, options),
      [
        "/spec/jwtRules/0/jwksUri",
        "Fetched by the service's proxy over mutual TLS: istiod, which isn't in the mesh, can't. For that it needs PILOT_JWT_ENABLE_REMOTE_JWKS=hybrid (istio/install.yaml).",
      ],
      [
        "/spec/jwtRules/0/forwardOriginalToken",
        "So that the service can read it, and pass it on to services that it calls.",
      ],
    ]),
  };
}

function authorization(
  service: ServiceOfApis,
  token: InternalToken,
  spec: EnvironmentSpec,
  options: ManifestOptions,
): ManifestDocument {
  const rules: Record<string, unknown>[] = [];
  const comments = new Map<string, string>([targetComment(service, options)]);
  const add = (rule: Record<string, unknown>, comment: string) => {
    comments.set(`/spec/rules/${rules.length}`, comment);
    rules.push(rule);
  };
  for (const api of service.apis) {
    if (api.auth.mode === "none") {
      add(
        { from: [{ source: { namespaces: [options.gateway.namespace] } }], ...operation(pathsOf(api), []) },
        `${api.id}: keyless, so whatever comes through the gateway.`,
      );
      continue;
    }
    if (api.auth.mode === "mtls") {
      add(
        { from: [{ source: { principals: peersOf(api, spec) } }], ...operation(pathsOf(api), []) },
        `${api.id}: callers by their certificates, the identities of consumers who may call it. The filter on these pods does the rest.`,
      );
      continue;
    }
    const caller = { from: [{ source: { requestPrincipals: [`${token.issuer}/*`] } }] };
    const tiers = tiersOf(api, spec);
    const byTier =
      tiers === undefined || tiers.length === 0 ? [] : [{ key: "request.auth.claims[tier]", values: tiers }];
    const routes = rewritten(api) ? [] : api.routes.filter(({ scopes }) => scopes.length > 0);
    add(
      {
        ...caller,
        ...operation(
          pathsOf(api),
          routes.map(({ path }) => path),
        ),
        ...when([...byTier, ...api.scopes.map((scope) => byScope(scope, spec))]),
      },
      `${api.id}: callers whom control has signed a token for, of its tiers.${routes.length > 0 ? " Routes that ask for scopes have rules of their own." : ""}${rewritten(api) && api.paths.some((path) => path !== "/") ? " Any path: the gateway rewrites it on the way." : ""}`,
    );
    for (const route of routes) {
      const { methods, path, scopes } = route;
      const deeper = routes
        .filter((other) => other.path !== path && (path === "/" || other.path.startsWith(`${path}/`)))
        .map((other) => other.path);
      const asked = [...new Set([...api.scopes, ...scopes])];
      add(
        {
          ...caller,
          ...operation([path], deeper, methods),
          ...when([...byTier, ...asked.map((scope) => byScope(scope, spec))]),
        },
        `${api.id} at ${path}: with the scopes ${asked.join(", ")}.`,
      );
      // Other methods of the same path are the API's own. By name: what isn't POST may be `post`, which a service may take for it.
      const left = api.routes
        .filter((other) => other.path === path)
        .flatMap((other) => (other.methods.length === 0 ? ["*"] : withHead(other.methods)));
      const own = [
        ...new Set([...standardMethods, ...withHead(api.methods), ...api.routes.flatMap((other) => other.methods)]),
      ].filter((method) => !left.includes(method));
      if (
        methods.length > 0 &&
        !left.includes("*") &&
        own.length > 0 &&
        routes.findIndex((other) => other.path === path) === routes.indexOf(route)
      ) {
        add(
          {
            ...caller,
            ...operation([path], deeper, own),
            ...when([...byTier, ...api.scopes.map((scope) => byScope(scope, spec))]),
          },
          `${api.id} at ${path}, other methods.`,
        );
      }
    }
  }
  const byCertificate = service.apis.every(({ auth }) => auth.mode === "mtls");
  return {
    comment: [
      byCertificate
        ? `The service ${service.name} lets in those whom their certificates name.`
        : `The service ${service.name} decides by the token's claims, whoever calls and from wherever: a header could be forged inside the mesh, the token can't.`,
      byCertificate
        ? "With this policy nobody else gets in."
        : "With this policy nothing else gets in: callers in the mesh that bring no token need a policy ALLOW of their own, by source.principals.",
    ].join("\n"),
    object: {
      apiVersion: "security.istio.io/v1",
      kind: "AuthorizationPolicy",
      metadata: { name: `tollgate-${service.name}`, namespace: service.namespace },
      spec: { ...serviceTarget(service, options), action: "ALLOW", rules },
    },
    comments,
  };
}

/** Where requests of an API go. Not to its own upstream when versions of their own take every share: a policy there would let its callers in for nothing. */
function upstreamsOf({ upstream, traffic }: Api): ReadonlySet<string> {
  const versions = traffic?.versions ?? [];
  const elsewhere =
    versions.some(({ match }) => match === undefined) && versions.every((version) => version.upstream !== undefined);
  return new Set([
    ...(elsewhere ? [] : [upstream.service]),
    ...versions.flatMap((version) => version.upstream?.service ?? []),
  ]);
}

/** Identities as Istio writes them, without `spiffe://`; any when the file names none, and control alone knows them. */
function peersOf(api: Api, spec: EnvironmentSpec): string[] {
  const tiers = tiersOf(api, spec);
  const allowed = spec.consumers.filter(
    ({ suspended, tier }) => !suspended && (tiers === undefined || (tier !== undefined && tiers.includes(tier))),
  );
  const identities = sorted(
    allowed.flatMap(({ identities = [] }) => identities.map((identity) => identity.replace(/^spiffe:\/\//, ""))),
  );
  return identities.length === 0 ? ["*"] : identities;
}

/** Does the service see other paths than the gateway? */
function rewritten({ traffic }: Api): boolean {
  return traffic?.rewrite !== undefined || traffic?.versions?.some(({ rewrite }) => rewrite !== undefined) === true;
}

function pathsOf(api: Api): readonly string[] {
  return rewritten(api) ? ["/"] : api.paths;
}

function operation(
  paths: readonly string[],
  notPaths: readonly string[],
  methods: readonly string[] = [],
): { to?: unknown[] } {
  const parts = {
    ...(paths.includes("/") ? {} : { paths: pathForms(paths) }),
    ...(notPaths.length === 0 ? {} : { notPaths: pathForms(notPaths) }),
    ...(methods.length === 0 ? {} : { methods: withHead(methods) }),
  };
  return Object.keys(parts).length === 0 ? {} : { to: [{ operation: parts }] };
}

const standardMethods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

function when(conditions: readonly unknown[]): { when?: readonly unknown[] } {
  return conditions.length === 0 ? {} : { when: conditions };
}

/**
 * One scope among those of the token. Whoever has every scope has `*`; a lone `*` would mean any value in a policy, and `**` means one that ends
 * with `*`. So that counts only where no tier has a scope that ends so and means less. A scope with `*` at an end can't be said: the policy would
 * let in those who have another that merely begins or ends like it.
 */
function byScope(scope: string, { tiers }: Pick<EnvironmentSpec, "tiers">): Record<string, unknown> {
  if (scope.startsWith("*") || scope.endsWith("*")) {
    throw new ManifestError(
      `The scope \`${scope}\` can't be asked for in an AuthorizationPolicy of services (internalToken): there a \`*\` at an end stands for anything. Name the scope without it.`,
    );
  }
  const starred = tiers.some(({ scopes }) => scopes.some((one) => one !== "*" && one.endsWith("*")));
  return {
    key: "request.auth.claims[scope]",
    values: starred || !tiers.some(({ scopes }) => scopes.includes("*")) ? [scope] : [scope, "**"],
  };
}
