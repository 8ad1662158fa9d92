/** ServiceEntries: names outside the mesh that APIs lead to. */
import type { Api } from "../../../control/domain/model.ts";
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { objectName, ownLabels } from "./names.ts";
import { originatesTls } from "./policy.ts";

/** One for each name, in the folder of the first API that leads there. */
export function serviceEntries(apis: readonly Api[], { gateway }: ManifestOptions): Map<Api, ManifestDocument> {
  const hosts = new Map<string, Api[]>();
  for (const api of apis)
    if (api.traffic?.external !== undefined)
      hosts.set(api.upstream.service, [...(hosts.get(api.upstream.service) ?? []), api]);
  return new Map(
    [...hosts].map(([host, users]) => {
      const [first, ...others] = users;
      const ports = [...new Set(users.map(({ upstream }) => upstream.port))].sort((a, b) => a - b);
      const shared = others.length === 0 ? "" : ` It serves ${others.map(({ id }) => id).join(", ")} as well.`;
      const why = originatesTls(first!)
        ? "\nThe protocol is what the gateway's filters see: the DestinationRule wraps it in TLS."
        : "";
      return [
        first!,
        {
          comment: `${host} is outside the mesh: without this entry the gateway knows no such upstream.${shared}${why}`,
          object: {
            apiVersion: "networking.istio.io/v1",
            kind: "ServiceEntry",
            metadata: { name: objectName(first!), namespace: gateway.namespace, labels: { ...ownLabels } },
            spec: {
              hosts: [host],
              exportTo: ["."],
              location: "MESH_EXTERNAL",
              resolution: "DNS",
              ports: ports.map((number) => ({ number, name: `http-${number}`, protocol: "HTTP" })),
            },
          },
        },
      ];
    }),
  );
}
