/** From a configuration to a root, and what ticks, wake-ups and answers of control do for it. */
import { drainQueue, pluginConfiguration, property, setEffectiveContext, value, valueBytes } from "./abi/host";
import { mark, release, scratch } from "./abi/memory";
import { environmentVariable, monotonicNs } from "./abi/wasi";
import { Config, configError, parseConfig } from "./config/parse";
import { isVisible } from "./config/rules";
import { Runtime } from "./plugin/runtime";
import { SharedState } from "./gateway/sharedState";
import { anyHeld, resume } from "./request/snapshotWaiters";
import { heedRecalls } from "./limits/recalls";
import { anyWaiting, resumeWaiting } from "./request/limitWaiters";
import { Root, TICK_BUSY_MS, allRoots, dropGone, enterRoot, rootById } from "./plugin/instance";
import { sha256 } from "./lib/sha256";
import { renewLooks } from "./request/responses";
import { loadStandalone, standaloneError } from "./snapshot/standalone";
import { GAUGE_AGE, GAUGE_COUNTERS, GAUGE_KEYS, GAUGE_VERSION, Meter, error, say } from "./telemetry";
import { Text, ascii } from "./lib/text";
import { anyWaitingForToken, resumeWaitingForToken } from "./request/tokenWaiters";

/** While nothing loads or waits. Ticks are only the fallback: changes wake. */
const TICK_MS: u32 = 200;
const OWNER_SILENT_NS: u64 = 1_000_000_000;
/** Gauges are shown, and what is gone is forgotten, so often. */
const SWEEP_EVERY_NS: u64 = 1_000_000_000;
/** Part of a runtime's hash: VMs of another shared-data layout or wire format keep apart. */
const LAYOUT = ascii("layout 1");
const PLUGIN_NAME = ascii("plugin_name");
const PLUGIN_ROOT_ID = ascii("plugin_root_id");

const runtimes: Array<Runtime> = [];
const meters: Array<Meter> = [];
let sweptAtNs: u64 = 0;
let garbage: bool = false;

/** Configures a root with `bytes` bytes of JSON. False: refused, and Envoy keeps what it has. */
export function configure(id: u32, bytes: u32): bool {
  garbage = true;
  let text: usize = 0;
  if (bytes > 0) {
    if (!pluginConfiguration(bytes)) {
      error(say("configuration refused: it can't be read"));
      return false;
    }
    text = value();
  }
  const config = parseConfig(text, valueBytes() < bytes ? valueBytes() : bytes);
  if (config == null) return refused(configError());
  let token = new StaticArray<u8>(0);
  if (config.hasControl) {
    // A Secret made of a file often ends with a line break.
    token = trimmed(environmentVariable(config.tokenEnv));
    if (!isVisible(token))
      return refused(
        "control.tokenEnv: the value of the variable has blanks or control characters inside; a gateway token has none",
      );
    if (token.length == 0)
      return refused(
        "control.tokenEnv: the VM's environment has no such variable, or it is empty; name it in vm_config.environment_variables (Istio: vmConfig.env) and set it where Envoy starts",
      );
  }
  const root = new Root(id, pluginHash(), config, meterOf(config.environment));
  const snapshot = config.snapshot;
  if (snapshot != null) {
    const table = loadStandalone(snapshot);
    if (table == null) return refused("snapshot: " + standaloneError());
    root.standalone = table;
  }
  if (config.hasControl) root.runtime = runtimeOf(config, token, root.meter);
  else if (snapshot != null) root.runtime = runtimeOf(config, digestOf(snapshot), root.meter);
  const runtime = root.runtime;
  if (runtime != null) {
    runtime.counters.slab.most = config.maxCounters;
    if (config.tokenHeader.length > 0) runtime.tokens.wanted = true;
    const own = root.standalone;
    if (own != null && own.limits.count > 0) runtime.counters.prepare();
  }
  supersede(root);
  enterRoot(root);
  root.setTick(TICK_BUSY_MS);
  return true;
}

/** The text without blanks, line breaks and other control characters around it. */
function trimmed(text: StaticArray<u8>): StaticArray<u8> {
  let from = 0;
  let to = text.length;
  while (from < to && text[from] <= 0x20) from++;
  while (to > from && text[to - 1] <= 0x20) to--;
  return text.slice<StaticArray<u8>>(from, to);
}

