/** What can't be made of these definitions whatever the kind of routes, because of the options or of where they are served. */
import type { Api } from "../../../control/domain/model.ts";
import { ManifestError, type ManifestOptions } from "../model.ts";

export function checkOptions(apis: readonly Api[], options: ManifestOptions): void {
  for (const api of apis) {
    checkHosts(api);
    checkClaims(api, options);
  }
}

function checkHosts(api: Api): void {
  for (const host of api.hosts) {
    if (
      host !== "*" &&
      !/^(?:\*\.)?[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+$/.test(host)
    ) {
      throw new ManifestError(
        `API \`${api.id}\`: host \`${host}\` can't be routed by Istio, which would take a name without a dot for a service of its own and knows no \`_\`. Use a full name such as api.example.com, or \`*\`.`,
      );
    }
  }
}

/** The schema guards the names that claims have by default; the plugin may give them others. */
function checkClaims(api: Api, { plugin }: ManifestOptions): void {
  const claims = (plugin?.["claims"] ?? {}) as { prefix?: string; names?: Record<string, string> };
  const names = new Set(Object.values(claims.names ?? {}).map((name) => name.toLowerCase()));
  const changes = api.traffic?.headers?.request;
  for (const name of Object.keys({ ...changes?.set, ...changes?.add })) {
    if (names.has(name) || (claims.prefix !== undefined && name.startsWith(claims.prefix.toLowerCase()))) {
      throw new ManifestError(
        `API \`${api.id}\`: traffic.headers.request writes \`${name}\`, which is a claim: it would be forged. Put facts on a consumer into its \`claims\`.`,
      );
    }
  }
}
