/** Completion scripts, run by their shell. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { cli } from "./support.ts";

/** What bash offers after these words; the last one is being typed. */
function offered(script: string, ...words: string[]): string[] {
  const quoted = ["tollgate", ...words].map((word) => `'${word}'`).join(" ");
  const program = `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _tollgate; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { status, stdout, stderr } = spawnSync("bash", ["-c", program], { encoding: "utf8" });
  assert.deepEqual([status, stderr], [0, ""]);
  return stdout.split("\n").filter((line) => line !== "");
}

test("bash completes commands, their commands and options", async () => {
  const { code, stdout: script, stderr } = await cli(["completion", "bash"]);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.deepEqual(offered(script, "ke"), ["keys"]);
  assert.deepEqual(offered(script, "keys", "ro"), ["rotate"]);
  assert.ok(offered(script, "keys", "create", "--").includes("--consumer"));
  assert.ok(offered(script, "keys", "create", "--").includes("--json"), "global options are offered everywhere");
  assert.ok(offered(script, "keys", "--consumer", "keys", "").includes("rotate"), "an option's value isn't a command");
  assert.deepEqual(offered(script, "nonsense", "ke"), ["keys"]);
});

test("zsh runs the same function, fish has a line for each command and option", async () => {
  const { stdout: zsh } = await cli(["completion", "zsh"]);
  const { stdout: bash } = await cli(["completion", "bash"]);
  assert.equal(zsh, `autoload -U +X bashcompinit && bashcompinit\n${bash}`);
  const { stdout: fish } = await cli(["completion", "fish"]);
  assert.match(fish, /^complete -c tollgate -n '__fish_use_subcommand' -f -a keys -d '/m);
  assert.match(
    fish,
    /^complete -c tollgate -n '__fish_seen_subcommand_from keys; and __fish_seen_subcommand_from create' -l consumer$/m,
  );
});

test("a shell that isn't known is refused with those that are", async () => {
  const { code, stderr } = await cli(["completion", "tcsh"]);
  assert.equal(code, 2);
  assert.match(stderr, /Allowed choices are bash, zsh, fish/);
});
