/** The tests that docs/operate/threat-model.md names as proofs exist. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { projectRoot } from "../../control/projectPaths.ts";

it("names only tests that exist", () => {
  const page = readFileSync(join(projectRoot(), "docs", "operate", "threat-model.md"), "utf8");
  const links = [...page.matchAll(/\[([^\]]+\.test\.ts)\]\((?:\.\.\/)+([^)]+)\)/g)];
  assert.ok(links.length >= 10, `only ${links.length} tests are named`);
  for (const [, text, target] of links) {
    assert.equal(text, target);
    assert.ok(existsSync(join(projectRoot(), target!)), target);
  }
});
