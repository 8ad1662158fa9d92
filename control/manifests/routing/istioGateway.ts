/** Istio's Gateway: ports, hosts and certificates of all APIs. */
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { ownLabels, slug } from "./names.ts";
import type { HostTls } from "./tls.ts";

export function istioGateway(tls: ReadonlyMap<string, HostTls | undefined>, { gateway }: ManifestOptions): ManifestDocument {
  const hosts = [...tls.keys()];
  const plain = hosts.filter((host) => tls.get(host)?.redirect !== true);
  const redirected = hosts.filter((host) => tls.get(host)?.redirect === true);
  const comments = new Map<string, string>();
  const servers: object[] = [];
  if (plain.length > 0) servers.push({ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: plain });
  if (redirected.length > 0) {
    comments.set(`/spec/servers/${servers.length}`, "A key must not travel in the clear: these hosts answer plain HTTP with a redirect alone.");
    servers.push({ port: { number: 80, name: "http-redirect", protocol: "HTTP" }, hosts: redirected, tls: { httpsRedirect: true } });
  }
  for (const [credentialName, owners] of credentials(tls)) {
    servers.push({ port: { number: 443, name: `https-${slug(credentialName)}`, protocol: "HTTPS" }, hosts: owners, tls: { mode: "SIMPLE", credentialName } });
  }
  return {
    comment: "What the gateway listens on: one Gateway for all APIs. Certificates are Secrets in this namespace.",
    object: {
      apiVersion: "networking.istio.io/v1",
      kind: "Gateway",
      metadata: { name: gateway.name, namespace: gateway.namespace, labels: { ...ownLabels } },
      spec: { selector: { ...gateway.selector }, servers },
    },
    comments,
  };
}

/**
 * Hosts by certificate. Those of one certificate share a server: a client that has opened a connection for one of them may use it for the
 * others.
 */
export function credentials(tls: ReadonlyMap<string, HostTls | undefined>): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [host, its] of tls) if (its?.owner === host) found.set(its.credentialName, [...(found.get(its.credentialName) ?? []), host]);
  return found;
}