function refused(why: string): bool {
  error(say("configuration refused: ").add(why));
  return false;
}

/** What Envoy calls this plugin: configurations of one name replace each other. */
function pluginHash(): u64 {
  const name = new Text(512);
  if (property(changetype<usize>(PLUGIN_NAME), PLUGIN_NAME.length)) name.copy(value(), valueBytes());
  name.byte(0);
  if (property(changetype<usize>(PLUGIN_ROOT_ID), PLUGIN_ROOT_ID.length)) name.copy(value(), valueBytes());
  const hash = hashOf(name.start, name.bytes);
  heap.free(name.start);
  return hash;
}

/** Stands for a standalone gateway's token: another snapshot has other wire ids, so its counters begin anew. */
function digestOf(snapshot: StaticArray<u8>): StaticArray<u8> {
  const digest = new StaticArray<u8>(32);
  sha256(changetype<usize>(snapshot), snapshot.length, changetype<usize>(digest));
  return digest;
}

function hashOf(at: usize, bytes: u32): u64 {
  const digest = scratch(32);
  if (digest == 0) return 0;
  sha256(at, bytes, digest);
  return load<u64>(digest);
}

function meterOf(environment: StaticArray<u8>): Meter {
  for (let i = 0; i < meters.length; i++) if (same(meters[i].environment, environment)) return meters[i];
  const meter = new Meter(environment);
  meters.push(meter);
  return meter;
}

function same(a: StaticArray<u8>, b: StaticArray<u8>): bool {
  return a.length == b.length && memory.compare(changetype<usize>(a), changetype<usize>(b), a.length) == 0;
}

/**
 * The runtime of environment, control and group; made when this VM has none yet. A token names its group; two tokens of one group are told
 * apart all the same, because nothing here may depend on what a token looks like.
 */
function runtimeOf(config: Config, token: StaticArray<u8>, meter: Meter): Runtime {
  const text = new Text(4096);
  text
    .array(LAYOUT)
    .byte(0)
    .array(config.environment)
    .byte(0)
    .array(config.cluster)
    .byte(0)
    .array(config.authority)
    .byte(0)
    .array(token);
  const hash = hashOf(text.start, text.bytes);
  heap.free(text.start);
  for (let i = 0; i < runtimes.length; i++) {
    if (runtimes[i].state.hash != hash) continue;
    runtimes[i].state.timeoutMs = config.timeoutMs;
    runtimes[i].state.waitMs = config.waitMs;
    return runtimes[i];
  }
  const state = new SharedState(
    hash,
    config.environment,
    config.cluster,
    config.authority,
    token,
    config.timeoutMs,
    config.waitMs,
    meter,
  );
  const runtime = new Runtime(state);
  runtimes.push(runtime);
  return runtime;
}

/** Older roots of the same plugin with another runtime have been replaced, as far as one can know. */
function supersede(root: Root): void {
  const roots = allRoots();
  for (let i = 0; i < roots.length; i++) {
    const other = roots[i];
    if (other.id != root.id && other.plugin == root.plugin && other.runtime != root.runtime) other.superseded = true;
  }
}

/** A stream has come for the root: its VM serves. */
export function serve(root: Root): void {
  const runtime = root.runtime;
  if (runtime == null) return;
  if (root.superseded) {
    const now = monotonicNs();
    if (!root.watches(now)) {
      // Nobody may have watched in between. Unless somebody has, what is loaded waits for control's word.
      const silenceNs = <u64>(runtime.state.waitMs + runtime.state.timeoutMs) * 1_000_000;
      if (runtime.state.readHead() && now - runtime.state.head.contactNs > silenceNs)
        runtime.state.unprovenSinceNs = now;
    }
    root.revive(now);
  }
  if (runtime.state.serving) return;
  runtime.state.serving = true;
  runtime.state.wakeSelf();
}

