/** What the platform's part of `tollgate manifests` makes of each `platform/<name>.in.yaml`, with `<name>.options.yaml`: `<name>.out.yaml`, file after file. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { loadFile, parseFile } from "../../control/domain/yamlFile.ts";
import { problemLine } from "../../control/domain/problem.ts";
import { platformFiles } from "../../tools/manifests/files.ts";
import type { ManifestFile, ManifestOptions } from "../../tools/manifests/model.ts";
import { componentFiles } from "../../tools/manifests/platform/components.ts";
import { installFile } from "../../tools/manifests/platform/install.ts";
import { manifestText } from "../../tools/manifests/write.ts";
import { manifestOptions } from "./support/options.ts";

const folder = join(import.meta.dirname, "platform");

export interface PlatformGolden {
  name: string;
  output: string;
  text: string;
  files: ManifestFile[];
}

export function platformGoldens(): PlatformGolden[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith(".in.yaml"))
    .sort()
    .map((name) => {
      const stem = join(folder, name.replace(/\.in\.yaml$/, ""));
      const input = readFileSync(join(folder, name), "utf8");
      const { spec, problems } = loadFile(input);
      if (spec === undefined) throw new Error(problems.map((problem) => problemLine(name, problem)).join("\n"));
      const own = existsSync(`${stem}.options.yaml`)
        ? (parse(readFileSync(`${stem}.options.yaml`, "utf8")) as Partial<ManifestOptions>)
        : {};
      // An option that is null is left out.
      const options = manifestOptions(
        Object.fromEntries(Object.entries(own).map(([key, value]) => [key, value ?? undefined])),
      );
      const filled = fillEnvironment(parseFile(input).input!, options.environment);
      const files = [
        ...platformFiles(filled, options),
        ...componentFiles(filled, options),
        installFile(filled, options),
      ];
      return {
        name,
        output: `${stem}.out.yaml`,
        text: files.map((file) => `# ──── ${file.path}\n${manifestText(file)}`).join(""),
        files,
      };
    });
}
