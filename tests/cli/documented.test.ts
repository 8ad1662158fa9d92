/** Commands in the documents exist, with the options that they are shown with. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { cli, root } from "./support.ts";

const documents = [
  "README.md",
  ...readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

interface Shown {
  words: string[];
  options: string[];
}

/** What follows `npx tollgate`, or `tollgate` in code within a line, up to the end of the command. */
function commandsIn(text: string): Shown[] {
  const lines = text.replace(/\\\n\s*/g, " ");
  return [...lines.matchAll(/(?:npx |`)tollgate ([^\n`|#;&)>]+)/g)].map(([, command = ""]) => {
    const parts = command.trim().split(/\s+/);
    const end = parts.findIndex((part) => !/^[a-z][a-z-]*$/.test(part));
    const words = end < 0 ? parts : parts.slice(0, end);
    return { words, options: parts.filter((part) => /^--[a-z]/.test(part)).map((part) => part.replace(/=.*$/, "")) };
  });
}

const helps = new Map<string, Promise<string | undefined>>();

/** The help of the longest command that these words begin with; undefined: there is none. */
async function helpOf(words: string[]): Promise<string | undefined> {
  if (words.length === 0) return (await cli(["--help"])).stdout;
  for (let count = Math.min(words.length, 2); count > 0; count--) {
    const name = words.slice(0, count).join(" ");
    if (!helps.has(name))
      helps.set(
        name,
        cli([...words.slice(0, count), "--help"]).then(({ code, stdout }) =>
          code === 0 && stdout.includes(`Usage: tollgate ${name} `) ? stdout : undefined,
        ),
      );
    const help = await helps.get(name);
    if (help !== undefined) return help;
  }
  return undefined;
}

describe("a command in", () => {
  for (const document of documents) {
    const commands = commandsIn(readFileSync(join(root, document), "utf8"));
    if (commands.length === 0) continue;
    it(`${document} exists, with its options`, async () => {
      for (const { words, options } of commands) {
        const help = await helpOf(words);
        assert.ok(help !== undefined, `tollgate ${words.join(" ")}`);
        for (const option of options)
          assert.match(help, new RegExp(`(?:^|[ ,])${option}(?![a-z-])`, "m"), `tollgate ${words.join(" ")} ${option}`);
      }
    });
  }

  it("the guide to Istio is looked at", () => {
    assert.ok(commandsIn(readFileSync(join(root, "docs", "get-started", "istio.md"), "utf8")).length >= 8);
  });
});
