/** What `tollgate manifests` makes, before it is text: files of Kubernetes objects, each with why it is there. */
import type { PluginConfiguration } from "../../control/domain/pluginSchema.ts";

/** One YAML file: Kubernetes objects in order. */
export interface ManifestFile {
  /** relative to the folder that is written, with `/` */
  path: string;
  documents: readonly ManifestDocument[];
}

export interface ManifestDocument {
  /** why the object is there, for whoever reviews it: shown above it, lines broken as given */
  comment: string;
  object: KubernetesObject;
  /** why a field is as it is, by the field's JSON pointer: shown above the field */
  comments?: ReadonlyMap<string, string>;
}

export interface KubernetesObject {
  apiVersion: string;
  kind: string;
  metadata: ObjectMetadata;
  [field: string]: unknown;
}

interface ObjectMetadata {
  name: string;
  namespace?: string;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
}

export type RoutingFlavour = "istio" | "gateway-api";

export interface IstioVersion {
  major: number;
  minor: number;
}

export interface ManifestOptions {
  routing: RoutingFlavour;
  istioVersion: IstioVersion;
  /** where control runs */
  namespace: string;
  /** the gateway that serves the APIs: its pods bear the labels of `selector` */
  gateway: { name: string; namespace: string; selector: Record<string, string> };
  /** OCI references; `@sha256:…` pins them */
  image: { module: string; control: string };
  environment: string;
  keySources: PluginConfiguration["keySources"];
  /** of the mesh: the first part of its SPIFFE ids */
  trustDomain: string;
  /** more of the plugin's configuration; not control, environment, snapshot and keySources */
  plugin?: Readonly<Record<string, unknown>>;
  /** what stands before services in the mesh; default: sidecar */
  meshProxy?: "sidecar" | "waypoint";
  /** the label of upstreams' pods that bears their service's name, where sidecars are; default: app */
  workloadLabel?: string;
  /** a Secret in the plugin's namespace by which its image is pulled */
  imagePullSecret?: string;
}

/** What can't be made of these definitions: `message` names the field and, where there is one, the API, and says what would do. */
export class ManifestError extends Error {
  override readonly name = "ManifestError";
}
