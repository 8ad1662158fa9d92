/** Every relative link in the documents leads to a file of the project, and every anchor to a heading. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, it } from "node:test";
import { projectRoot } from "../../control/projectPaths.ts";
import { anchorsOf, linksOf, pagesIn, readPage } from "./documents.ts";

const pages = [...pagesIn("docs"), ...pagesIn("examples")];

/** What is wrong with the links of a page. */
function brokenLinks(page: string): string[] {
  return linksOf(readPage(page))
    .filter((link) => !/^[a-z]+:/.test(link))
    .flatMap((link) => {
      const [path = "", anchor] = link.split("#");
      const target = path === "" ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(projectRoot(), target))) return [`${link}: no such file`];
      if (anchor === undefined || !target.endsWith(".md")) return [];
      return anchorsOf(readPage(target)).has(anchor) ? [] : [`${link}: no such heading`];
    });
}

describe("every link resolves in", () => {
  for (const page of pages) it(page, () => assert.deepEqual(brokenLinks(page), []));

  it("pages that have links", () => {
    assert.ok(pages.flatMap((page) => linksOf(readPage(page))).length > 100);
  });
});

/** The pages that a page links to, from the project's root. */
function pagesLinkedFrom(page: string): string[] {
  return linksOf(readPage(page)).map((link) => normalize(join(dirname(page), link.split("#")[0]!)));
}

it("every page of docs is reached from docs/README.md, those of single reasons from their list", () => {
  const reached = new Set([
    ...pagesLinkedFrom("docs/README.md"),
    ...pagesLinkedFrom("docs/reference/reasons.md").filter((page) => page.startsWith("docs/reference/reasons/")),
  ]);
  assert.deepEqual(
    pagesIn("docs").filter((page) => page !== "docs/README.md" && !reached.has(page)),
    [],
  );
});
