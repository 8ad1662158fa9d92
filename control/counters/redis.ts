/**
 * Counters in Redis or Valkey. Counters live in slot groups. A call is cut into one part for each group that its ops concern; a part is
 * decided by the same rules as everywhere, on rows that one script reads, and written by one script that first makes sure that all of them
 * are as they were read; else it's decided again (redisTransactions.ts). Each group keeps the lane's last number with its part's answer, so
 * that a call which reached only some groups before a crash is completed when it's sent again, and no part of it counts twice.
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
import { type Changes, type Facts, laneText } from "./facts.ts";
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
import { connectRedis, type RedisConnection } from "./redisClient.ts";
import { contactsName, gatewaysName, groupOf } from "./redisRows.ts";
import { forgetLanesScript } from "./redisScripts.ts";
import { RedisTransactions } from "./redisTransactions.ts";
import type { Judgement } from "./settle.ts";
import { type Applied, type CounterStore, laneKeptMs } from "./store.ts";

export interface RedisCounterOptions extends Partial<CounterSettings> {
  /** for tests, instead of the server's clock */
  nowMs?: () => number;
  /** so many replicas must have confirmed before an answer goes out */
  waitReplicas?: number;
}

const channel = "tg:recalls";
const broadcastBytes = 60_000;
const forgottenAtOnce = 1000;
const knownLanesMax = 100_000;

export class RedisCounterStore implements CounterStore {
  private readonly redis: RedisConnection;
  private readonly settings: CounterSettings;
  private readonly transactions: RedisTransactions;
  private readonly pace = new RecallPace();
  /** whose gateway is written down */
  private readonly knownLanes = new Set<string>();
  private readonly environments = new Set<string>();
  private readonly sender = randomUUID();

  /** The store closes the connection. */
  constructor(redis: RedisConnection, { nowMs, leaseMs = defaultLeaseMs, waitReplicas = 0 }: RedisCounterOptions = {}) {
    this.redis = redis;
    this.settings = { leaseMs };
    this.transactions = new RedisTransactions(redis, { nowMs, waitReplicas });
  }

  static async open(
    url: string,
    onLost: (error: Error) => void,
    options?: RedisCounterOptions,
  ): Promise<RedisCounterStore> {
    return new RedisCounterStore(await connectRedis(url, onLost), options);
  }

  async apply(calls: readonly LaneCall[], limits: LimitsOf): Promise<Applied> {
    if (calls.length === 0) return { answers: [], recalls: [] };
    const recalls: Recall[] = [];
    const pieces = calls.map((): CallAnswer[] => []);
    const answers = calls.map(({ ops }) => ops.map((): LeaseAnswer | undefined => undefined));
    const decidePart = async ([group, part]: [number, Part]) => {
      // Limits may depend on the caller, who is known by the call that came.
      const limitsOf: LimitsOf = (environment, wireId, call) => limits(environment, wireId, part.wholes.get(call)!);
      const decided = await this.transactions.change(group, {
        plan: (nowMs) => plan(part.own, limitsOf, nowMs),
        judge: (facts) => decide(facts, part.own, limitsOf, this.settings),
      });
      recalls.push(...this.pace.pass(decided.recalls, decided.nowMs));
      decided.answers.forEach((answer, index) => {
        const { call, ops } = part.places[index]!;
        pieces[call]!.push(answer);
        if (answer.kind === "answered") answer.answers.forEach((one, place) => (answers[call]![ops[place]!] = one));
      });
    };
    const settled = await Promise.allSettled([this.noteGateways(calls), ...[...cut(calls)].map(decidePart)]);
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
    return this.inGroups(
      environment,
      counters,
      async (group, own) =>
        (await this.transactions.look(group, { judge: (facts) => inspect(facts, environment, own) })).states,
    );
  }

