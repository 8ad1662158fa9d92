/** From a configuration to a root, and what ticks, wake-ups and answers of control do for it. */
import { drainQueue, pluginConfiguration, property, setEffectiveContext, value, valueBytes } from "./abi/host";
import { mark, release, scratch } from "./abi/memory";
import { environmentVariable, monotonicNs } from "./abi/wasi";
import { Config, configError, parseConfig } from "./config";
import { isVisible } from "./configRules";
import { Feed } from "./feed";
import { anyHeld, resume } from "./holding";
import { heedRecalls } from "./limits/recalls";
import { anyWaiting, resumeWaiting } from "./limits/waiting";
import { Root, TICK_BUSY_MS, allRoots, dropGone, enterRoot, rootById } from "./root";
import { sha256 } from "./sha256";
import { renewLooks } from "./responses";
import { loadStandalone, standaloneError } from "./standalone";
import { GAUGE_AGE, GAUGE_COUNTERS, GAUGE_KEYS, GAUGE_VERSION, Meter, error, say } from "./telemetry";
import { Text, ascii } from "./text";
import { anyWaitingForToken, resumeWaitingForToken } from "./tokens/waiting";

/** While nothing loads or waits. Ticks are only the fallback: changes wake. */
const TICK_MS: u32 = 200;
const OWNER_SILENT_NS: u64 = 1_000_000_000;
/** Gauges are shown, and what is gone is forgotten, so often. */
const SWEEP_EVERY_NS: u64 = 1_000_000_000;
/** Part of a feed's hash: VMs of another shared-data layout or wire format keep apart. */
const LAYOUT = ascii("layout 1");
const PLUGIN_NAME = ascii("plugin_name");
const PLUGIN_ROOT_ID = ascii("plugin_root_id");

