/** The program's start: what it loads, and what help says of commands that aren't loaded. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { test } from "node:test";
import { Command } from "commander";
import { commandGroups } from "../../cli/catalog.ts";
import { cli, root } from "./support.ts";

const context = { env: {}, streams: { out: () => undefined, err: () => undefined }, readInput: async () => "" };

/** The files and packages that a module loads at once, itself and by what it loads. */
function loadedBy(entry: string): { files: Set<string>; packages: Set<string> } {
  const files = new Set<string>();
  const packages = new Set<string>();
  const visit = (file: string): void => {
    if (files.has(file)) return;
    files.add(file);
    for (const [, clause, from] of readFileSync(file, "utf8").matchAll(
      /^(?:import|export) (?!type )([^"';]*? from )?"([^"]+)";/gm,
    )) {
      if (clause !== undefined && /^\{(?: type [^,}]+,?)+ \} from $/.test(clause)) continue;
      if (from!.startsWith(".")) visit(resolve(dirname(file), from!));
      else if (!from!.startsWith("node:")) packages.add(from!);
    }
  };
  visit(entry);
  return { files, packages };
}

test("the program loads commander alone until a command is named", () => {
  const { files, packages } = loadedBy(join(root, "cli/main.ts"));
  assert.deepEqual([...packages], ["commander"]);
  assert.ok(files.size > 5 && files.size <= 12, `${files.size} files: ${[...files].join(", ")}`);
});

test("the counting sees what is loaded", () => {
  assert.ok(loadedBy(join(root, "cli/commands/files.ts")).packages.has("yaml"));
});

test("help lists every command as its own file describes it", async () => {
  for (const { commands, load } of commandGroups) {
    const program = new Command();
    (await load())(program, context);
    assert.deepEqual(
      Object.fromEntries(program.commands.map((command) => [command.name(), command.description()])),
      commands,
    );
  }
  const { stdout } = await cli(["--help"]);
  for (const { commands } of commandGroups)
    for (const name of Object.keys(commands)) assert.match(stdout, new RegExp(`^ {2}${name}\\b`, "m"));
});

test("a command is found behind global options, and its help in both ways", async () => {
  for (const args of [
    ["--json", "--url", "keys", "validate", "--help"],
    ["-e", "quota", "validate", "--help"],
    ["help", "validate"],
  ]) {
    const { code, stdout } = await cli(args);
    assert.deepEqual([code, /--file <path>/.test(stdout)], [0, true], args.join(" "));
  }
  for (const args of [["toString"], ["valdate"], ["--nonsense"], ["keys", "nonsense"]])
    assert.equal((await cli(args)).code, 2, args.join(" "));
});

test("no default in help is an object, an empty text or a path of this machine", async () => {
  let defaults = 0;
  const look = (command: Command, name: string): void => {
    const help = command.helpInformation();
    for (const [, shown] of help.replace(/\n\s+/g, " ").matchAll(/\(default: ([^)]*)\)/g)) {
      defaults++;
      assert.doesNotMatch(shown!, /^\{|^""$|\/(?:[^ ]+\/){2}|^"\//, `${name}: ${shown}`);
    }
    for (const child of command.commands) look(child, `${name} ${child.name()}`);
  };
  for (const { load } of commandGroups) {
    const program = new Command("tollgate");
    (await load())(program, context);
    look(program, "tollgate");
  }
  assert.ok(defaults > 10);
});

test("every description is a sentence that begins with a verb, and every option's text begins with a capital", async () => {
  let seen = 0;
  const look = (command: Command, name: string): void => {
    if (name !== "tollgate") {
      seen++;
      assert.match(command.description(), /^[A-Z][a-z]+,? .*\.$/, name);
      assert.doesNotMatch(command.description(), /^[A-Z][a-z]+s /, `${name}: the imperative`);
    }
    for (const { description, long } of [
      ...command.options,
      ...command.registeredArguments.map((argument) => ({ description: argument.description, long: argument.name() })),
    ]) {
      if (description !== "") assert.match(description, /^[A-Z]/, `${name} ${long}`);
    }
    for (const child of command.commands) look(child, `${name} ${child.name()}`);
  };
  for (const { load } of commandGroups) {
    const program = new Command("tollgate");
    (await load())(program, context);
    look(program, "tollgate");
  }
  assert.ok(seen > 40, String(seen));
});
