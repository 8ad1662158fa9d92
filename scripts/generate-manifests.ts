/** Makes `manifests/` of examples/istio/tollgate.yaml, by the command itself, and the goldens of tests/manifests/platform. */
import { runCli } from "../cli/program.ts";
import { platformGoldens } from "../tests/manifests/platformGoldens.ts";
import { publish } from "./generated.ts";

/** The command that `manifests/` is made by. */
export const command = [
  "manifests",
  "-f",
  "examples/istio/tollgate.yaml",
  "-o",
  "manifests",
  // Whoever uses them names images of their own: digests of this commit's would change with every build.
  "--image",
  `registry.example.com/tollgate@sha256:${"0".repeat(64)}`,
  "--control-image",
  `registry.example.com/tollgate-control@sha256:${"0".repeat(64)}`,
];

if (process.argv[1] === import.meta.filename) {
  process.exitCode = await runCli([...command, ...(process.argv.includes("--check") ? ["--check"] : [])], {
    env: {},
    streams: { out: (text) => void process.stdout.write(text), err: (text) => void process.stderr.write(text) },
    readInput: async () => "",
  });
  publish(platformGoldens().map(({ output, text }) => [output, text] as const));
}
