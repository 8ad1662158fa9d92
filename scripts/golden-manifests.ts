/** Makes `manifests/` of examples/istio/tollgate.yaml, by the command itself: what docs/manifests.md says is what is written. */
import { runCli } from "../control/cli/program.ts";

export const arguments_ = [
  "manifests",
  "-f", "examples/istio/tollgate.yaml",
  "-o", "manifests",
  // Whoever uses them names images of their own: digests of this commit's would change with every build.
  "--image", `registry.example.com/tollgate@sha256:${"0".repeat(64)}`,
  "--control-image", `registry.example.com/tollgate-control@sha256:${"0".repeat(64)}`,
];

if (process.argv[1] === import.meta.filename) {
  process.exitCode = await runCli([...arguments_, ...(process.argv.includes("--check") ? ["--check"] : [])], {
    env: {},
    streams: { out: (text) => void process.stdout.write(text), err: (text) => void process.stderr.write(text) },
    readInput: async () => "",
  });
}
