/** The routing part of `tollgate manifests`: one folder for each API, and the gateway with what hosts share under `platform/`. */
import { fillEnvironment } from "../../../control/domain/defaults.ts";
import type { Api } from "../../../control/domain/model.ts";
import type { FileInput } from "../../../control/domain/schema.ts";
import type { ManifestFile, ManifestOptions } from "../model.ts";
import { gatewayApiFiles } from "./gatewayApi.ts";
import { checkOptions } from "./check.ts";
import { istioFiles } from "./istio.ts";

/** The files, in order of their paths. The definitions have passed their checks. Throws a ManifestError for what this flavour can't say. */
export function routingFiles(file: FileInput, options: ManifestOptions): ManifestFile[] {
  const { apis } = fillEnvironment(file, file.environment ?? options.environment);
  // The order of the definitions must not show in what is made of them.
  const sorted: Api[] = [...apis].sort((a, b) => (a.id < b.id ? -1 : 1));
  if (sorted.length === 0) return [];
  checkOptions(sorted, options);
  const files = options.routing === "istio" ? istioFiles(sorted, options) : gatewayApiFiles(sorted, options);
  return files.filter(({ documents }) => documents.length > 0).sort((a, b) => (a.path < b.path ? -1 : 1));
}
