/** Names of Kubernetes objects, made of ids that may hold what Kubernetes doesn't take. */
import { createHash } from "node:crypto";
import type { Api } from "../../domain/model.ts";

const labelMaxChars = 63;
/** leaves room for what names add to an id */
const idMaxChars = 40;

/**
 * A DNS label that stands for this text alone: what can't be kept as it is gets a digest. It never holds `--`, which separates parts of
 * names.
 */
export function slug(text: string, maxChars = idMaxChars): string {
  const label = text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "");
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
  return version === undefined ? slug(api.id) : `${slug(api.id, Math.min(idMaxChars, labelMaxChars - version.length - 2))}--${version}`;
}

/** The name of what belongs to a host. */
export function hostName(host: string): string {
  return host === "*" ? "tollgate-any-host" : host.startsWith("*.") ? `tollgate-hosts-below--${host.slice(2)}` : `tollgate-host--${host}`;
}

/** Labels of every object that is made here. */
export const ownLabels = { "app.kubernetes.io/managed-by": "tollgate" } as const;
