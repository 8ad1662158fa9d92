/** `npm run bench`: what Tollgate costs and how fast it is, beside others. Its parts run in the order of `parts`; one that fails doesn't end the others. */
import { findEnvoy } from "../devstack/envoy/find.ts";
import { measureColdStart } from "./coldStart.ts";
import { compare } from "./compare.ts";
import { bootstrap } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { fullJobFigures } from "./fullJobFigures.ts";
import { measureLeases } from "./leasesHttp.ts";
import { measureLimits } from "./limits.ts";
import { measureMemory } from "./memory.ts";
import { parts, readOptions, type Part } from "./options.ts";
import { figureTable, ratioText, table, writeFigures, writeResults, type Figure } from "./report.ts";
import { measureRevocation } from "./revoke.ts";
import type { SystemContext } from "./systems.ts";

const options = readOptions(process.argv.slice(2));
/** A part of the systems, or a quick run, is a trial and leaves the results alone. */
const isTrial = options.quick || options.only.length > 0;
const tell = (line: string): void => console.error(line);
const { path: envoyPath, version } = await findEnvoy({ onInstall: (wanted) => tell(`installing Envoy ${wanted}`) });
const upstream = await EnvoyProcess.start(envoyPath, bootstrap({ filters: [] }));
const context: SystemContext = { envoyPath, upstreamPort: upstream.port };

const measures: Record<Part, () => Promise<void>> = {
  load: measureLoad,
  limits: () => figuresOf("limits.json", () => measureLimits(context, options, tell)),
  leases: () => figuresOf("leases-http.json", () => measureLeases(options, tell)),
  memory: () => figuresOf("memory.json", () => measureMemory(context)),
  "cold-start": () => figuresOf("cold-start.json", () => measureColdStart(context, options.quick ? 3 : 10)),
  revocation: () => figuresOf("revocation.json", () => measureRevocation(context, options.quick ? 20 : 200)),
};

try {
  tell(`Envoy ${version}`);
  for (const part of parts.filter(wants)) {
    tell(part);
    await measures[part]().catch((error: unknown) => {
      console.error(`FAILED: ${part}:`, error);
      process.exitCode = 1;
    });
  }
} finally {
  await upstream.stop();
}

async function measureLoad(): Promise<void> {
  const comparison = await compare(context, options, tell);
  const { results, pairs, missing } = comparison;
  console.log(table(results));
  for (const { name, ratio } of pairs) console.log(`\n${name}: ${ratioText(ratio)}`);
  const figures = fullJobFigures(comparison);
  if (figures.length > 0) console.log(`\n${figureTable(figures)}`);
  for (const { name, why, fault } of missing) {
    console.log(`\n${fault ? "FAILED" : "SKIPPED"}: ${name}: ${why}`);
    if (fault) process.exitCode = 1;
  }
  if (isTrial) return;
  writeResults(results);
  writeFigures("full-job.json", figures);
}

async function figuresOf(file: string, measure: () => Promise<Figure[]>): Promise<void> {
  const figures = await measure();
  console.log(`\n${figureTable(figures)}`);
  if (!isTrial) writeFigures(file, figures);
}

function wants(part: Part): boolean {
  return options.parts.length === 0 ? options.only.length === 0 || part === "load" : options.parts.includes(part);
}
