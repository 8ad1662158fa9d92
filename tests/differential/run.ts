/** `npm run test:differential -- --requests 500000 --seed 7`: the differential test for longer than the suite runs it. */
import { parseArgs } from "node:util";
import { findingText, reportText, runDifferential } from "./differential.ts";
import { newSeed } from "./random.ts";
import { shrink } from "./shrink.ts";

const shownMax = 5;
const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "100000" },
    seed: { type: "string" },
    envoy: { type: "string" },
    "no-shrink": { type: "boolean" },
  },
});
const requests = Number(values.requests);
if (!Number.isInteger(requests) || requests < 1) {
  console.error(`--requests is ${values.requests}: give a whole number, 1 or more.`);
  process.exit(2);
}
const seed = values.seed ?? newSeed();
console.log(`seed ${seed}`);
const gateways = values.envoy === undefined ? {} : { version: values.envoy };
const report = await runDifferential({
  seed,
  requests,
  gateways,
  onProgress: (sent, findings) => console.log(`${sent} requests sent, ${findings} findings`),
});
console.log(reportText(report));
for (const finding of report.findings.slice(0, shownMax))
  console.log(`\n${findingText(values["no-shrink"] === true ? finding : await shrink(finding, gateways))}`);
process.exitCode = report.findings.length > 0 ? 1 : 0;
