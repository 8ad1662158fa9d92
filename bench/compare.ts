/**
 * Every system in one run. Rounds of short runs, in an order that differs from round to round; bare runs after every third system,
 * and a system is compared with the two bare runs that enclose it, so that slow drifts of the machine cancel out. Scenarios with a state
 * that has to be kept alive follow in blocks of their own, each sample between two of bare.
 */
import { findLoadGenerator, type LoadGenerator } from "./load.ts";
import { measure, type Sample } from "./measure.ts";
import type { BenchOptions } from "./options.ts";
import { residentBytesOf } from "./processFigures.ts";
import type { Result } from "./report.ts";
import { geometricMean, mean, median, pairedRatio, type Ratio } from "./statistics.ts";
import { baseline, scenarios, startSystem, type RunningSystem, type Scenario, type SystemContext } from "./systems.ts";
import { Unavailable } from "./unavailable.ts";
import { headers, path } from "./workload.ts";

const systemsBetweenBare = 3;
const warmUpSeconds = 1;
const quickWarmSeconds = 3;

/** Names of scenarios. */
const comparedPairs: readonly [string, string][] = [
  ["Tollgate, 1M keys", "Tollgate, 1k keys"],
  ["Tollgate, 1M keys, rotating over 10k", "Tollgate, 10k keys, rotating over 10k"],
];

/** The samples of a scenario, and the CPU per request of its baseline next to each of them. */
interface Series {
  samples: Sample[];
  baseMicros: number[];
}

/** A scenario that has no figures, and why. */
export interface Missing {
  name: string;
  why: string;
  /** it isn't that something isn't installed: something is wrong */
  fault: boolean;
}

export interface Comparison {
  results: Result[];
  /** CPU per request of one scenario against another, from the same rounds: what a table of a thousand times the size costs */
  pairs: { name: string; ratio: Ratio }[];
  missing: Missing[];
  /** each sample of a scenario, of its baseline; undefined when the scenario has none */
  ofBase(name: string): number[] | undefined;
}

/** Starts the chosen systems, measures them in rounds and blocks, stops them. `tell` gets a line of progress now and then. */
export async function compare(
  context: SystemContext,
  options: BenchOptions,
  tell: (line: string) => void,
): Promise<Comparison> {
  const run = new Run(options, findLoadGenerator(), tell);
  tell(
    `load by ${run.generator.name}, ${options.connections} connections, ${options.pairs} rounds of ${options.seconds} s a system`,
  );
  try {
    await run.start(context);
    await run.warmUp();
    for (let round = 0; round < options.pairs; round++) {
      await run.round(round);
      tell(`round ${round + 1} of ${options.pairs}`);
    }
    await run.blocks();
    return run.comparison();
  } finally {
    await run.stop();
  }
}

const bareScenario = scenarios.find(({ name }) => name === baseline)!;

class Run {
  /** without baselines */
  private chosen: Scenario[];
  private readonly running = new Map<string, RunningSystem>();
  private readonly series = new Map<string, Series>();
  private readonly missing: Missing[] = [];
  /** where each scenario's rotation over its keys goes on */
  private readonly next = new Map<string, number>();

  constructor(
    private readonly options: BenchOptions,
    readonly generator: LoadGenerator,
    private readonly tell: (line: string) => void,
  ) {
    const isChosen = ({ name, group }: Scenario): boolean =>
      options.only.length === 0 || options.only.some((part) => part === group || name.includes(part));
    this.chosen = scenarios.filter((scenario) => scenario !== baseOf(scenario) && isChosen(scenario));
  }

  /** The baselines of what is chosen; plain bare is always among them. */
  private get bases(): Scenario[] {
    return [...new Set([bareScenario, ...this.chosen.map(baseOf)])];
  }

  /** Throws when a baseline can't be started; other systems are left out. */
  async start(context: SystemContext): Promise<void> {
    const bases = this.bases;
    for (const scenario of [...bases, ...this.chosen]) {
      if (this.running.has(scenario.system) || this.missing.some(({ name }) => name === scenario.name)) continue;
      try {
        this.running.set(scenario.system, await startSystem(scenario.system, context));
      } catch (error) {
        if (bases.includes(scenario)) throw error;
        for (const one of this.chosen.filter(({ system }) => system === scenario.system)) this.leaveOut(one, error);
      }
    }
  }

  async stop(): Promise<void> {
    await Promise.allSettled([...this.running.values()].map((system) => system.stop()));
  }

  async warmUp(): Promise<void> {
    for (const base of this.bases) await this.prime(base, warmUpSeconds);
    for (const scenario of this.chosen) await this.attempt(scenario, () => this.prime(scenario, warmUpSeconds));
  }

  async round(round: number): Promise<void> {
    for (const base of this.bases) {
      const members = this.chosen.filter((scenario) => baseOf(scenario) === base && scenario.block === undefined);
      const shift = Math.floor((round * members.length) / this.options.pairs);
      const order = [...members.slice(shift), ...members.slice(0, shift)];
      const groups = Array.from({ length: Math.ceil(order.length / systemsBetweenBare) }, (_, index) =>
        order.slice(index * systemsBetweenBare, (index + 1) * systemsBetweenBare),
      );
      await this.sequence(base, groups, this.options.seconds);
    }
  }

  async blocks(): Promise<void> {
    for (const scenario of [...this.chosen]) {
      if (scenario.block === undefined) continue;
      this.tell(`${scenario.name}: a block of its own`);
      const { warmSeconds, sampleSeconds } = scenario.block;
      await this.attempt(scenario, () =>
        this.prime(scenario, this.options.quick ? Math.min(quickWarmSeconds, warmSeconds) : warmSeconds),
      );
      const seconds = this.options.quick ? this.options.seconds : sampleSeconds;
      await this.sequence(
        baseOf(scenario),
        Array.from({ length: this.options.pairs }, () => [scenario]),
        seconds,
      );
    }
  }