export function tick(id: u32): void {
  const root = rootById(id);
  if (root == null) return;
  const now = monotonicNs();
  root.meter.flush();
  const runtime = root.runtime;
  if (runtime != null && runtime.state.isLocal) {
    keepLocal(runtime, root, now);
    root.setTick(anyWaiting() ? TICK_BUSY_MS : TICK_MS);
  } else if (runtime != null) {
    keepRuntime(runtime, root, now);
    const maxAge = root.config.maxSnapshotAgeSeconds;
    if (runtime.follower.upToDate()) runtime.state.confirmedNs = runtime.state.head.contactNs;
    root.stale =
      maxAge != 0 &&
      runtime.state.table != null &&
      now > runtime.state.confirmedNs &&
      (now - runtime.state.confirmedNs) / 1_000_000_000 > maxAge;
    root.setTick(
      (runtime.state.head.generation == 0 && !runtime.leader.waiting(now)) ||
        (runtime.state.serving && runtime.follower.behind()) ||
        anyHeld() ||
        anyWaiting() ||
        anyWaitingForToken()
        ? TICK_BUSY_MS
        : TICK_MS,
    );
  } else root.setTick(TICK_MS);
  if (anyHeld() && resume(now) && runtime != null) runtime.state.wakeSelf();
  if (anyWaiting() && resumeWaiting(now) && runtime != null) runtime.state.wakeSelf();
  if (anyWaitingForToken() && resumeWaitingForToken(now) && runtime != null) runtime.state.wakeSelf();
  if (now - sweptAtNs > SWEEP_EVERY_NS) {
    sweptAtNs = now;
    showGauges(now);
    if (dropGone()) {
      dropUnused();
      garbage = true;
    }
  }
  setEffectiveContext(id);
  if (garbage) {
    garbage = false;
    __collect();
  }
}

/** Forgets runtimes that no root has any more. Their leases and slots in shared data run out. */
function dropUnused(): void {
  const roots = allRoots();
  for (let f = runtimes.length - 1; f >= 0; f--) {
    let used = false;
    for (let r = 0; r < roots.length; r++) if (roots[r].runtime == runtimes[f]) used = true;
    if (used) {
      // A standalone root takes its table along.
      if (runtimes[f].state.isLocal) runtimes[f].counters.distrust();
      continue;
    }
    runtimes[f].free();
    runtimes.splice(f, 1);
  }
}

/** The newest root that watches owns the runtime: its ticks drive it, and calls are made in its name. */
function keepRuntime(runtime: Runtime, root: Root, now: u64): void {
  if (!root.watches(now)) {
    if (runtime.owner == root.id) {
      runtime.leader.resign();
      runtime.owner = 0;
    }
    return;
  }
  if (runtime.owner != root.id) {
    if (runtime.owner > root.id && now - runtime.ownerTickNs < OWNER_SILENT_NS) return;
    runtime.owner = root.id;
    runtime.leader.forgetCalls();
    runtime.leaseSession.forgetCall();
    runtime.tokens.forgetCall();
    runtime.outbox.forgetCall();
  }
  runtime.ownerTickNs = now;
  runtime.state.headSound = runtime.state.readHead();
  runtime.workers.keep(root.id, now);
  runtime.leader.lead(now);
  followOn(runtime);
  if (runtime.state.serving) {
    heedRecalls(runtime.state, runtime.workers, runtime.counters, now);
    runtime.counters.sweep(now);
    runtime.usage.tick();
    renewLooks(now);
    runtime.leaseSession.pump(now, true);
    runtime.tokens.pump(now);
  }
  // The leader sends what VMs that are gone have left, too.
  if (runtime.state.serving || runtime.leader.leads) runtime.outbox.pump(runtime.leader.leads, now);
}

/** The newest root keeps what a standalone gateway's workers have in common. */
function keepLocal(runtime: Runtime, root: Root, now: u64): void {
  if (runtime.owner > root.id && now - runtime.ownerTickNs < OWNER_SILENT_NS) return;
  runtime.owner = root.id;
  runtime.ownerTickNs = now;
  runtime.workers.keep(root.id, now);
  if (runtime.state.serving) prepare(runtime);
  heedRecalls(runtime.state, runtime.workers, runtime.counters, now);
  runtime.counters.sweep(now);
}

