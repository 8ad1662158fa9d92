/** `npm run bench`: what Tollgate costs and how fast it is, beside others, in this order: load, memory, cold start, revocation. */
import { findEnvoy } from "../control/envoy/find.ts";
import { measureColdStart } from "./coldStart.ts";
import { compare } from "./compare.ts";
import { bootstrap } from "./envoyConfig.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import { measureMemory } from "./memory.ts";
import { readOptions, type Part } from "./options.ts";
import { figureTable, ratioText, table, writeFigures, writeResults, type Figure } from "./report.ts";
import { measureRevocation } from "./revoke.ts";
import type { SystemContext } from "./systems.ts";

const options = readOptions(process.argv.slice(2));
const tell = (line: string): void => console.error(line);
const { path: envoyPath, version } = await findEnvoy({ onInstall: (wanted) => tell(`installing Envoy ${wanted}`) });
const upstream = await EnvoyProcess.start(envoyPath, bootstrap({ filters: [] }));
try {
  const context: SystemContext = { envoyPath, upstreamPort: upstream.port };
  tell(`Envoy ${version}`);
  if (wants("load")) {
    const { results, pairs } = await compare(context, options, tell);
    console.log(table(results));
    for (const { name, ratio } of pairs) console.log(`\n${name}: ${ratioText(ratio)}`);
    // A part of the systems is a trial, not a result.
    if (options.only.length === 0) writeResults(results);
  }
  const measures: [Part, () => Promise<Figure[]>][] = [
    ["memory", () => measureMemory(context)],
    ["cold-start", () => measureColdStart(context, options.quick ? 3 : 10)],
    ["revocation", () => measureRevocation(context, options.quick ? 20 : 200)],
  ];
  for (const [part, measure] of measures) {
    if (!wants(part)) continue;
    tell(part);
    const figures = await measure();
    console.log(`\n${figureTable(figures)}`);
    writeFigures(`${part}.json`, figures);
  }
} finally {
  await upstream.stop();
}

function wants(part: Part): boolean {
  return options.parts.length === 0 ? options.only.length === 0 || part === "load" : options.parts.includes(part);
}