const feeds: Array<Feed> = [];
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
    if (!isVisible(token)) return refused("control.tokenEnv: the value of the variable has blanks or control characters inside; a gateway token has none");
    if (token.length == 0) return refused("control.tokenEnv: the VM's environment has no such variable, or it is empty; name it in vm_config.environment_variables (Istio: vmConfig.env) and set it where Envoy starts");
  }
  const root = new Root(id, pluginHash(), config, meterOf(config.environment));
  const snapshot = config.snapshot;
  if (snapshot != null) {
    const table = loadStandalone(snapshot);
    if (table == null) return refused("snapshot: " + standaloneError());
    root.standalone = table;
  }
  if (config.hasControl) root.feed = feedOf(config, token, root.meter);
  else if (snapshot != null) root.feed = feedOf(config, digestOf(snapshot), root.meter);
  const feed = root.feed;
  if (feed != null) {
    feed.counters.slab.most = config.maxCounters;
    if (config.tokenHeader.length > 0) feed.tokens.wanted = true;
    const own = root.standalone;
    if (own != null && own.limits.count > 0) feed.counters.prepare();
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
 * The feed of environment, control and group; made when this VM has none yet. A token names its group; two tokens of one group are told
 * apart all the same, because nothing here may depend on what a token looks like.
 */
function feedOf(config: Config, token: StaticArray<u8>, meter: Meter): Feed {
  const text = new Text(4096);
  text.array(LAYOUT).byte(0).array(config.environment).byte(0).array(config.cluster).byte(0).array(config.authority).byte(0).array(token);
  const hash = hashOf(text.start, text.bytes);
  heap.free(text.start);
  for (let i = 0; i < feeds.length; i++) {
    if (feeds[i].hash != hash) continue;
    feeds[i].timeoutMs = config.timeoutMs;
    feeds[i].waitMs = config.waitMs;
    return feeds[i];
  }
  const feed = new Feed(hash, config.environment, config.cluster, config.authority, token, config.timeoutMs, config.waitMs, meter);
  feeds.push(feed);
  return feed;
}

/** Older roots of the same plugin with another feed have been replaced, as far as one can know. */
function supersede(root: Root): void {
  const roots = allRoots();
  for (let i = 0; i < roots.length; i++) {
    const other = roots[i];
    if (other.id != root.id && other.plugin == root.plugin && other.feed != root.feed) other.superseded = true;
  }
}

/** A stream has come for the root: its VM serves. */
export function serve(root: Root): void {
  const feed = root.feed;
  if (feed == null) return;
  if (root.superseded) {
    const now = monotonicNs();
    if (!root.watches(now)) {
      // Nobody may have watched in between. Unless somebody has, what is loaded waits for control's word.
      const silenceNs = <u64>(feed.waitMs + feed.timeoutMs) * 1_000_000;
      if (feed.readHead() && now - feed.head.contactNs > silenceNs) feed.unprovenSinceNs = now;
    }
    root.revive(now);
  }
  if (feed.serving) return;
  feed.serving = true;
  feed.wakeSelf();
}

export function tick(id: u32): void {
  const root = rootById(id);
  if (root == null) return;
  const now = monotonicNs();
  root.meter.flush();
  const feed = root.feed;
  if (feed != null && feed.isLocal) {
    keepLocal(feed, root, now);
    root.setTick(anyWaiting() ? TICK_BUSY_MS : TICK_MS);
  } else if (feed != null) {
    keepFeed(feed, root, now);
    const maxAge = root.config.maxSnapshotAgeSeconds;
    if (feed.follower.upToDate(feed)) feed.confirmedNs = feed.head.contactNs;
    root.stale = maxAge != 0 && feed.table != null && now > feed.confirmedNs && (now - feed.confirmedNs) / 1_000_000_000 > maxAge;
    root.setTick(feed.head.generation == 0 && !feed.leader.waiting(now) || feed.serving && feed.follower.behind(feed) || anyHeld() || anyWaiting() || anyWaitingForToken() ? TICK_BUSY_MS : TICK_MS);
  } else root.setTick(TICK_MS);
  if (anyHeld() && resume(now) && feed != null) feed.wakeSelf();
  if (anyWaiting() && resumeWaiting(now) && feed != null) feed.wakeSelf();
  if (anyWaitingForToken() && resumeWaitingForToken(now) && feed != null) feed.wakeSelf();
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

/** Forgets feeds that no root has any more. Their leases and slots in shared data run out. */
function dropUnused(): void {
  const roots = allRoots();
  for (let f = feeds.length - 1; f >= 0; f--) {
    let used = false;
    for (let r = 0; r < roots.length; r++) if (roots[r].feed == feeds[f]) used = true;
    if (used) {
      // A standalone root takes its table along.
      if (feeds[f].isLocal) feeds[f].counters.distrust();
      continue;
    }
    feeds[f].free();
    feeds.splice(f, 1);
  }
}

/** The newest root that watches owns the feed: its ticks drive it, and calls are made in its name. */
function keepFeed(feed: Feed, root: Root, now: u64): void {
  if (!root.watches(now)) {
    if (feed.owner == root.id) {
      feed.leader.resign(feed);
      feed.owner = 0;
    }
    return;
  }
  if (feed.owner != root.id) {
    if (feed.owner > root.id && now - feed.ownerTickNs < OWNER_SILENT_NS) return;
    feed.owner = root.id;
    feed.leader.forgetCalls();
    feed.lane.forgetCall();
    feed.tokens.forgetCall();
    feed.outbox.forgetCall();
  }
  feed.ownerTickNs = now;
  feed.headSound = feed.readHead();
  feed.members.keep(feed, root.id, now);
  feed.leader.lead(feed, now);
  followOn(feed);
  if (feed.serving) {
    heedRecalls(feed, now);
    feed.counters.sweep(feed, now);
    feed.usage.tick();
    renewLooks(now);
    feed.lane.pump(feed, now, true);
    feed.tokens.pump(feed, now);
  }
  // The leader sends what VMs that are gone have left, too.
  if (feed.serving || feed.leader.leads) feed.outbox.pump(feed, now);
}

/** The newest root keeps what a standalone gateway's workers have in common. */
function keepLocal(feed: Feed, root: Root, now: u64): void {
  if (feed.owner > root.id && now - feed.ownerTickNs < OWNER_SILENT_NS) return;
  feed.owner = root.id;
  feed.ownerTickNs = now;
  feed.members.keep(feed, root.id, now);
  if (feed.serving) prepare(feed);
  heedRecalls(feed, now);
  feed.counters.sweep(feed, now);
}

/** Memory for what requests add to. */
function prepare(feed: Feed): void {
  const table = feed.table;
  if (feed.counters.slab.places > 0 || (table != null && table.limits.count > 0)) feed.counters.prepare();
  if (feed.isLocal) return;
  feed.usage.begin();
  feed.tokens.prepare();
}

function followOn(feed: Feed): void {
  const before = feed.table;
  if (feed.follower.follow(feed)) feed.wakeSelf();
  if (feed.serving) prepare(feed);
  const table = feed.table;
  if (before == table || table == null) return;
  garbage = true;
  // Wire ids of another epoch mean something else; in the same one, news of resets may have been missed.
  if (before != null && feed.tableEpoch != table.epoch) {
    feed.outbox.close(feed, monotonicNs());
    feed.lane.startOver(feed, monotonicNs());
    feed.tokens.startOver();
  } else feed.counters.distrust();
  feed.tableEpoch = table.epoch;
}

/** Another VM, or this one, has woken this VM's queue. */
export function woken(id: u32, token: u32): void {
  drainQueue(token);
  for (let i = 0; i < feeds.length; i++) {
    const feed = feeds[i];
    if (feed.members.queue != token) continue;
    const now = monotonicNs();
    if (!feed.isLocal) {
      feed.readHead();
      followOn(feed);
    }
    if (feed.serving) prepare(feed);
    heedRecalls(feed, now);
    if (anyHeld() && resume(now)) feed.wakeSelf();
    if (anyWaiting() && resumeWaiting(now)) feed.wakeSelf();
    if (anyWaitingForToken() && resumeWaitingForToken(now)) feed.wakeSelf();
    setEffectiveContext(id);
    if (!feed.isLocal && feed.owner == id) {
      feed.lane.pump(feed, now, false);
      feed.tokens.pump(feed, now);
      feed.outbox.pump(feed, now);
    }
    // What was applied is told to the leader without waiting for a tick.
    feed.members.keep(feed, feed.owner, now);
    return;
  }
}

export function answered(id: u32, token: u32, headers: u32, bodyBytes: u32): void {
  const now = monotonicNs();
  const room = mark();
  for (let i = 0; i < feeds.length; i++) {
    const feed = feeds[i];
    if (feed.owner != id) continue;
    if (feed.lane.answered(feed, token, headers, bodyBytes, now)) {
      release(room);
      if (anyWaiting() && resumeWaiting(now)) feed.wakeSelf();
      setEffectiveContext(id);
      // What those who went on have used up is asked for at once.
      feed.lane.pump(feed, now, false);
      return;
    }
    if (feed.tokens.answered(feed, token, headers, bodyBytes, now)) {
      release(room);
      if (anyWaitingForToken() && resumeWaitingForToken(now)) feed.wakeSelf();
      setEffectiveContext(id);
      feed.tokens.pump(feed, now);
      return;
    }
    if (feed.outbox.answered(feed, token, headers, bodyBytes, now)) return;
    if (!feed.leader.answered(feed, token, headers, bodyBytes, now)) continue;
    // What came is in shared data by now. Its room is needed for the pages that are read from there.
    release(room);
    followOn(feed);
    if (anyHeld() && resume(now)) feed.wakeSelf();
    setEffectiveContext(id);
    return;
  }
}

function showGauges(now: u64): void {
  for (let i = 0; i < feeds.length; i++) {
    const feed = feeds[i];
    if (feed.serving) feed.meter.gauge(GAUGE_COUNTERS, feed.counters.slab.count);
    const head = feed.head;
    if (head.generation == 0) continue;
    const table = feed.table;
    const confirmedNs = table == null ? head.contactNs : feed.confirmedNs;
    feed.meter.gauge(GAUGE_AGE, confirmedNs < now ? (now - confirmedNs) / 1_000_000_000 : 0);
    if (table == null) continue;
    feed.meter.gauge(GAUGE_VERSION, table.version);
    feed.meter.gauge(GAUGE_KEYS, table.keys.count);
  }
}
