/**
 * Counters in Redis or Valkey. Counters live in slot groups. A call is cut into one part for each group that its ops concern; a part is
 * decided by the same rules as everywhere, on rows that one script reads, and written by one script that first makes sure that all of them
 * are as they were read; else it's decided again. Each group keeps the lane's last number with its part's answer, so that a call which
 * reached only some groups before a crash is completed when it's sent again, and no part of it counts twice.
 *
 * The guarantee is as good as Redis keeps what it has confirmed:
 *
 * - `appendonly yes` and `appendfsync always`: a crash loses nothing. With `everysec` up to the last second's grants are forgotten and may
 *   be granted again, with snapshots alone all since the last one.
 * - A failover forgets what the new primary hadn't got. `waitReplicas` makes an answer wait for so many replicas; without it (or when none
 *   of those that confirmed is promoted) what was in flight may be granted again.
 * - `maxmemory-policy noeviction`: an evicted window would begin anew. With it a full server refuses writes, and gateways get a 503.
 *
 * `durabilityGaps` says what a server lacks of this.
 */
import { randomUUID } from "node:crypto";
import { grant, inspect, reset } from "./adjust.ts";
import { decide } from "./decide.ts";
import { aliveMs, type Changes, type Facts, type Holder, laneText, noFacts, noteHolding, type ShareRow, type Wanted, type WindowId } from "./facts.ts";
import { LanesAlive } from "./lanesAlive.ts";
import {
  type CallAnswer,
  type CounterGeneration,
  type CounterRef,
  type CounterSettings,
  type CounterState,
  defaultLeaseMs,
  type LaneCall,
  type LeaseAnswer,
  type LimitsOf,
  type Recall,
} from "./model.ts";
import { plan } from "./plan.ts";
import { packRecalls, unpackRecalls } from "./recallText.ts";
import { RecallPace } from "./recallPace.ts";
import { connectRedis, type RedisConnection, type Reply } from "./redisClient.ts";
import {
  compared,
  contactsName,
  gatewaysName,
  groupOf,
  headName,
  headTtlMs,
  holdingsName,
  laneName,
  packHead,
  packHolding,
  packLane,
  packShares,
  packWindow,
  sharesName,
  unpackHead,
  unpackHolding,
  unpackLane,
  unpackShares,
  unpackWindow,
  windowName,
} from "./redisRows.ts";
import { forgetLanesScript, loadScript, storeScript } from "./redisScripts.ts";
import { type Judgement, type Matter, settle } from "./settle.ts";
import { type Applied, answerKeptMs, CountersUnavailable, type CounterStore, laneKeptMs, windowKeptMs } from "./store.ts";

export interface RedisCounterOptions extends Partial<CounterSettings> {
  /** for tests, instead of the server's clock */
  nowMs?: () => number;
  /** so many replicas must have confirmed before an answer goes out */
  waitReplicas?: number;
}

const channel = "tg:recalls";
const broadcastBytes = 60_000;
/** Another replica of control got ahead so often: someone else is hardly ever unlucky more than a few times. */
const triesMax = 200;
const waitReplicasMs = 1000;
const forgottenAtOnce = 1000;
const knownLanesMax = 100_000;

/** A decision's part in one slot group: facts, and what the strings among them looked like. */
interface Read {
  facts: Facts;
  /** key → what it begins with, "-" where it's absent */
  expected: Map<string, string>;
}

export class RedisCounterStore implements CounterStore {
  private readonly redis: RedisConnection;
  private readonly settings: CounterSettings;
  private readonly nowMs: (() => number) | undefined;
  private readonly waitReplicas: number;
  private readonly pace = new RecallPace();
  private readonly lanesAlive = new LanesAlive();
  /** whose gateway is written down */
  private readonly knownLanes = new Set<string>();
  private readonly environments = new Set<string>();
  private readonly sender = randomUUID();
  /** the server's clock minus ours, to guess which windows to load */
  private offsetMs = 0;

  /** The store closes the connection. */
  constructor(redis: RedisConnection, { nowMs, leaseMs = defaultLeaseMs, waitReplicas = 0 }: RedisCounterOptions = {}) {
    this.redis = redis;
    this.nowMs = nowMs;
    this.settings = { leaseMs };
    this.waitReplicas = waitReplicas;
  }

