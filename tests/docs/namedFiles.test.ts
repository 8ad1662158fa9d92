/** The files that contributors' pages and the documents name in code exist, so that a move of files can't leave a walk or a checklist behind. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { projectRoot } from "../../control/projectPaths.ts";

const root = projectRoot();
const folders = ["concepts", "operate", "internals"];
const documents = [
  "CONTRIBUTING.md",
  "assembly/README.md",
  "control/README.md",
  ...folders.flatMap((folder) =>
    readdirSync(join(root, "docs", folder))
      .filter((name) => name.endsWith(".md"))
      .map((name) => `docs/${folder}/${name}`),
  ),
];
const rooms = "assembly|bench|cli|control|devstack|protocol|scripts|tests|tools";

/** Paths in code that end in a file's name, with the placeholder NAME left out. */
function namedFiles(text: string): string[] {
  const found = [...text.matchAll(new RegExp(`\`((?:${rooms})/[\\w./-]+\\.(?:ts|mjs))\``, "g"))].map(
    ([, path]) => path!,
  );
  return found.filter((path) => !path.includes("NAME"));
}

describe("files that documents name exist:", () => {
  for (const document of documents) {
    it(document, () => {
      assert.deepEqual(
        namedFiles(readFileSync(join(root, document), "utf8")).filter((path) => !existsSync(join(root, path))),
        [],
      );
    });
  }

  it("CONTRIBUTING.md names those of the walks", () => {
    assert.ok(new Set(namedFiles(readFileSync(join(root, "CONTRIBUTING.md"), "utf8"))).size >= 80);
  });
});
