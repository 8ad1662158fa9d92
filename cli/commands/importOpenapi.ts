/** import openapi: API definitions of an OpenAPI document. */
import { type Command, InvalidArgumentError } from "commander";
import { hostFault, pathFault } from "../../control/domain/hostsAndPaths.ts";
import { pathText, problemLine } from "../../control/domain/problem.ts";
import { ApiSchema, lowerIdPattern } from "../../control/domain/schema.ts";
import { importOpenApi } from "../../tools/openapi/importOpenApi.ts";
import { OpenApiError } from "../../tools/openapi/source.ts";
import { environmentOf, optionsOf, type Context } from "../context.ts";
import { RefusedError } from "../failure.ts";
import { readInputFile, withFile } from "../input.ts";
import { json } from "../output.ts";
import { collect, wholeNumber } from "../values.ts";
import { deliver } from "./files.ts";

interface Options {
  file: string;
  host?: string[];
  id?: string;
  service?: string;
  port?: number;
  prefix?: string;
  output: string;
}

export function addImportCommands(program: Command, context: Context): void {
  const parent = program.command("import").description("Create a configuration file from another format.");
  withFile(parent.command("openapi"))
    .description("Create APIs from an OpenAPI 3 document in YAML or JSON.")
    .option("--host <name>", "Host of the APIs; repeatable (default: the hosts of the document)", host)
    .option("--id <id>", "ID of the API (default: derived from the title)", id)
    .option("--service <name>", "Host name of the upstream service", service)
    .option("--port <number>", "Port of the upstream service", port)
    .option("--prefix <path>", "Prefix of all paths (default: the path of the document's servers)", prefix)
    .option("-o, --output <path>", "Write to this file; - for standard output", "-")
    .action(async (_options, command: Command) => {
      const options = optionsOf<Options>(command);
      const text = await readInputFile(context, options.file);
      const environment = environmentOf(context, options);
      try {
        const { yaml, apis, notes } = importOpenApi(text, {
          ...(options.host === undefined ? {} : { hosts: [...new Set(options.host)] }),
          ...(options.id === undefined ? {} : { id: options.id }),
          ...(options.prefix === undefined ? {} : { prefix: options.prefix }),
          ...(environment === undefined ? {} : { environment }),
          upstream: {
            ...(options.service === undefined ? {} : { service: options.service }),
            ...(options.port === undefined ? {} : { port: options.port }),
          },
        });
        const result = options.json
          ? json({
              version: 1,
              ...(environment === undefined ? {} : { environment }),
              apis,
              notes: notes.map(({ severity: _, path, ...rest }) => ({ ...rest, path: pathText(path) })),
            })
          : yaml;
        await deliver(context, result, options.output === "-" ? undefined : options.output);
        if (!options.json) for (const note of notes) context.streams.err(`${problemLine(context.file!, note)}\n`);
      } catch (error) {
        if (!(error instanceof OpenApiError)) throw error;
        throw new RefusedError(error.problems.map((problem) => problemLine(context.file!, problem)).join("\n"));
      }
    });
}

function host(text: string, before: string[] | undefined): string[] {
  const name = text.toLowerCase();
  const fault = hostFault(name);
  if (fault !== undefined) throw new InvalidArgumentError(`${fault.message} ${fault.remedy}`);
  return collect(name, before);
}

function id(text: string): string {
  if (!new RegExp(lowerIdPattern).test(text))
    throw new InvalidArgumentError(
      "Give 1 to 63 lower-case letters, digits, `.`, `_`, `-`; the first a letter or a digit.",
    );
  return text;
}

function service(text: string): string {
  if (!new RegExp(ApiSchema.properties.upstream.properties.service.pattern!).test(text))
    throw new InvalidArgumentError("Give a host name, such as orders.shop.svc.cluster.local.");
  return text;
}

function port(text: string): number {
  const value = wholeNumber(1)(text);
  if (value > 65_535) throw new InvalidArgumentError("Give a port, 1 to 65535.");
  return value;
}

/** Without its final slash: "" is the root. */
function prefix(text: string): string {
  const path = text.replace(/\/+$/, "");
  const fault = path === "" ? undefined : pathFault(path);
  if (fault !== undefined) throw new InvalidArgumentError(`${fault.message} ${fault.remedy}`);
  return path;
}