  comparison(): Comparison {
    const measured = [...this.bases, ...this.chosen].filter(({ name }) => this.series.has(name));
    return {
      results: measured.flatMap((scenario) => this.results(scenario)),
      pairs: comparedPairs.flatMap(([one, other]) => this.pair(one, other)),
      missing: this.missing,
      ofBase: (name) => this.ofBase(name),
    };
  }

  /** The groups in turn, the baseline before, between and after them. */
  private async sequence(base: Scenario, groups: readonly (readonly Scenario[])[], seconds: number): Promise<void> {
    if (groups.length === 0) return;
    let before = await this.base(base);
    for (const group of groups) {
      const sampled: [Scenario, Sample][] = [];
      for (const scenario of group.filter((one) => this.chosen.includes(one))) {
        await this.attempt(scenario, async () => {
          if (scenario.primeSeconds !== undefined) await this.prime(scenario, scenario.primeSeconds);
          sampled.push([scenario, await this.sample(scenario, seconds)]);
        });
      }
      const after = await this.base(base);
      for (const [{ name }, sample] of sampled) this.note(name, sample, geometricMean([before, after]));
      before = after;
    }
  }

  private async base(base: Scenario): Promise<number> {
    const sample = await this.sample(base, this.options.seconds);
    this.note(base.name, sample, sample.cpuMicrosPerRequest);
    return sample.cpuMicrosPerRequest;
  }

  private note(name: string, sample: Sample, baseMicros: number): void {
    const series = this.series.get(name) ?? { samples: [], baseMicros: [] };
    series.samples.push(sample);
    series.baseMicros.push(baseMicros);
    this.series.set(name, series);
  }

  private async sample({ name, system, keys, expect }: Scenario, seconds: number): Promise<Sample> {
    const first = this.next.get(name) ?? 0;
    const sample = await measure(this.generator, {
      system: this.running.get(system)!,
      keys,
      first,
      expect,
      seconds,
      connections: this.options.connections,
    });
    this.next.set(name, (first + sample.requests) % keys.length);
    return sample;
  }

  /** Load that isn't measured. Refusals are only told: what is measured afterwards shows whether they matter. */
  private async prime({ name, system, keys, expect }: Scenario, seconds: number): Promise<void> {
    const first = this.next.get(name) ?? 0;
    const { envoy } = this.running.get(system)!;
    const { requests, refused, broken } = await this.generator.run({
      port: envoy.port,
      path,
      headers,
      keys,
      first,
      connections: this.options.connections,
      seconds,
    });
    this.next.set(name, (first + requests) % keys.length);
    if (broken > 0 || (expect === "admitted" && refused > 0))
      this.tell(`${name}, while it warmed up: of ${requests} requests ${refused} were refused and ${broken} broke`);
  }

  /** Does something for a scenario, which is left out when that fails. */
  private async attempt(scenario: Scenario, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.leaveOut(scenario, error);
    }
  }

  /** Goes on without a scenario. */
  private leaveOut(scenario: Scenario, error: unknown): void {
    const fault = !(error instanceof Unavailable);
    const why = error instanceof Error ? error.message : String(error);
    this.tell(`${fault ? "FAILED" : "SKIPPED"}: ${scenario.name}: ${why}`);
    this.missing.push({ name: scenario.name, why, fault });
    this.chosen = this.chosen.filter((one) => one !== scenario);
    this.series.delete(scenario.name);
  }

  /** One line, and one more that counts the helpers in where the system has some. */
  private results({ name, system }: Scenario): Result[] {
    const { envoy, helpers } = this.running.get(system)!;
    const alone = this.result(name, envoy.residentBytes(), ({ cpuMicrosPerRequest }) => cpuMicrosPerRequest);
    if (helpers === undefined) return [alone];
    const residentBytes = helpers.pids.reduce((sum, pid) => sum + residentBytesOf(pid), envoy.residentBytes());
    const together = this.result(
      name,
      residentBytes,
      ({ cpuMicrosPerRequest, helperMicrosPerRequest }) => cpuMicrosPerRequest + helperMicrosPerRequest,
    );
    return [alone, { ...together, name: `${name}, with ${helpers.name}` }];
  }

  private result(name: string, residentBytes: number, microsOf: (sample: Sample) => number): Result {
    const { samples, baseMicros } = this.series.get(name)!;
    const micros = samples.map(microsOf);
    const { ratio, low, high } = pairedRatio(micros, baseMicros);
    return {
      name,
      cpuMicrosPerRequest: geometricMean(micros),
      ratioToBare: ratio,
      ratioLow: low,
      ratioHigh: high,
      requestsPerSecond: mean(samples.map((sample) => sample.requestsPerSecond)),
      p50Ms: median(samples.map((sample) => sample.p50Ms)),
      p99Ms: median(samples.map((sample) => sample.p99Ms)),
      residentMb: residentBytes / 1e6,
    };
  }

  private ofBase(name: string): number[] | undefined {
    const series = this.series.get(name);
    return series?.samples.map((sample, i) => sample.cpuMicrosPerRequest / series.baseMicros[i]!);
  }

  private pair(one: string, other: string): Comparison["pairs"] {
    const [figures, baselines] = [this.ofBase(one), this.ofBase(other)];
    if (!figures || !baselines) return [];
    return [{ name: `${one}, against: ${other}`, ratio: pairedRatio(figures, baselines) }];
  }
}

function baseOf({ against = baseline }: Scenario): Scenario {
  return scenarios.find(({ name }) => name === against)!;
}
