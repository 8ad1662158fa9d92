/** What kustomize reads of a folder. */
import type { ManifestFile } from "../model.ts";

/** `content`: resources, patches and components of the folder, in the order in which they are to be read. */
export function kustomization(
  folder: string,
  comment: string,
  content: { resources?: readonly string[]; components?: readonly string[]; patches?: readonly unknown[] },
  kind: "Kustomization" | "Component" = "Kustomization",
  comments?: ReadonlyMap<string, string>,
): ManifestFile {
  return {
    path: `${folder}/kustomization.yaml`,
    documents: [
      {
        comment,
        object: {
          apiVersion: kind === "Component" ? "kustomize.config.k8s.io/v1alpha1" : "kustomize.config.k8s.io/v1beta1",
          kind,
          metadata: { name: `tollgate-${folder.split("/").at(-1)!}` },
          ...content,
        },
        ...(comments === undefined ? {} : { comments }),
      },
    ],
  };
}