/** Memory for what requests add to. */
function prepare(runtime: Runtime): void {
  const table = runtime.state.table;
  if (runtime.counters.slab.places > 0 || (table != null && table.limits.count > 0)) runtime.counters.prepare();
  if (runtime.state.isLocal) return;
  runtime.usage.begin();
  runtime.tokens.prepare();
}

function followOn(runtime: Runtime): void {
  const before = runtime.state.table;
  if (runtime.follower.follow()) runtime.state.wakeSelf();
  if (runtime.state.serving) prepare(runtime);
  const table = runtime.state.table;
  if (before == table || table == null) return;
  garbage = true;
  // Wire ids of another epoch mean something else; in the same one, news of resets may have been missed.
  if (before != null && runtime.state.tableEpoch != table.epoch) {
    runtime.outbox.close(monotonicNs());
    runtime.leaseSession.startOver(monotonicNs());
    runtime.tokens.startOver();
  } else runtime.counters.distrust();
  runtime.state.tableEpoch = table.epoch;
}

/** Another VM, or this one, has woken this VM's queue. */
export function woken(id: u32, token: u32): void {
  drainQueue(token);
  for (let i = 0; i < runtimes.length; i++) {
    const runtime = runtimes[i];
    if (runtime.state.queue != token) continue;
    const now = monotonicNs();
    if (!runtime.state.isLocal) {
      runtime.state.readHead();
      followOn(runtime);
    }
    if (runtime.state.serving) prepare(runtime);
    heedRecalls(runtime.state, runtime.workers, runtime.counters, now);
    if (anyHeld() && resume(now)) runtime.state.wakeSelf();
    if (anyWaiting() && resumeWaiting(now)) runtime.state.wakeSelf();
    if (anyWaitingForToken() && resumeWaitingForToken(now)) runtime.state.wakeSelf();
    setEffectiveContext(id);
    if (!runtime.state.isLocal && runtime.owner == id) {
      runtime.leaseSession.pump(now, false);
      runtime.tokens.pump(now);
      runtime.outbox.pump(runtime.leader.leads, now);
    }
    // What was applied is told to the leader without waiting for a tick.
    runtime.workers.keep(runtime.owner, now);
    return;
  }
}

export function answered(id: u32, token: u32, headers: u32, bodyBytes: u32): void {
  const now = monotonicNs();
  const room = mark();
  for (let i = 0; i < runtimes.length; i++) {
    const runtime = runtimes[i];
    if (runtime.owner != id) continue;
    if (runtime.leaseSession.answered(token, headers, bodyBytes, now)) {
      release(room);
      if (anyWaiting() && resumeWaiting(now)) runtime.state.wakeSelf();
      setEffectiveContext(id);
      // What those who went on have used up is asked for at once.
      runtime.leaseSession.pump(now, false);
      return;
    }
    if (runtime.tokens.answered(token, headers, bodyBytes, now)) {
      release(room);
      if (anyWaitingForToken() && resumeWaitingForToken(now)) runtime.state.wakeSelf();
      setEffectiveContext(id);
      runtime.tokens.pump(now);
      return;
    }
    if (runtime.outbox.answered(token, headers, bodyBytes, now)) return;
    if (!runtime.leader.answered(token, headers, bodyBytes, now)) continue;
    // What came is in shared data by now. Its room is needed for the pages that are read from there.
    release(room);
    followOn(runtime);
    if (anyHeld() && resume(now)) runtime.state.wakeSelf();
    setEffectiveContext(id);
    return;
  }
}

function showGauges(now: u64): void {
  for (let i = 0; i < runtimes.length; i++) {
    const runtime = runtimes[i];
    if (runtime.state.serving) runtime.state.meter.gauge(GAUGE_COUNTERS, runtime.counters.slab.count);
    const head = runtime.state.head;
    if (head.generation == 0) continue;
    const table = runtime.state.table;
    const confirmedNs = table == null ? head.contactNs : runtime.state.confirmedNs;
    runtime.state.meter.gauge(GAUGE_AGE, confirmedNs < now ? (now - confirmedNs) / 1_000_000_000 : 0);
    if (table == null) continue;
    runtime.state.meter.gauge(GAUGE_VERSION, table.version);
    runtime.state.meter.gauge(GAUGE_KEYS, table.keys.count);
  }
}
