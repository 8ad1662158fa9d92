/** The Markdown pages of the project, and what is in them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "../../control/projectPaths.ts";

/** Every page below a folder of the project, as paths from its root. */
export function pagesIn(folder: string): string[] {
  return readdirSync(join(projectRoot(), folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".md"))
    .map((name) => join(folder, name))
    .sort();
}

/** A page's text, by its path from the project's root. */
export function readPage(path: string): string {
  return readFileSync(join(projectRoot(), path), "utf8");
}

/** The fenced blocks of a language, without the indentation that a list gives them. */
export function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(/^( *)```(\w+)\n([^]*?)^\1```$/gm)]
    .filter(([, , name]) => name === language)
    .map(([, indent = "", , body = ""]) => body.replaceAll(new RegExp(`^${indent}`, "gm"), ""));
}

/** The anchors that GitHub gives a page's headings: lower case, no punctuation, `-` for spaces, a number for repetitions. */
export function anchorsOf(text: string): Set<string> {
  const anchors = new Set<string>();
  const seen = new Map<string, number>();
  for (const [, heading = ""] of withoutBlocks(text).matchAll(/^#{1,6} +(.+?) *$/gm)) {
    const slug = heading
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_\- ]/gu, "")
      .replaceAll(" ", "-");
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return anchors;
}

/** The targets of a page's links and images. */
export function linksOf(text: string): string[] {
  return [
    ...withoutBlocks(text)
      .replaceAll(/`[^`\n]*`/g, "")
      .matchAll(/\]\(([^()\s]+)\)/g),
  ].map(([, target = ""]) => target);
}

function withoutBlocks(text: string): string {
  return text.replaceAll(/^( *)```[^]*?^\1```$/gm, "");
}
