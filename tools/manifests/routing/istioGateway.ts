/**
 * Istio's Gateways: ports, hosts and certificates of all APIs.
 *
 * istiod gives a host of a Gateway the routes of every VirtualService bound to it that takes the host, in no order that one could rely on: those
 * for `*` would mix with the host's own. So hosts that could cover each other are in different Gateways, and a VirtualService is bound to its
 * own and to those of the hosts that cover it. The latter because a connection that was opened for one host can bear requests for
 * another: by whatever certificate they come, they have to find the routes of their own host.
 */
import { hostCovers } from "../../../control/domain/precedence.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { ownLabels, slug } from "./names.ts";
import type { HostTls } from "./tls.ts";

type Tls = ReadonlyMap<string, HostTls | undefined>;

/** The name of a host's Gateway: exact names share one, so do `*.suffix` of one depth. */
function gatewayName(host: string, { gateway }: ManifestOptions): string {
  if (!host.startsWith("*")) return gateway.name;
  return host === "*" ? `${gateway.name}--any-host` : `${gateway.name}--depth-${host.split(".").length - 1}`;
}

/** The Gateways that a host's VirtualService is bound to. */
export function gatewaysOf(host: string, hosts: readonly string[], options: ManifestOptions): string[] {
  const names = hosts.filter((other) => hostCovers(other, host)).map((other) => gatewayName(other, options));
  return [...new Set(names)].map((name) => `${options.gateway.namespace}/${name}`);
}

export function istioGateways(tls: Tls, options: ManifestOptions): ManifestDocument[] {
  const groups = new Map<string, string[]>();
  for (const host of tls.keys())
    groups.set(gatewayName(host, options), [...(groups.get(gatewayName(host, options)) ?? []), host]);
  return [...groups].map(([name, hosts]) => istioGateway(name, hosts, tls, options));
}

function istioGateway(
  name: string,
  hosts: readonly string[],
  tls: Tls,
  { gateway }: ManifestOptions,
): ManifestDocument {
  const plain = hosts.filter((host) => tls.get(host)?.redirect !== true);
  const redirected = hosts.filter((host) => tls.get(host)?.redirect === true);
  const comments = new Map<string, string>();
  const servers: object[] = [];
  if (plain.length > 0) servers.push({ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: plain });
  if (redirected.length > 0) {
    comments.set(
      `/spec/servers/${servers.length}`,
      "A key must not travel in the clear: on plain HTTP these hosts lead to HTTPS alone.",
    );
    servers.push({
      port: { number: 80, name: "http-redirect", protocol: "HTTP" },
      hosts: redirected,
      tls: { httpsRedirect: true },
    });
  }
  for (const [credentialName, owners] of credentials(hosts, tls)) {
    servers.push({
      port: { number: 443, name: `https-${slug(credentialName)}`, protocol: "HTTPS" },
      hosts: owners,
      tls: { mode: "SIMPLE", credentialName },
    });
  }
  const why =
    name === gateway.name
      ? ""
      : "\nHosts that cover others have Gateways of their own: in one, istiod would mix the routes of both.";
  return {
    comment: `What the gateway listens on. Certificates are Secrets in this namespace.${why}`,
    object: {
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: { name, namespace: gateway.namespace, labels: { ...ownLabels } },
      spec: { selector: { ...gateway.selector }, servers },
    },
    comments,
  };
}

/**
 * Hosts by certificate. Those of one certificate share a server: a client that has opened a connection for one of them may use it for the
 * others.
 */
function credentials(hosts: readonly string[], tls: Tls): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const host of hosts) {
    const its = tls.get(host);
    if (its?.owner === host) found.set(its.credentialName, [...(found.get(its.credentialName) ?? []), host]);
  }
  return found;
}
