/** completion: what a shell needs to complete commands and options. */
import { Argument, type Command } from "commander";
import type { Context } from "../context.ts";

const shells = ["bash", "zsh", "fish"] as const;

/** `loadAll` returns a program with every command. */
export function addCompletionCommand(program: Command, context: Context, loadAll: () => Promise<Command>): void {
  program
    .command("completion")
    .description("Print a completion script for bash, zsh or fish.")
    .addArgument(new Argument("<shell>", "The shell").choices(shells))
    .action(async (shell: (typeof shells)[number]) => {
      const all = places(await loadAll());
      context.streams.out(shell === "fish" ? fishScript(all) : bashScript(all, shell === "zsh"));
    });
}

/** A command, by the words that lead to it, with what may follow them. */
interface Place {
  words: readonly string[];
  commands: readonly Command[];
  options: readonly string[];
}

function places(command: Command, words: readonly string[] = [], inherited: readonly string[] = []): Place[] {
  const own = command.options.flatMap(({ long, hidden }) =>
    long === undefined || long === null || hidden ? [] : [long],
  );
  const options = [...new Set([...own, ...inherited, "--help"])];
  const commands = command.commands.filter((child) => child.name() !== "help");
  return [
    { words, commands, options },
    ...commands.flatMap((child) => places(child, [...words, child.name()], options)),
  ];
}

/** zsh runs bash's completion functions. */
function bashScript(all: readonly Place[], zsh: boolean): string {
  const cases = all.map(({ words, commands, options }) => {
    const candidates = [...commands.map((command) => command.name()), ...options].join(" ");
    return `    "${words.join(" ")}") candidates="${candidates}" ;;`;
  });
  const known = all.filter(({ words }) => words.length > 0).map(({ words }) => `"${words.join(" ")}"`);
  return `${zsh ? "autoload -U +X bashcompinit && bashcompinit\n" : ""}_tollgate() {
  local at="" word candidates=""
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "\${at:+$at }$word" in
      ${known.join(" | ")}) at="\${at:+$at }$word" ;;
    esac
  done
  case "$at" in
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$candidates" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _tollgate tollgate
`;
}

function fishScript(all: readonly Place[]): string {
  const lines = all.flatMap(({ words, commands, options }) => {
    const below = commands.map((command) => command.name()).join(" ");
    const here =
      words.length === 0
        ? "__fish_use_subcommand"
        : `${words.map((word) => `__fish_seen_subcommand_from ${word}`).join("; and ")}${below === "" ? "" : `; and not __fish_seen_subcommand_from ${below}`}`;
    return [
      ...commands.map(
        (command) => `complete -c tollgate -n '${here}' -f -a ${command.name()} -d ${quoted(command.description())}`,
      ),
      ...options.map((option) => `complete -c tollgate -n '${here}' -l ${option.slice(2)}`),
    ];
  });
  return `${lines.join("\n")}\n`;
}

function quoted(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
