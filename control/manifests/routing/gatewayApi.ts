import type { Api } from "../../domain/model.ts";
import type { ManifestFile, ManifestOptions } from "../model.ts";
export function gatewayApiFiles(_apis: readonly Api[], _options: ManifestOptions): ManifestFile[] { return []; }
