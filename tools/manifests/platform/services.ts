/** Services behind APIs, and how policies and plugins say that they are for one of them. */
import type { ManifestOptions } from "../model.ts";

export interface Service {
  name: string;
  namespace: string;
}

type Target = { selector: { matchLabels: Record<string, string> } } | { targetRefs: unknown[] };

/** A sidecar is found by its pod's label; a waypoint stands before the Service itself, and heeds no labels. */
export function serviceTarget({ name }: Service, { meshProxy, workloadLabel = "app" }: ManifestOptions): Target {
  if (meshProxy === "waypoint") return { targetRefs: [{ group: "", kind: "Service", name }] };
  return { selector: { matchLabels: { [workloadLabel]: name } } };
}

/** Of the field that `serviceTarget` makes: its JSON pointer, and what there is to know. */
export function targetComment(
  { name, namespace }: Service,
  { meshProxy, workloadLabel = "app" }: ManifestOptions,
): readonly [string, string] {
  if (meshProxy === "waypoint")
    return [
      "/spec/targetRefs",
      `The Service must have a waypoint (label istio.io/use-waypoint), else nobody heeds this: \`istioctl waypoint list -n ${namespace}\`.`,
    ];
  return [
    "/spec/selector",
    `The pods behind the service ${name} must bear this label, else this is for nobody: \`kubectl get pods -n ${namespace} -l ${workloadLabel}=${name}\`. Another label: --workload-label.`,
  ];
}
