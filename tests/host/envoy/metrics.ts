import { WasmResult } from "./abi.ts";

const COUNTER = 0;
const GAUGE = 1;
const HISTOGRAM = 2;
const TYPE_MASK = 3;
const ID_STEP = 4;

/** One process's stats, by name; every VM that defines a name shares it. */
export class Stats {
  readonly counters = new Map<string, bigint>();
  readonly gauges = new Map<string, bigint>();
  readonly histograms = new Map<string, bigint[]>();

  /** A counter's or gauge's value as a number; 0 when it was never defined. */
  value(name: string): number {
    return Number(this.counters.get(name) ?? this.gauges.get(name) ?? 0n);
  }
}

/** One VM's handles on the stats. Each definition gives a new id, also of a name that has one. */
export class VmMetrics {
  readonly #stats: Stats;
  readonly #names = new Map<number, string>();
  readonly #lastId = [COUNTER, GAUGE, HISTOGRAM];

  constructor(stats: Stats) {
    this.#stats = stats;
  }

  name(id: number): string {
    return this.#names.get(id) ?? `#${id}`;
  }

  /** Gives the id, undefined for an unknown type. */
  define(type: number, name: string): number | undefined {
    const last = this.#lastId[type];
    if (last === undefined) return undefined;
    const id = (this.#lastId[type] = last + ID_STEP);
    this.#names.set(id, name);
    if (type === COUNTER) this.#stats.counters.set(name, this.#stats.counters.get(name) ?? 0n);
    else if (type === GAUGE) this.#stats.gauges.set(name, this.#stats.gauges.get(name) ?? 0n);
    else this.#stats.histograms.set(name, this.#stats.histograms.get(name) ?? []);
    return id;
  }

  /** A counter refuses 0 and less. */
  increment(id: number, offset: bigint): number {
    const name = this.#names.get(id);
    if ((id & TYPE_MASK) > GAUGE) return WasmResult.BadArgument;
    if (name === undefined) return WasmResult.NotFound;
    if ((id & TYPE_MASK) === COUNTER) {
      if (offset <= 0n) return WasmResult.BadArgument;
      this.#stats.counters.set(name, this.#stats.counters.get(name)! + offset);
    } else this.#stats.gauges.set(name, BigInt.asUintN(64, this.#stats.gauges.get(name)! + offset));
    return WasmResult.Ok;
  }

  /** Adds to a counter, sets a gauge. */
  record(id: number, value: bigint): number {
    const name = this.#names.get(id);
    if (name === undefined) return WasmResult.NotFound;
    const type = id & TYPE_MASK;
    if (type === COUNTER) this.#stats.counters.set(name, this.#stats.counters.get(name)! + value);
    else if (type === GAUGE) this.#stats.gauges.set(name, value);
    else this.#stats.histograms.get(name)!.push(value);
    return WasmResult.Ok;
  }

  /** Gives the value, or a WasmResult. */
  get(id: number): bigint | number {
    const name = this.#names.get(id);
    const type = id & TYPE_MASK;
    if (type > GAUGE) return WasmResult.BadArgument;
    if (name === undefined) return WasmResult.NotFound;
    return (type === COUNTER ? this.#stats.counters : this.#stats.gauges).get(name)!;
  }
}
