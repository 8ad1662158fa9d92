/** Which hosts have a certificate. It belongs to a host, not to an API: all that is served there is behind it. */
import type { Api } from "../../../control/domain/model.ts";
import { hostCovers, hostsOf } from "../../../control/domain/precedence.ts";
import { ManifestError } from "../model.ts";

export interface HostTls {
  /** the host whose certificate it is: the host itself, or the most particular one that covers it */
  owner: string;
  credentialName: string;
  redirect: boolean;
}

/** The TLS of every host. Throws a ManifestError where APIs contradict each other. */
export function tlsOfHosts(apis: readonly Api[]): Map<string, HostTls | undefined> {
  const hosts = hostsOf(apis);
  const own = new Map(hosts.map((host) => [host, ownTls(apis, host)]));
  return new Map(
    hosts.map((host) => {
      const levels = hosts.flatMap((other) => (hostCovers(other, host) ? (own.get(other) ?? []) : []));
      const [first, ...others] = levels;
      const rival = others.find(({ redirect }) => first !== undefined && redirect !== first.redirect);
      if (first !== undefined && rival !== undefined) {
        throw new ManifestError(
          `traffic.tls.redirect of hosts \`${first.owner}\` and \`${rival.owner}\` differ, and the second covers the first. Make them equal.`,
        );
      }
      return [host, first];
    }),
  );
}

function ownTls(apis: readonly Api[], host: string): HostTls | undefined {
  let found: { api: Api; tls: HostTls } | undefined;
  for (const api of apis) {
    const tls = api.traffic?.tls;
    if (tls === undefined || !api.hosts.includes(host)) continue;
    const here: HostTls = { owner: host, credentialName: tls.credentialName, redirect: tls.redirect ?? true };
    if (
      found !== undefined &&
      (found.tls.credentialName !== here.credentialName || found.tls.redirect !== here.redirect)
    ) {
      throw new ManifestError(
        `API \`${api.id}\`: traffic.tls differs from that of API \`${found.api.id}\`, which has the same host \`${host}\`. A host has one certificate: make them equal, or remove one.`,
      );
    }
    found ??= { api, tls: here };
  }
  return found?.tls;
}
