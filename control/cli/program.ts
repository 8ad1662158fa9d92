import { Command } from "commander";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../envoy/paths.ts";
import type { Context } from "./context.ts";
import { addAdministrationCommands } from "./commands/administration.ts";
import { addDoctorCommand } from "./commands/doctor.ts";
import { addFileCommands } from "./commands/files.ts";
import { addImportCommands } from "./commands/importOpenapi.ts";
import { addKeyCommands } from "./commands/keys.ts";
import { addLocalCommands } from "./commands/local.ts";
import { addManifestsCommand } from "./commands/manifests.ts";
import { addQuotaCommands } from "./commands/quota.ts";
import { addRecordCommands } from "./commands/records.ts";
import { addRoutesCommand } from "./commands/routes.ts";
import { addSimulateCommand } from "./commands/simulate.ts";
import { addTokenKeyCommands } from "./commands/tokenKeys.ts";
import { addUsageCommand } from "./commands/usage.ts";
import { maskSecrets } from "../secrets.ts";
import { describeFailure } from "./failure.ts";

/** Runs one command line (without the program's name) and gives its exit code: 0 done, 1 refused, 2 usage. */
export async function runCli(args: readonly string[], context: Context): Promise<number> {
  try {
    await buildProgram(context).parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    const { exitCode, text } = describeFailure(error, context.file);
    if (text !== "") context.streams.err(maskSecrets(text));
    return exitCode;
  }
}

function buildProgram(context: Context): Command {
  const program = new Command("tollgate");
  program
    .description("API keys, tiers, quotas and identity claims, decided inside Envoy")
    .version(packageVersion())
    .option("--url <url>", "control's admin API (TOLLGATE_URL; default http://127.0.0.1:8090)")
    .option("--token <token>", "admin token; TOLLGATE_ADMIN_TOKEN keeps it out of the list of processes")
    .option("-e, --environment <name>", "environment (TOLLGATE_ENVIRONMENT; default: the file's, else default)")
    .option("--json", "results for machines")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError("(--help shows what there is)")
    .exitOverride()
    .configureOutput({ writeOut: (text) => context.streams.out(text), writeErr: (text) => context.streams.err(maskSecrets(text)) });
  addLocalCommands(program, context);
  addFileCommands(program, context);
  addImportCommands(program, context);
  addManifestsCommand(program, context);
  addRoutesCommand(program, context);
  addSimulateCommand(program, context);
  addKeyCommands(program, context);
  addRecordCommands(program, context);
  addUsageCommand(program, context);
  addQuotaCommands(program, context);
  addAdministrationCommands(program, context);
  addDoctorCommand(program, context);
  addTokenKeyCommands(program, context);
  inherit(program);
  return program;
}

/** Commands made by `command()` inherit settings of the moment they were made; this gives all of them those of the root. */
function inherit(parent: Command): void {
  for (const child of parent.commands) {
    child.copyInheritedSettings(parent);
    inherit(child);
  }
}

function packageVersion(): string {
  return (JSON.parse(readFileSync(join(projectRoot(), "package.json"), "utf8")) as { version: string }).version;
}