  static async open(url: string, onLost: (error: Error) => void, options?: RedisCounterOptions): Promise<RedisCounterStore> {
    return new RedisCounterStore(await connectRedis(url, onLost), options);
  }

  async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    if (calls.length === 0) return { answers: [], recalls: [] };
    const parts = cut(calls);
    const recalls: Recall[] = [];
    const pieces = calls.map((): CallAnswer[] => []);
    const answers = calls.map(({ ops }) => ops.map((): LeaseAnswer | undefined => undefined));
    const decidePart = async ([group, { own, places }]: [number, Part]) => {
      const decided = await this.change(group, {
        plan: (nowMs) => plan(own, limits, nowMs),
        judge: (facts) => decide(facts, own, limits, this.settings),
      });
      recalls.push(...this.pace.pass(decided.recalls, decided.nowMs));
      decided.answers.forEach((answer, index) => {
        const { call, ops } = places[index]!;
        pieces[call]!.push(answer);
        if (answer.kind === "answered") answer.answers.forEach((one, place) => (answers[call]![ops[place]!] = one));
      });
    };
    const settled = await Promise.allSettled([this.noteGateways(calls), ...[...parts].map(decidePart)]);
    // No part is left running when this ends: a call that is sent again mustn't race with itself.
    for (const one of settled) if (one.status === "rejected") throw one.reason;
    await this.noteContacts(calls);
    return { answers: pieces.map((own, call) => joined(own, answers[call]!)), recalls };
  }

  async reset(environment: string, counters: readonly CounterRef[]): Promise<CounterGeneration[]> {
    return this.adjust(environment, counters, (facts, own) => reset(facts, environment, own));
  }

  async grant(environment: string, counters: readonly CounterRef[], amount: number): Promise<CounterGeneration[]> {
    return this.adjust(environment, counters, (facts, own) => grant(facts, environment, own, amount));
  }

  async inspect(environment: string, counters: readonly CounterRef[]): Promise<CounterState[]> {
    return this.inGroups(environment, counters, async (group, own) => {
      const { decided } = await this.read(group, { judge: (facts) => inspect(facts, environment, own) });
      return decided.states;
    });
  }

  /** All else ends by its time to live. */
  async prune(): Promise<void> {
    for (const environment of this.environments) {
      const keys = [contactsName(environment), gatewaysName(environment)];
      const before = String((this.nowMs?.() ?? Date.now() + this.offsetMs) - laneKeptMs);
      while (Number(await this.redis.run(forgetLanesScript, keys, [before, String(forgottenAtOnce)])) === forgottenAtOnce);
    }
  }

  async broadcast(recalls: readonly Recall[]): Promise<void> {
    for (const text of packRecalls(this.sender, recalls, broadcastBytes)) await this.redis.publish(channel, text);
  }

  async listen(heard: (recalls: Recall[]) => void): Promise<void> {
    await this.redis.subscribe(channel, (text) => {
      const recalls = unpackRecalls(this.sender, text);
      if (recalls.length > 0) heard(recalls);
    });
  }

  /** What of the server's settings lets it forget what it has confirmed, each a sentence. Empty as well where it doesn't tell. */
  async durabilityGaps(): Promise<string[]> {
    const setting = async (name: string) => {
      const reply = await this.redis.send(contactsName(""), ["CONFIG", "GET", name]).catch(() => []);
      // A map in RESP3, a list before.
      return (Array.isArray(reply) ? reply[1] : Object.values(reply as unknown as Record<string, string>)[0]) as string | undefined;
    };
    const [appendOnly, fsync, policy] = [await setting("appendonly"), await setting("appendfsync"), await setting("maxmemory-policy")];
    const gaps: string[] = [];
    if (appendOnly === "no") gaps.push("appendonly is no: a restart of Redis forgets counters, and limits may be exceeded; set appendonly yes and appendfsync always.");
    else if (fsync !== undefined && fsync !== "always") gaps.push(`appendfsync is ${fsync}: a crash of Redis may forget its last second, and limits may be exceeded by what it granted then; set appendfsync always.`);
    if (policy !== undefined && policy !== "noeviction") gaps.push(`maxmemory-policy is ${policy}: a full Redis forgets counters, and limits may be exceeded; set noeviction.`);
    return gaps;
  }

  async close(): Promise<void> {
    await this.redis.close();
  }

  private async adjust(
    environment: string,
    counters: readonly CounterRef[],
    judge: (facts: Facts, own: CounterRef[]) => Judgement<{ kind: "decided"; changes: Changes; generations: CounterGeneration[] }>,
  ): Promise<CounterGeneration[]> {
    return this.inGroups(environment, counters, async (group, own) => (await this.change(group, { judge: (facts) => judge(facts, own) })).generations);
  }

  /** Runs `use` on each group's counters. Gives the results in the order of the counters. */
  private async inGroups<T>(environment: string, counters: readonly CounterRef[], use: (group: number, own: CounterRef[]) => Promise<T[]>): Promise<T[]> {
    const groups = new Map<number, number[]>();
    counters.forEach(({ subject }, place) => {
      const group = groupOf(environment, subject);
      groups.set(group, [...(groups.get(group) ?? []), place]);
    });
    const results: T[] = [];
    await Promise.all([...groups].map(async ([group, places]) => {
      const own = await use(group, places.map((place) => counters[place]!));
      places.forEach((place, index) => (results[place] = own[index]!));
    }));
    return results;
  }

  private async change<D extends { kind: "decided"; changes: Changes }>(group: number, matter: Matter<D>): Promise<D & { nowMs: number }> {
    for (let tries = 0; tries < triesMax; tries++) {
      const { decided, read } = await this.read(group, matter);
      if (await this.write(group, read, decided.changes)) return { ...decided, nowMs: read.facts.nowMs };
    }
    throw new CountersUnavailable({ cause: new Error("Others change the same counters all the time.") });
  }

  private async read<D extends { kind: "decided" }>(group: number, matter: Matter<D>): Promise<{ decided: D; read: Read }> {
    const read: Read = { facts: noFacts(this.nowMs?.() ?? Date.now() + this.offsetMs), expected: new Map() };
    const decided = await settle(read.facts, (wanted) => this.load(group, wanted, read), matter);
    return { decided, read };
  }

  private async load(group: number, wanted: Wanted, { facts, expected }: Read): Promise<void> {
    const strings: string[] = [];
    const arrived: ((value: string | null) => void)[] = [];
    const wantString = (name: string, take: (value: string | null) => void) => {
      strings.push(name);
      arrived.push((value) => {
        expected.set(name, value === null ? "-" : compared(value));
        take(value);
      });
    };
    for (const [key, id] of wanted.lanes) wantString(laneName(group, id), (value) => facts.lanes.set(key, value === null ? null : unpackLane(id, value)));
    const short = strings.length;
    for (const [key, id] of wanted.answers) wantString(laneName(group, id), (value) => facts.lanes.set(key, value === null ? null : unpackLane(id, value)));
    for (const [key, id] of wanted.heads) wantString(headName(group, id), (value) => facts.heads.set(key, value === null ? null : unpackHead(id, value)));
    for (const [key, id] of wanted.windows) wantString(windowName(group, id), (value) => facts.windows.set(key, value === null ? null : unpackWindow(id, value)));
    for (const [key, id] of wanted.shares) wantString(sharesName(group, id), (value) => facts.shares.set(key, value === null ? [] : unpackShares(id, value)));

    const fields = [...wanted.holdings.values()].map(({ window, lanes }) => ({ window, lanes: [...lanes] }));
    const whole = [...wanted.holders].map(([key, id]) => ({ key, id, name: holdingsName(group, id) }));

    if (strings.length + fields.length + whole.length > 0) {
      const names = [...strings, ...fields.map(({ window }) => holdingsName(group, window)), ...whole.map(({ name }) => name)];
      const args = [String(strings.length), String(short)];
      for (const { lanes } of fields) args.push(String(lanes.length), ...lanes);
      for (const _ of whole) args.push("-1");
      const [seconds, micros, values, hashes] = (await this.redis.run(loadScript, names, args)) as [string, string, (string | null)[], (string | null)[][]];
      const clockMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000);
      this.offsetMs = clockMs - Date.now();
      facts.nowMs = this.nowMs?.() ?? clockMs;
      arrived.forEach((take, index) => take(values[index] ?? null));
      let at = 0;
      for (const { window, lanes } of fields) {
        const found = hashes[at++]!;
        lanes.forEach((lane, index) => {
          const value = found[index] ?? null;
          noteHolding(facts, window, lane, value === null ? null : unpackHolding(window, lane, value));
        });
      }
      await Promise.all(whole.map(async ({ key, id }) => facts.holders.set(key, await this.holders(id, hashes[at++] as string[]))));
    }
    for (const environment of wanted.lanesAlive) {
      const count = async () => Number(await this.redis.send(contactsName(environment), ["ZCOUNT", contactsName(environment), `(${facts.nowMs - aliveMs}`, "+inf"]));
      facts.lanesAlive.set(environment, await this.lanesAlive.get(environment, facts.nowMs, count));
    }
  }

  /** Those who hold, with their gateways and last calls. */
  private async holders(id: WindowId, hash: string[]): Promise<Holder[]> {
    const rows = Array.from({ length: hash.length / 2 }, (_, index) => unpackHolding(id, hash[index * 2]!, hash[index * 2 + 1]!));
    if (rows.length === 0) return [];
    const lanes = rows.map(({ lane }) => lane);
    const { environment } = id.counter;
    const [contacts, gateways] = [contactsName(environment), gatewaysName(environment)];
    const [lastMs, names] = (await Promise.all([this.redis.send(contacts, ["ZMSCORE", contacts, ...lanes]), this.redis.send(gateways, ["HMGET", gateways, ...lanes])])) as [Reply[], (string | null)[]];
    return rows.map(({ lane, startMs, amount }, index) => ({ lane, startMs, amount, gateway: names[index] ?? "", lastMs: Number(lastMs[index] ?? 0) }));
  }

  /** false: something has changed since it was read, and nothing was written. */
  private async write(group: number, { facts, expected }: Read, changes: Changes): Promise<boolean> {
    const values = new Map<string, { value: string; ttlMs: number }>();
    const until = (timeMs: number) => Math.max(1, timeMs - facts.nowMs);
    for (const row of changes.lanes) values.set(laneName(group, row.id), { value: packLane(row), ttlMs: answerKeptMs });
    for (const row of changes.heads) values.set(headName(group, row.id), { value: packHead(row), ttlMs: headTtlMs() });
    for (const row of changes.windows) values.set(windowName(group, row.id), { value: packWindow(row), ttlMs: until(row.endMs + windowKeptMs) });
    for (const [name, rows] of sharesByCounter(group, facts, changes.shares)) {
      values.set(name, { value: packShares(rows), ttlMs: until(Math.max(...rows.map(({ keepMs }) => keepMs))) });
    }
    if (values.size === 0) return true;

    const keys: string[] = [];
    const args = [String(expected.size)];
    for (const [name, before] of expected) {
      const change = values.get(name);
      keys.push(name);
      args.push(before, change?.value ?? "", String(change?.ttlMs ?? 0));
    }
    const hashes = new Map<string, { ttlMs: number; pairs: string[] }>();
    for (const row of changes.holdings) {
      const name = holdingsName(group, row.window);
      let hash = hashes.get(name);
      if (hash === undefined) hashes.set(name, (hash = { ttlMs: until(row.endMs + windowKeptMs), pairs: [] }));
      hash.pairs.push(row.lane, row.amount === 0 ? "" : packHolding(row));
    }
    for (const [name, { ttlMs, pairs }] of hashes) {
      keys.push(name);
      args.push(String(ttlMs), String(pairs.length / 2), ...pairs);
    }
    if (Number(await this.redis.run(storeScript, keys, args)) !== 0) return false;
    if (this.waitReplicas > 0) {
      const confirmed = Number(await this.redis.send(keys[0]!, ["WAIT", String(this.waitReplicas), String(waitReplicasMs)]));
      if (confirmed < this.waitReplicas) throw new CountersUnavailable({ cause: new Error(`Only ${confirmed} replicas have confirmed.`) });
    }
    return true;
  }

  /** Where recalls of what a lane holds are to go. It's outside the groups, as the contacts are: no decision's exactness hangs on either. */
  private async noteGateways(calls: readonly LaneCall[]): Promise<void> {
    const unknown = calls.filter((call) => !this.knownLanes.has(laneKey(call)));
    await Promise.all([...byEnvironment(unknown)].map(async ([environment, own]) => {
      const name = gatewaysName(environment);
      await this.redis.send(name, ["HSET", name, ...own.flatMap((call) => [laneText(call.lane), call.gateway])]);
    }));
    if (this.knownLanes.size > knownLanesMax) this.knownLanes.clear();
    for (const call of unknown) this.knownLanes.add(laneKey(call));
  }

  private async noteContacts(calls: readonly LaneCall[]): Promise<void> {
    const nowMs = String(this.nowMs?.() ?? Date.now() + this.offsetMs);
    await Promise.all([...byEnvironment(calls)].map(async ([environment, own]) => {
      this.environments.add(environment);
      const name = contactsName(environment);
      await this.redis.send(name, ["ZADD", name, ...own.flatMap(({ lane }) => [nowMs, laneText(lane)])]);
    }));
  }
}

