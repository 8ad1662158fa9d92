/** The YAML blocks of the guides are valid: a tollgate.yaml by the validator, the plugin's configuration by its schema, all others as YAML. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import { PluginSchema } from "../../control/domain/pluginSchema.ts";
import { structureCheck } from "../../control/domain/structure.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { blocksOf, pagesIn, readPage } from "./documents.ts";

const pages = [...pagesIn("docs/get-started"), ...pagesIn("docs/guides")];
const isTollgateFile = (block: string) => /^version: 1$/m.test(block);
const isPluginConfiguration = (block: string) => block.startsWith("# plugin.yaml\n");
const checkPlugin = structureCheck(PluginSchema);

/** What is wrong with a block, as lines; warnings are left out. */
function faultsOf(block: string): string[] {
  const documents = parseAllDocuments(block);
  const syntax = documents.flatMap((document) => document.errors.map((error) => error.message));
  if (syntax.length > 0) return syntax;
  if (isTollgateFile(block)) {
    const { spec, problems } = loadFile(block);
    const faults = problems
      .filter(({ severity }) => severity === "error")
      .map(({ message, line }) => `line ${line}: ${message}`);
    return spec === undefined && faults.length === 0 ? ["not valid"] : faults;
  }
  // A guide shows the fields it is about: the two that every plugin has come from `manifests` or `envoy-config`.
  if (isPluginConfiguration(block))
    return checkPlugin({
      environment: "default",
      control: { cluster: "c", authority: "a" },
      ...(documents[0]!.toJS() as object),
    }).map(({ message }) => message);
  return [];
}

describe("every YAML block is valid in", () => {
  for (const page of pages) it(page, () => assert.deepEqual(blocksOf(readPage(page), "yaml").flatMap(faultsOf), []));

  it("pages that have blocks of both kinds", () => {
    const blocks = pages.flatMap((page) => blocksOf(readPage(page), "yaml"));
    assert.ok(blocks.filter(isTollgateFile).length >= 8, "tollgate.yaml");
    assert.ok(blocks.filter(isPluginConfiguration).length >= 2, "plugin.yaml");
  });

  it("no page with a misspelled field", () => {
    assert.deepEqual(faultsOf("version: 1\ntiers:\n  - {id: bronze, limit: []}\n"), ["line 3: Unknown field `limit`."]);
    assert.equal(faultsOf("# plugin.yaml\nkeySource: []\n").length, 1);
    assert.equal(faultsOf("a: [\n").length, 1);
  });
});
