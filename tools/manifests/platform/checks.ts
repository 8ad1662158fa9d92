/** What can't work is refused before anything is written. */
import { takesTokens, type EnvironmentSpec } from "../../../control/domain/model.ts";
import { type ManifestFile, ManifestError, type ManifestOptions } from "../model.ts";
import { isObjectName } from "../routing/names.ts";

/** Istio has the APIs security.istio.io/v1, telemetry.istio.io/v1 and networking.istio.io/v1 from here on. */
const oldestMinor = 22;
/** leaves room for `-gateway`, and for `-istio` that Istio appends */
const gatewayNameMax = 55;

export function checkOptions(spec: EnvironmentSpec, options: ManifestOptions): void {
  const { major, minor } = options.istioVersion;
  if (major < 1 || (major === 1 && minor < oldestMinor))
    throw new ManifestError(
      `Istio ${major}.${minor} has not all of the APIs that the manifests use: they need 1.${oldestMinor} or newer (--istio-version).`,
    );
  checkImage(options.image.module);
  if (options.gateway.name.length > gatewayNameMax) {
    throw new ManifestError(
      `The gateway's name \`${options.gateway.name}\` has more than ${gatewayNameMax} characters: its Service adds some, and takes at most 63. Choose a shorter one (--gateway).`,
    );
  }
  checkKeySources(spec, options);
  const closed = spec.apis.find(({ auth }) => takesTokens(auth.mode) && auth.jwt === undefined);
  if (closed !== undefined)
    throw new ManifestError(
      `API \`${closed.id}\`: auth.mode ${closed.auth.mode} says not whose tokens it takes, so nothing could verify them. Add auth.jwt with its issuers, or leave the API out until they're known.`,
    );
  const routed = spec.apis.find(({ auth, traffic }) => auth.mode === "mtls" && traffic !== undefined);
  if (routed !== undefined)
    throw new ManifestError(
      `API \`${routed.id}\`: traffic has no meaning with auth.mode mtls: the API isn't at the gateway, services call it as they call each other anyway. Leave it out.`,
    );
}

function checkImage(module: string): void {
  if (module.startsWith("file://") || /@sha256:[0-9a-f]{64}$/.test(module)) return;
  throw new ManifestError(
    `The filter's image \`${module}\` has no digest: a tag can be moved, and two gateways would run different filters. Name it as <image>@sha256:<digest>; \`npm run image\` prints the digest.`,
  );
}

/** Istio verifies what follows `Bearer` before the filter runs: a key there would be refused as a broken token. */
function checkKeySources({ apis }: EnvironmentSpec, { keySources = [] }: ManifestOptions): void {
  const api = apis.find(({ auth }) => takesTokens(auth.mode));
  if (api === undefined) return;
  const place = keySources.findIndex(
    (source) => source.bearer === true || source.header?.toLowerCase() === "authorization",
  );
  if (place < 0) return;
  const what = keySources[place]!.bearer === true ? "bearer" : "header: authorization";
  throw new ManifestError(
    `keySources[${place}]: keys can't come by \`${what}\` at a gateway whose API \`${api.id}\` takes tokens (auth.mode ${api.auth.mode}): Istio reads tokens there, and refuses a key as a broken one before the filter sees it. Use another source, such as {header: x-api-key}.`,
  );
}

/** Kubernetes takes only some names. Two objects of one name would overwrite each other; so would two files of one path. */
export function checkNames(files: readonly ManifestFile[]): void {
  const paths = new Set<string>();
  for (const { path } of files) {
    if (paths.has(path))
      throw new ManifestError(`Two files would be ${path}: give the APIs ids that differ in more than punctuation.`);
    paths.add(path);
  }
  const objects = new Map<string, string>();
  for (const { path, documents } of files) {
    for (const {
      object: { apiVersion, kind, metadata },
    } of documents) {
      if (!isObjectName(kind, metadata.name))
        throw new ManifestError(
          `${path}: Kubernetes takes no ${kind} named ${metadata.name}. Choose a shorter or plainer name.`,
        );
      const name = `${apiVersion.split("/")[0]} ${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
      const other = objects.get(name);
      if (other !== undefined)
        throw new ManifestError(
          `${other} and ${path} would both hold the ${kind} ${metadata.name}: give the APIs ids that differ in more than punctuation.`,
        );
      objects.set(name, path);
    }
  }
}
