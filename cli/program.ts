import { Command } from "commander";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../control/projectPaths.ts";
import { commandGroups } from "./catalog.ts";
import type { Context } from "./context.ts";
import { maskSecrets } from "../control/secrets.ts";
import { describeFailure } from "./failure.ts";

/** Runs one command line (without the program's name) and gives its exit code: 0 done, 1 refused, 2 usage. */
export async function runCli(args: readonly string[], context: Context): Promise<number> {
  try {
    await (await buildProgram(args, context)).parseAsync([...args], { from: "user" });
    return 0;
  } catch (error) {
    const { exitCode, text } = describeFailure(error, context.file);
    if (text !== "") context.streams.err(maskSecrets(text));
    return exitCode;
  }
}

/** The program with the files loaded that the command line needs: those of the group of the command that it names. */
async function buildProgram(args: readonly string[], context: Context): Promise<Command> {
  const program = rootProgram(context);
  const named = commandNamed(program, args);
  for (const { commands, load } of commandGroups) {
    if (named !== undefined && Object.hasOwn(commands, named)) (await load())(program, context);
    else for (const [name, description] of Object.entries(commands)) program.command(name).description(description);
  }
  inherit(program);
  return program;
}

/** The program with its global options, before any command is added. */
export function rootProgram(context: Context): Command {
  const program = new Command("tollgate");
  program
    .description("API keys, rate limits and quotas, enforced inside the Envoy proxy your Istio gateway already runs.")
    .version(packageVersion())
    .option("--url <url>", "URL of the admin API (TOLLGATE_URL; default: http://127.0.0.1:8090)")
    .option("--token <token>", "Admin token; TOLLGATE_ADMIN_TOKEN keeps it out of the process list")
    .option("-e, --environment <name>", "Environment (TOLLGATE_ENVIRONMENT; default: the one in the file, or default)")
    .option("--json", "Output JSON")
    .configureHelp({ showGlobalOptions: true, sortSubcommands: false })
    .showHelpAfterError("(run with --help for usage)")
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.streams.out(text),
      writeErr: (text) => context.streams.err(maskSecrets(text)),
    });
  return program;
}

/** The command that is asked for, or whose help is. */
function commandNamed(program: Command, args: readonly string[]): string | undefined {
  const [first, second] = withoutGlobals(program, args);
  return first === "help" ? second : first;
}

/** The arguments from the first that is neither a global option nor its value. */
function withoutGlobals(program: Command, args: readonly string[]): string[] {
  for (let at = 0; at < args.length; at++) {
    const text = args[at]!;
    if (!text.startsWith("-")) return args.slice(at);
    const option = program.options.find(({ short, long }) => short === text || long === text);
    if (option?.required === true) at++;
  }
  return [];
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
