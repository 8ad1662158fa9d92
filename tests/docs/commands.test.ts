/** The commands that the guides show run, on the file that the guide shows, against a real control plane. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { cli, startTestControl } from "../cli/support.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { blocksOf, pagesIn, readPage } from "./documents.ts";

/** `doctor` needs an Envoy, `quota grant` and `quota reset` a counter, for which an Envoy must have asked; tests/simulate/command.test.ts runs the example of `simulate`. */
const runElsewhere = /^(doctor|simulate|quota (grant|reset))\b/;

const openApi = `openapi: 3.1.0
info: {title: Orders, version: "1"}
servers: [{url: https://api.example.com/v1}]
paths:
  /orders: {get: {responses: {"200": {description: The orders}}}}
`;

/** The command lines of a page in their order, as arguments; those with a placeholder such as `<id>` are left out. */
function commandsOf(text: string): string[][] {
  const shown = [...blocksOf(text, "sh"), ...blocksOf(text, "console")].join("\n").replace(/\\\n\s*/g, " ");
  return [...shown.matchAll(/npx tollgate ([^\n|;&)>#]+)/g)]
    .map(([, command = ""]) =>
      [...command.trim().matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) =>
        (quoted ?? plain!).replace("sha256:…", `sha256:${"0".repeat(64)}`),
      ),
    )
    .filter((words) => !runElsewhere.test(words.join(" ")) && !words.some((word) => word.startsWith("<")));
}

const { env: server } = await startTestControl();
const guides = pagesIn("docs/guides").filter((page) => commandsOf(readPage(page)).length > 0);

describe("every command runs in", { concurrency: false }, () => {
  guides.forEach((page, index) => {
    it(page, async () => {
      const text = readPage(page);
      const env = { ...server, TOLLGATE_ENVIRONMENT: `guide-${index}` };
      assert.equal((await cli(["environments", "create", `guide-${index}`], server)).code, 0);
      process.chdir(temporaryFolder());
      const file = blocksOf(text, "yaml").find((block) => /^version: 1$/m.test(block));
      writeFileSync("openapi.yaml", openApi);
      writeFileSync("plugin.yaml", blocksOf(text, "yaml").find((block) => block.startsWith("# plugin.yaml")) ?? "{}\n");
      if (file !== undefined) {
        writeFileSync("tollgate.yaml", file);
        writeFileSync("keys.jsonl", `{"consumer":"globex","sha256":"${"ab".repeat(32)}"}\n`);
        const applied = await cli(["apply", "-f", "tollgate.yaml"], env);
        assert.equal(applied.code, 0, applied.stderr);
      }
      for (const words of commandsOf(text)) {
        const { code, stderr } = await cli(words, env);
        assert.equal(code, 0, `tollgate ${words.join(" ")}: ${stderr}`);
      }
    });
  });

  it("all guides that show commands", () => {
    assert.ok(guides.length >= 9, guides.join(" "));
    assert.ok(guides.flatMap((page) => commandsOf(readPage(page))).length >= 40);
  });
});