  /** All else ends by its time to live. */
  async prune(): Promise<void> {
    for (const environment of this.environments) {
      const keys = [contactsName(environment), gatewaysName(environment)];
      const before = String(this.transactions.nowMs() - laneKeptMs);
      while (
        Number(await this.redis.run(forgetLanesScript, keys, [before, String(forgottenAtOnce)])) === forgottenAtOnce
      );
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
      return (Array.isArray(reply) ? reply[1] : Object.values(reply as unknown as Record<string, string>)[0]) as
        | string
        | undefined;
    };
    const [appendOnly, fsync, policy] = [
      await setting("appendonly"),
      await setting("appendfsync"),
      await setting("maxmemory-policy"),
    ];
    const gaps: string[] = [];
    if (appendOnly === "no")
      gaps.push(
        "appendonly is no: a restart of Redis forgets counters, and limits may be exceeded; set appendonly yes and appendfsync always.",
      );
    else if (fsync !== undefined && fsync !== "always")
      gaps.push(
        `appendfsync is ${fsync}: a crash of Redis may forget its last second, and limits may be exceeded by what it granted then; set appendfsync always.`,
      );
    if (policy !== undefined && policy !== "noeviction")
      gaps.push(
        `maxmemory-policy is ${policy}: a full Redis forgets counters, and limits may be exceeded; set noeviction.`,
      );
    return gaps;
  }

  async close(): Promise<void> {
    await this.redis.close();
  }

  private async adjust(
    environment: string,
    counters: readonly CounterRef[],
    judge: (
      facts: Facts,
      own: CounterRef[],
    ) => Judgement<{ kind: "decided"; changes: Changes; generations: CounterGeneration[] }>,
  ): Promise<CounterGeneration[]> {
    return this.inGroups(
      environment,
      counters,
      async (group, own) =>
        (await this.transactions.change(group, { judge: (facts) => judge(facts, own) })).generations,
    );
  }

  /** Runs `use` on each group's counters. Gives the results in the order of the counters. */
  private async inGroups<T>(
    environment: string,
    counters: readonly CounterRef[],
    use: (group: number, own: CounterRef[]) => Promise<T[]>,
  ): Promise<T[]> {
    const groups = new Map<number, number[]>();
    counters.forEach(({ subject }, place) => {
      const group = groupOf(environment, subject);
      groups.set(group, [...(groups.get(group) ?? []), place]);
    });
    const results: T[] = [];
    await Promise.all(
      [...groups].map(async ([group, places]) => {
        const own = await use(
          group,
          places.map((place) => counters[place]!),
        );
        places.forEach((place, index) => (results[place] = own[index]!));
      }),
    );
    return results;
  }

  /** Where recalls of what a lane holds are to go. It's outside the groups, as the contacts are: no decision's exactness hangs on either. */
  private async noteGateways(calls: readonly LaneCall[]): Promise<void> {
    const unknown = calls.filter((call) => !this.knownLanes.has(laneKey(call)));
    await Promise.all(
      [...byEnvironment(unknown)].map(async ([environment, own]) => {
        const name = gatewaysName(environment);
        await this.redis.send(name, ["HSET", name, ...own.flatMap((call) => [laneText(call.lane), call.gateway])]);
      }),
    );
    if (this.knownLanes.size > knownLanesMax) this.knownLanes.clear();
    for (const call of unknown) this.knownLanes.add(laneKey(call));
  }

  private async noteContacts(calls: readonly LaneCall[]): Promise<void> {
    const nowMs = String(this.transactions.nowMs());
    await Promise.all(
      [...byEnvironment(calls)].map(async ([environment, own]) => {
        this.environments.add(environment);
        const name = contactsName(environment);
        await this.redis.send(name, ["ZADD", name, ...own.flatMap(({ lane }) => [nowMs, laneText(lane)])]);
      }),
    );
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
  /** the calls that they're cut from */
  wholes: Map<LaneCall, LaneCall>;
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
      if (part === undefined) parts.set(group, (part = { own: [], wholes: new Map(), places: [] }));
      const own = ops.length === call.ops.length ? call : { ...call, ops: ops.map((place) => call.ops[place]!) };
      part.own.push(own);
      part.wholes.set(own, call);
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
