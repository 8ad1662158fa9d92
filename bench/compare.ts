/**
 * Every system in one run. Rounds of short runs, in an order that differs from round to round; bare runs after every third system,
 * and a system is compared with the two bare runs that enclose it, so that slow drifts of the machine cancel out.
 */
import { findLoadGenerator, type LoadGenerator } from "./load.ts";
import { measure, type Sample } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import type { Result } from "./report.ts";
import { geometricMean, mean, median, pairedRatio, type Ratio } from "./statistics.ts";
import { baseline, scenarios, startSystem, type RunningSystem, type Scenario, type SystemContext } from "./systems.ts";

const systemsBetweenBare = 3;
const warmUpSeconds = 1;

/** Names of scenarios. */
const comparedPairs: readonly [string, string][] = [
  ["Tollgate, 1M keys", "Tollgate, 1k keys"],
  ["Tollgate, 1M keys, rotating over 10k", "Tollgate, 10k keys, rotating over 10k"],
];

interface Record {
  samples: Sample[];
  /** bare's CPU per request next to each sample */
  bareMicros: number[];
}

export interface Comparison {
  results: Result[];
  /** CPU per request of one scenario against another, from the same rounds: what a table of a thousand times the size costs */
  pairs: { name: string; ratio: Ratio }[];
}

/** Starts the chosen systems, measures them in rounds, stops them. `tell` gets a line of progress now and then. */
export async function compare(context: SystemContext, options: BenchOptions, tell: (line: string) => void): Promise<Comparison> {
  const run = new Run(options, findLoadGenerator());
  tell(`load by ${run.generator.name}, ${options.connections} connections, ${options.pairs} rounds of ${options.seconds} s a system`);
  try {
    await run.start(context);
    await run.warmUp();
    for (let round = 0; round < options.pairs; round++) {
      await run.round(round);
      tell(`round ${round + 1} of ${options.pairs}`);
    }
    return run.comparison();
  } finally {
    await run.stop();
  }
}

const bareScenario = scenarios.find(({ name }) => name === baseline)!;

class Run {
  private readonly chosen: Scenario[];
  private readonly running = new Map<string, RunningSystem>();
  private readonly records: Map<string, Record>;

  constructor(
    private readonly options: BenchOptions,
    readonly generator: LoadGenerator,
  ) {
    this.chosen = scenarios.filter(({ name }) => name !== baseline && (options.only.length === 0 || options.only.some((part) => name.includes(part))));
    this.records = new Map(this.all.map(({ name }) => [name, { samples: [], bareMicros: [] }]));
  }

  private get all(): Scenario[] {
    return [bareScenario, ...this.chosen];
  }

  async start(context: SystemContext): Promise<void> {
    for (const system of new Set(this.all.map(({ system }) => system))) this.running.set(system, await startSystem(system, context));
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.running.values()].map((system) => system.stop()));
  }

  async warmUp(): Promise<void> {
    for (const scenario of this.all) await this.sample(scenario, warmUpSeconds);
  }

  async round(round: number): Promise<void> {
    const shift = Math.floor((round * this.chosen.length) / this.options.pairs);
    const order = [...this.chosen.slice(shift), ...this.chosen.slice(0, shift)];
    let before = await this.bare();
    for (let first = 0; first < order.length; first += systemsBetweenBare) {
      const group = order.slice(first, first + systemsBetweenBare);
      for (const scenario of group) this.records.get(scenario.name)!.samples.push(await this.sample(scenario, this.options.seconds));
      const after = await this.bare();
      for (const { name } of group) this.records.get(name)!.bareMicros.push(geometricMean([before, after]));
      before = after;
    }
  }

  comparison(): Comparison {
    return { results: this.all.map((scenario) => this.result(scenario)), pairs: comparedPairs.flatMap(([one, other]) => this.pair(one, other)) };
  }

  private async bare(): Promise<number> {
    const sample = await this.sample(bareScenario, this.options.seconds);
    const record = this.records.get(baseline)!;
    record.samples.push(sample);
    record.bareMicros.push(sample.cpuMicrosPerRequest);
    return sample.cpuMicrosPerRequest;
  }

  private async sample({ name, system, keys, expect }: Scenario, seconds: number): Promise<Sample> {
    try {
      const { envoy } = this.running.get(system)!;
      return await measure(this.generator, { envoy, keys, expect, seconds, connections: this.options.connections });
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
    }
  }

  private result({ name, system }: Scenario): Result {
    const { samples, bareMicros } = this.records.get(name)!;
    const micros = samples.map((sample) => sample.cpuMicrosPerRequest);
    const { ratio, low, high } = pairedRatio(micros, bareMicros);
    return {
      name,
      cpuMicrosPerRequest: geometricMean(micros),
      ratioToBare: ratio,
      ratioLow: low,
      ratioHigh: high,
      requestsPerSecond: mean(samples.map((sample) => sample.requestsPerSecond)),
      p50Ms: median(samples.map((sample) => sample.p50Ms)),
      p99Ms: median(samples.map((sample) => sample.p99Ms)),
      residentMb: this.running.get(system)!.envoy.residentBytes() / 1e6,
    };
  }

  private pair(one: string, other: string): Comparison["pairs"] {
    const [record, base] = [this.records.get(one), this.records.get(other)];
    if (!record || !base) return [];
    const ofBare = ({ samples, bareMicros }: Record): number[] => samples.map((sample, i) => sample.cpuMicrosPerRequest / bareMicros[i]!);
    return [{ name: `${one}, against: ${other}`, ratio: pairedRatio(ofBare(record), ofBare(base)) }];
  }
}