function laneKey({ environment, lane }: LaneCall): string {
  return `${environment}/${lane}`;
}

function byEnvironment(calls: readonly LaneCall[]): Map<string, LaneCall[]> {
  const groups = new Map<string, LaneCall[]>();
  for (const call of calls) {
    const own = groups.get(call.environment);
    if (own === undefined) groups.set(call.environment, [call]);
    else own.push(call);
  }
  return groups;
}

interface Part {
  own: LaneCall[];
  /** for each of them: which call it's of, and which of its ops */
  places: { call: number; ops: number[] }[];
}

/** Each call's ops by slot group. A call without ops still belongs to one. */
function cut(calls: readonly LaneCall[]): Map<number, Part> {
  const parts = new Map<number, Part>();
  calls.forEach((call, index) => {
    const groups = new Map<number, number[]>();
    call.ops.forEach(({ subject }, place) => {
      const group = groupOf(call.environment, subject);
      const places = groups.get(group);
      if (places === undefined) groups.set(group, [place]);
      else places.push(place);
    });
    if (groups.size === 0) groups.set(groupOf(call.environment, laneText(call.lane)), []);
    for (const [group, ops] of groups) {
      let part = parts.get(group);
      if (part === undefined) parts.set(group, (part = { own: [], places: [] }));
      part.own.push(ops.length === call.ops.length ? call : { ...call, ops: ops.map((place) => call.ops[place]!) });
      part.places.push({ call: index, ops });
    }
  });
  return parts;
}

