/** Does the module run that should? */
import { basename } from "node:path";
import { reached } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";
import { installed, type Module } from "../plugins.ts";

export const moduleDigest: Check = {
  id: "plugin-digest",
  look(evidence) {
    const plugins = installed(evidence)?.plugins ?? [];
    if (plugins.length === 0 || !reached(evidence.envoy)) return [skipped("No plugin was found.")];
    const { expectedSha256 } = evidence;
    const files = evidence.envoy.moduleFiles;
    const said = plugins.map((plugin) => {
      const digests = digestsOf(plugin.module, files);
      const source = plugin.module.file ?? plugin.module.url ?? "the configuration itself";
      if (digests.length === 0)
        return warning(
          `${plugin.place}: what ${plugin.name} runs can't be told: ${source} is on the gateway's machine alone, and nothing names its digest.`,
          "Name the module by digest: an OCI image `…@sha256:…` in the WasmPlugin, as `tollgate manifests --image` writes it.",
        );
      if (expectedSha256.length === 0)
        return ok(
          `${plugin.name} runs the module with sha256 ${digests.join(", ")} (--module says which it should be).`,
        );
      if (digests.some((digest) => expectedSha256.includes(digest)))
        return ok(`${plugin.name} runs the expected module, sha256 ${digests[0]}.`);
      return fault(
        `${plugin.place}: ${plugin.name} runs a module with sha256 ${digests.join(", ")}, not ${expectedSha256.join(" or ")}.`,
        "Another version was rolled out, or a tag was moved: put the digest that you mean into the WasmPlugin's url. After a roll-back this is what you want; then give --module the old one.",
      );
    });
    const wrong = said.filter(({ status }) => status !== "ok");
    return wrong.length > 0 ? wrong : unique(said);
  },
};

/**
 * The digest that Envoy verifies itself, the one of the file where this machine has it, and the one in the file's name: Istio's agent
 * keeps modules as `<hash of the image>/<digest>.wasm`, with the image's digest where it came by OCI and the module's by HTTP.
 */
function digestsOf({ file, sha256 }: Module, files: Record<string, string>): string[] {
  const inName = /^([0-9a-f]{64})\.wasm$/.exec(basename(file ?? ""))?.[1];
  return [
    ...new Set([sha256, file === undefined ? undefined : files[file], inName].filter((digest) => digest !== undefined)),
  ];
}

function unique<T extends { words: string }>(said: T[]): T[] {
  return [...new Map(said.map((one) => [one.words, one])).values()];
}
