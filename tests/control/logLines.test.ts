/** The lists of log lines in docs/operate/operations.md are those that the code writes: none is missing, none is made up. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";

const root = resolve(import.meta.dirname, "../..");
const chapter = readFileSync(join(root, "docs/operate/operations.md"), "utf8")
  .split("\n## ")
  .find((text) => text.startsWith("Log lines"))!;
const [filterPart = "", controlPart = ""] = chapter.split("### Of the control plane");

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts") && !path.includes("__tests__"))
    .map((path) => onOneLine(readFileSync(join(root, folder, path), "utf8")));
}

/** The code with each chain of calls in one line, whatever the formatter made of it. */
function onOneLine(code: string): string {
  return code
    .replace(/\(\n\s*/g, "(")
    .replace(/,?\n\s*\)/g, ")")
    .replace(/\n\s*\./g, ".");
}

/** The code in the first cells of the table whose head begins with this word. */
function firstCells(text: string, head: string): string[] {
  const table = text.split("\n\n").find((part) => part.startsWith(`| ${head} |`)) ?? "";
  return table
    .split("\n")
    .slice(2)
    .filter((row) => row.startsWith("|"))
    .flatMap((row) => [...row.split("|")[1]!.matchAll(/`([^`]+)`/g)].map(([, code]) => code!));
}

/** Both lists say the same; `<name>` of one and `${…}` of the other stand for any text. */
function assertSame(documented: readonly string[], written: readonly string[]): void {
  assert.ok(documented.length > 0 && written.length > 0);
  const unify = (text: string) => text.replace(/<[^>]+>|\$\{[^}]*\}/g, "\u0000");
  const pattern = (text: string) =>
    new RegExp(
      `^${unify(text)
        .split("\u0000")
        .map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))
        .join("[^]+")}$`,
    );
  const matches = (code: string, line: string) => pattern(code).test(unify(line));
  assert.deepEqual(
    documented.filter((line) => !written.some((code) => matches(code, line))),
    [],
    "documented, but not written",
  );
  assert.deepEqual(
    written.filter((code) => !documented.some((line) => matches(code, line))),
    [],
    "written, but not documented",
  );
}

describe("docs/operate/operations.md has the log lines", () => {
  it("of the filter", () => {
    const lines = sources("assembly").flatMap((text) =>
      [...text.matchAll(/\b(?:info|warn|error)\(say\((.*)\)\);/g)].map(([, chain]) => chainText(chain!)),
    );
    const others =
      sources("assembly")
        .join("\n")
        .match(/(?<!function |get )\b(?:info|warn|error)\((?!say\()/g) ?? [];
    assert.deepEqual(others, [], 'every line begins with say("…"), so that it is seen here');
    assertSame(firstCells(filterPart, "line"), lines);
  });

  it("of the filter, with why calls fail", () => {
    const whys = sources("assembly").flatMap((text) =>
      [...text.matchAll(/this\.failed\(now,([^]*?)\);\n/g)].flatMap(([, rest]) =>
        [...rest!.matchAll(/"([^"]+)"/g)].map(([, why]) => why!),
      ),
    );
    assertSame(firstCells(filterPart, "why"), [...new Set(whys)]);
  });

  it("of control", () => {
    const calls = /\blog(?:ger)?\.(?:info|warn|error|fatal)\((?:\{[^]*?\},\s*)?(?:"([^"\n]+)"|`([^`\n]+)`)\)/g;
    const all = ["cli", "control", "devstack", "tools"]
      .flatMap(sources)
      .filter((text) => /\b#?log(?:ger)?\.(?:info|warn|error|fatal)\(/.test(text));
    const lines = all.flatMap((text) => [...text.matchAll(calls)].map(([, plain, template]) => plain ?? template!));
    const count = all.reduce(
      (sum, text) => sum + (text.match(/\blog(?:ger)?\.(?:info|warn|error|fatal)\(/g) ?? []).length,
      0,
    );
    assert.equal(lines.length, count, "every call is understood");
    assertSame(firstCells(controlPart, "`msg`"), lines);
  });
});

/** `"a ").array(x).add(" b"` as `a <> b`. */
function chainText(chain: string): string {
  const [first, ...rest] = chain.split(/\)\.(?=add\(|array\(|num\()/);
  const literal = (argument: string) => /^"(.*)"$/.exec(argument)?.[1] ?? "<any>";
  return [
    literal(first!),
    ...rest.map((step) => (step.startsWith("add(") ? literal(step.slice(4).replace(/\)$/, "")) : "<any>")),
  ].join("");
}