/** The time is the earliest of the parts': each part answers alike when it's asked again, so the whole does too. */
function joined(parts: readonly CallAnswer[], answers: readonly (LeaseAnswer | undefined)[]): CallAnswer {
  let timeMs = Infinity;
  for (const part of parts) {
    if (part.kind === "outdated") return part;
    timeMs = Math.min(timeMs, part.timeMs);
  }
  return { kind: "answered", timeMs, answers: answers as LeaseAnswer[] };
}

/** All shares of each counter that had one changed, without those that have run out. */
function sharesByCounter(group: number, facts: Facts, changed: readonly ShareRow[]): Map<string, ShareRow[]> {
  const byCounter = new Map<string, { name: string; rows: Map<string, ShareRow> }>();
  for (const row of changed) {
    const { counter } = row;
    let known = byCounter.get(counter.key);
    if (known === undefined) {
      const loaded = (facts.shares.get(counter.key) ?? []).filter(({ keepMs }) => keepMs >= facts.nowMs);
      byCounter.set(counter.key, (known = { name: sharesName(group, counter), rows: new Map(loaded.map((share) => [share.lane, share])) }));
    }
    known.rows.set(row.lane, row);
  }
  return new Map([...byCounter.values()].map(({ name, rows }) => [name, [...rows.values()]]));
}
