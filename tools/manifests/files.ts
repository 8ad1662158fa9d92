/** All that `tollgate manifests` writes: `base`, an overlay for each kind of storage, components to choose from, what Istio itself needs. */
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput } from "../../control/domain/schema.ts";
import type { ManifestDocument, ManifestFile, ManifestOptions } from "./model.ts";
import { apiAuthorization } from "./platform/authorization.ts";
import { checkNames, checkOptions } from "./platform/checks.ts";
import { componentFiles } from "./platform/components.ts";
import { controlDocuments, namespaceDocument } from "./platform/control.ts";
import { controlNetworkDocuments } from "./platform/controlNetwork.ts";
import { gatewayPods, withGatewayPods } from "./platform/gatewayPods.ts";
import { hostForm } from "./platform/hosts.ts";
import { installFile } from "./platform/install.ts";
import { kustomization } from "./platform/kustomization.ts";
import { peerPlugins } from "./platform/peers.ts";
import { wasmPlugin } from "./platform/plugin.ts";
import { storageFiles } from "./platform/storage.ts";
import { telemetry } from "./platform/telemetry.ts";
import { requestAuthentication } from "./platform/tokens.ts";
import { routingFiles } from "./routing/routes.ts";

/** The files, in order of their paths. Throws a ManifestError where the definitions and the options don't go together. */
export function manifestFiles(file: FileInput, options: ManifestOptions): ManifestFile[] {
  const spec = fillEnvironment(file, options.environment);
  checkOptions(spec, options);
  const base = inOrder([
    ...platformFiles(spec, options),
    ...withGatewayPods(routingFiles(atGateway(file), options), options),
  ]);
  const components = componentFiles(spec, options);
  checkNames(base);
  checkNames(components);
  return inOrder([
    ...base.map((one) => ({ ...one, path: `base/${one.path}` })),
    kustomization(
      "base",
      "Control, the filter, and the routes and policies of every API. Apply an overlay: it says where control keeps its data.",
      { resources: base.map(({ path }) => path) },
    ),
    ...storageFiles(options),
    ...components,
    installFile(spec, options),
  ]);
}

/** `platform/` and what each API's folder has beside its routes. */
export function platformFiles(spec: EnvironmentSpec, options: ManifestOptions): ManifestFile[] {
  const one = (path: string, document: ManifestDocument | undefined): ManifestFile[] =>
    document === undefined ? [] : [{ path, documents: [document] }];
  return [
    ...one("platform/namespace.yaml", namespaceDocument(options)),
    { path: "platform/control.yaml", documents: controlDocuments(spec, options) },
    { path: "platform/control-network.yaml", documents: controlNetworkDocuments(spec, options) },
    ...one("platform/plugin.yaml", wasmPlugin(spec, options)),
    ...one("platform/host-form.yaml", hostForm(options)),
    ...one("platform/tokens.yaml", requestAuthentication(spec, options)),
    ...one("platform/telemetry.yaml", telemetry(options)),
    ...(options.routing === "gateway-api" ? one("platform/gateway-pods.yaml", gatewayPods(options)) : []),
    ...spec.apis.flatMap((api) => one(`apis/${api.id}/authorization.yaml`, apiAuthorization(api, spec, options))),
    ...peerPlugins(spec, options).map(({ api, documents }) => ({ path: `apis/${api}/plugin.yaml`, documents })),
  ];
}

/** Services call APIs for peers as they call each other anyway: those get no routes at the gateway. */
function atGateway(file: FileInput): FileInput {
  return file.apis === undefined ? file : { ...file, apis: file.apis.filter(({ auth }) => auth?.mode !== "mtls") };
}

function inOrder(files: readonly ManifestFile[]): ManifestFile[] {
  return [...files].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}
