/** An OpenAPI document as APIs of `tollgate.yaml`. */
import { pathText, type LocatedProblem } from "../../control/domain/problem.ts";
import type { ApiInput } from "../../control/domain/schema.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { type ApiOptions, makeApis } from "./apis.ts";
import { type ReadOptions, readApi } from "./operations.ts";
import { OpenApiError, Source } from "./source.ts";
import { apisYaml, keySourcesText, unusualKeySources } from "./write.ts";

export type ImportOptions = ReadOptions & ApiOptions & { environment?: string };

export interface ImportedApis {
  /** a `tollgate.yaml` that is valid by itself */
  yaml: string;
  apis: ApiInput[];
  /** what the APIs leave unsaid, with places in the document */
  notes: LocatedProblem[];
}

/** Reads YAML or JSON. Throws an OpenApiError with the places of what hinders it. */
export function importOpenApi(text: string, options: ImportOptions = {}): ImportedApis {
  const source = Source.read(text);
  const read = readApi(source, options);
  const made = makeApis(source, read, options);
  if (made.some(({ api }) => api.hosts.includes("*")))
    source.note(["servers"], "The document names no host: the APIs take requests to any.", "Name hosts with --host.");
  const unknown = made.find(({ upstreamKnown }) => !upstreamKnown)?.api.upstream;
  if (unknown !== undefined)
    source.note(
      [],
      `Where the service runs isn't known: ${unknown.service}:${unknown.port} is a guess.`,
      "Say it with --service and --port, or `x-tollgate: {upstream: {service: …, port: …}}`.",
    );
  const unusual = unusualKeySources(read.keySources);
  if (unusual.length > 0) {
    source.note(
      ["components", "securitySchemes"],
      "Keys come from places where the plugin doesn't look by itself.",
      `Its configuration needs keySources: ${keySourcesText(read.keySources)}.`,
    );
  }
  const yaml = apisYaml({ read, apis: made, environment: options.environment });
  refuseInvalid(yaml);
  return {
    yaml,
    apis: made.map(({ api, routes }) => ({ ...api, routes: routes.map(({ route }) => route) })),
    notes: source.notes(),
  };
}

/** What can't be a `tollgate.yaml` is not given out; its places are those in the result, which nobody has, so only fields are named. */
function refuseInvalid(yaml: string): void {
  const errors = loadFile(yaml).problems.filter(({ severity }) => severity === "error");
  if (errors.length === 0) return;
  throw new OpenApiError(
    errors.map(({ path, message, remedy }) => ({
      severity: "error",
      path: [],
      line: 1,
      column: 1,
      message: `The document makes no valid APIs: ${pathText(path)}: ${message}`,
      remedy,
    })),
  );
}
