/** A root context: one plugin configuration in one VM, and all that hangs off it. */
import { setEffectiveContext, setTickPeriod } from "../abi/host";
import { Config } from "../config/parse";
import { HeaderPlan } from "../http/headerScan";
import { SOURCE_BEARER } from "../wire/enums";
import { Runtime } from "./runtime";
import { Table } from "../snapshot/table";
import { Meter } from "../telemetry";

/** While something loads or waits. */
export const TICK_BUSY_MS: u32 = 10;
/** A superseded root that got a stream counts as alive for so long. */
const REVIVED_NS: u64 = 30_000_000_000;

export class Root {
  plan: HeaderPlan;
  bearer: bool = false;
  /** none when the configuration is empty; of a standalone gateway one that has no control */
  runtime: Runtime | null = null;
  standalone: Table | null = null;
  /** control was not heard of for longer than the configuration allows */
  stale: bool = false;
  tickMs: u32 = 0;
  /** when the first request needed a table that was not there; 0 = none has */
  firstNeedNs: u64 = 0;
  held: u32 = 0;
  /** requests that wait for allowance */
  waiting: u32 = 0;

  /** A newer root of the same plugin has another runtime: this one watches no more, unless streams still come. */
  superseded: bool = false;
  private revivedUntilNs: u64 = 0;

  constructor(
    public id: u32,
    public plugin: u64,
    public config: Config,
    public meter: Meter,
  ) {
    this.plan = new HeaderPlan(config);
    for (let i = 0; i < config.sources.length; i++) if (config.sources[i].kind == SOURCE_BEARER) this.bearer = true;
  }

  /** The table by which requests may be decided now, or null. */
  get table(): Table | null {
    const own = this.standalone;
    if (own != null) return own;
    const runtime = this.runtime;
    return runtime == null || this.stale ? null : runtime.state.believed;
  }

  /** Sets the period of the root's ticks; one of its contexts must be the effective one. */
  setTick(ms: u32): void {
    if (this.tickMs == ms) return;
    this.tickMs = ms;
    setTickPeriod(ms);
  }

  /** Whether the root takes part in its runtime. */
  watches(now: u64): bool {
    return !this.superseded || now < this.revivedUntilNs;
  }

  revive(now: u64): void {
    this.revivedUntilNs = now + REVIVED_NS;
  }
}

const roots: Array<Root> = [];
/** The only root there is, for the fast way from a stream to its root. */
let only: Root | null = null;

export function allRoots(): Array<Root> {
  return roots;
}

export function rootById(id: u32): Root | null {
  const one = only;
  if (one != null && one.id == id) return one;
  for (let i = roots.length - 1; i >= 0; i--) if (unchecked(roots[i]).id == id) return unchecked(roots[i]);
  return null;
}

/** Enters a root, in place of one of the same id (Envoy configures a context again). */
export function enterRoot(root: Root): void {
  for (let i = 0; i < roots.length; i++) {
    if (roots[i].id == root.id) {
      const old = roots[i];
      // the ring's entries name the root by its id, and count down what the new one holds
      root.held = old.held;
      root.waiting = old.waiting;
      const standalone = old.standalone;
      if (standalone != null) standalone.free();
      roots[i] = root;
      settle();
      return;
    }
  }
  roots.push(root);
  settle();
}

/**
 * Forgets roots that the host has no context for any more: it doesn't say so by itself without a callback per stream. True when there
 * were some. The effective context is another one afterwards.
 */
export function dropGone(): bool {
  let dropped = false;
  for (let i = roots.length - 1; i >= 0; i--) {
    const root = roots[i];
    if (!setEffectiveContext(root.id)) {
      const standalone = root.standalone;
      if (standalone != null) standalone.free();
      roots.splice(i, 1);
      dropped = true;
    }
  }
  if (dropped) settle();
  return dropped;
}

function settle(): void {
  only = roots.length == 1 ? roots[0] : null;
}

// ---- from a stream's context to its root ----------------------------------------------------------------------------------------------

/** Stream contexts, by the low bits of their id: u32 context, u32 root. A slot is overwritten by a later stream; nothing is cleaned up. */
const STREAMS: u32 = 8192;
const streams = memory.data(8192 * 8, 8);

// @ts-ignore: decorator
@inline
export function noteStream(context: u32, root: u32): void {
  const slot = streams + ((<usize>(context & (STREAMS - 1))) << 3);
  store<u32>(slot, context);
  store<u32>(slot, root, 4);
}

/** The root of a stream; null when its slot was overwritten, or the root is gone. */
export function rootOfStream(context: u32): Root | null {
  const slot = streams + ((<usize>(context & (STREAMS - 1))) << 3);
  return load<u32>(slot) == context ? rootById(load<u32>(slot, 4)) : null;
}
