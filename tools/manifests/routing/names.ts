/** Names of Kubernetes objects, made of ids that may hold what Kubernetes doesn't take. */
import { createHash } from "node:crypto";
import type { Api } from "../../../control/domain/model.ts";

const labelMaxChars = 63;
/** leaves room for the longest `tollgate-…-short--` before it */
const hostSlugMaxChars = 32;
/** leaves room for what names add to an id */
const idMaxChars = 40;

/**
 * A DNS label that stands for this text alone: what can't be kept as it is gets a digest. It never holds `--`, which separates parts of
 * names.
 */
export function slug(text: string, maxChars = idMaxChars): string {
  const label = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");
  if (label === text && label.length <= maxChars) return label;
  const digest = createHash("sha256").update(text).digest("hex").slice(0, 8);
  const kept = label.slice(0, maxChars - digest.length - 1).replace(/-$/, "");
  return kept === "" ? digest : `${kept}-${digest}`;
}

/** The name of an API's object, its `index`th of a kind. The prefix keeps it apart from objects of others in the gateway's namespace. */
export function objectName(api: Pick<Api, "id">, index = 0): string {
  return `tollgate-${slug(api.id)}${index === 0 ? "" : `--${index + 1}`}`;
}

/** The name of a subset in a DestinationRule: of all of an API's upstream, or of one version. */
export function subsetName(api: Pick<Api, "id">, version?: string): string {
  return version === undefined
    ? slug(api.id)
    : `${slug(api.id, Math.min(idMaxChars, labelMaxChars - version.length - 2))}--${version}`;
}

/** The name of what belongs to a host; a host that can't be part of a name, or is too long for one, is there by its slug. */
export function hostName(host: string): string {
  if (host === "*") return "tollgate-any-host";
  const [what, rest] = host.startsWith("*.") ? ["tollgate-hosts-below", host.slice(2)] : ["tollgate-host", host];
  const plain = `${what}--${rest}`;
  return isSubdomain(plain) ? plain : `${what}-short--${slug(rest, hostSlugMaxChars)}`;
}

/** The pattern of one DNS label (RFC 1123). */
export const dnsLabel = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";
const subdomain = new RegExp(`^(?=.{1,253}$)${dnsLabel}(?:\\.${dnsLabel})*$`);

/** RFC 1123 as Kubernetes has it for the names of most kinds, and the Gateway API for sections: labels of at most 63 characters, 253 in all. */
function isSubdomain(text: string): boolean {
  return subdomain.test(text);
}

/** What kinds demand of a name that DNS must hold as one label (RFC 1123; of a Service RFC 1035). All others take a subdomain. */
const labelKinds: Record<string, RegExp> = {
  Service: /^[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?$/,
  Namespace: new RegExp(`^${dnsLabel}$`),
};

/** Does Kubernetes take this name for an object of this kind? */
export function isObjectName(kind: string, name: string): boolean {
  return labelKinds[kind]?.test(name) ?? isSubdomain(name);
}

/** Labels of every object that is made here. */
export const ownLabels = { "app.kubernetes.io/managed-by": "tollgate" } as const;
