/**
 * Changes of one slot group's rows in Redis: rows are read by one script, a decision is made on them, and one script writes what it changes,
 * but only if all that was read is still so; else it's decided again.
 */
import {
  aliveMs,
  type Changes,
  type Facts,
  type Holder,
  type LaneId,
  noFacts,
  noteHolding,
  type ShareRow,
  type Wanted,
  type WindowId,
} from "./facts.ts";
import { LanesAlive } from "./lanesAlive.ts";
import type { RedisConnection, Reply } from "./redisClient.ts";
import {
  absent,
  compared,
  contactsName,
  gatewaysName,
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
import { loadScript, storeScript } from "./redisScripts.ts";
import { type Matter, settle } from "./settle.ts";
import { answerKeptMs, CountersUnavailable, windowKeptMs } from "./store.ts";

export interface TransactionOptions {
  /** for tests, instead of the server's clock */
  nowMs: (() => number) | undefined;
  /** so many replicas of Redis must have confirmed before a change counts */
  waitReplicas: number;
}

/** A decision's part in one slot group: facts, and what the strings among them looked like. */
interface Read {
  group: number;
  facts: Facts;
  /** the strings that were read, by the rows' keys */
  lanes: Map<string, Before>;
  heads: Map<string, Before>;
  windows: Map<string, Before>;
  shares: Map<string, Before>;
}

interface Before {
  /** the key in Redis */
  name: string;
  /** what its value began with, or `absent` */
  text: string;
  /** the value to write, with its time to live */
  value?: string;
  ttlMs?: number;
}

/** Another replica of control got ahead so often: someone else is hardly ever unlucky more than a few times. */
const triesMax = 200;
const waitReplicasMs = 1000;

export class RedisTransactions {
  private readonly lanesAlive = new LanesAlive();
  /** the server's clock minus the process's */
  private offsetMs = performance.timeOrigin;

  constructor(
    private readonly redis: RedisConnection,
    private readonly options: TransactionOptions,
  ) {}

  /** The server's clock, as far as it's known here. */
  nowMs(): number {
    return this.options.nowMs?.() ?? Math.floor(performance.now() + this.offsetMs);
  }

  /** Decides, and writes the changes. What is decided hangs on nothing that has changed meanwhile. */
  async change<D extends { kind: "decided"; changes: Changes }>(
    group: number,
    matter: Matter<D>,
  ): Promise<D & { nowMs: number }> {
    for (let tries = 0; tries < triesMax; tries++) {
      const read = this.newRead(group);
      const decided = await this.settle(read, matter);
      if (await this.write(read, decided.changes)) return { ...decided, nowMs: read.facts.nowMs };
    }
    throw new CountersUnavailable({ cause: new Error("Others change the same counters all the time.") });
  }

  /** Decides on what the server has now, and writes nothing. */
  async look<D extends { kind: "decided" }>(group: number, matter: Matter<D>): Promise<D> {
    return this.settle(this.newRead(group), matter);
  }

  private newRead(group: number): Read {
    return {
      group,
      facts: noFacts(this.nowMs()),
      lanes: new Map(),
      heads: new Map(),
      windows: new Map(),
      shares: new Map(),
    };
  }

  private settle<D extends { kind: "decided" }>(read: Read, matter: Matter<D>): Promise<D> {
    return settle(read.facts, (wanted) => this.load(wanted, read), matter);
  }

  private async load(wanted: Wanted, read: Read): Promise<void> {
    const { group, facts } = read;
    const names: string[] = [];
    const arrived: ((value: string | null) => void)[] = [];
    const want = (befores: Map<string, Before>, key: string, name: string, take: (value: string | null) => void) => {
      names.push(name);
      arrived.push((value) => {
        befores.set(key, { name, text: value === null ? absent : compared(value) });
        take(value);
      });
    };
    const wantLane = (key: string, id: LaneId) =>
      want(read.lanes, key, laneName(group, id), (value) =>
        facts.lanes.set(key, value === null ? null : unpackLane(id, value)),
      );
    for (const [key, id] of wanted.lanes) wantLane(key, id);
    const short = names.length;
    for (const [key, id] of wanted.answers) wantLane(key, id);
    for (const [key, id] of wanted.heads)
      want(read.heads, key, headName(group, id), (value) =>
        facts.heads.set(key, value === null ? null : unpackHead(id, value)),
      );
    for (const [key, id] of wanted.windows)
      want(read.windows, key, windowName(group, id), (value) =>
        facts.windows.set(key, value === null ? null : unpackWindow(id, value)),
      );
    for (const [key, id] of wanted.shares)
      want(read.shares, key, sharesName(group, id), (value) =>
        facts.shares.set(key, value === null ? [] : unpackShares(id, value)),
      );
    const strings = names.length;
    const holdings = [...wanted.holdings.values()];

    if (strings + holdings.length + wanted.holders.size > 0) {
      const args = [String(strings), String(short)];
      for (const { window, lanes } of holdings) {
        names.push(holdingsName(group, window));
        args.push(String(lanes.size), ...lanes);
      }
      for (const id of wanted.holders.values()) {
        names.push(holdingsName(group, id));
        args.push("-1");
      }
      const [seconds, micros, values, hashes] = (await this.redis.run(loadScript, names, args)) as [
        string,
        string,
        (string | null)[],
        (string | null)[][],
      ];
      this.offsetMs = Number(seconds) * 1000 + Number(micros) / 1000 - performance.now();
      facts.nowMs = this.nowMs();
      arrived.forEach((take, index) => take(values[index] ?? null));
      let at = 0;
      for (const { window, lanes } of holdings) {
        const found = hashes[at++]!;
        let index = 0;
        for (const lane of lanes) {
          const value = found[index++] ?? null;
          noteHolding(facts, window, lane, value === null ? null : unpackHolding(window, lane, value));
        }
      }
      await Promise.all(
        [...wanted.holders].map(async ([key, id]) =>
          facts.holders.set(key, await this.holders(id, hashes[at++] as string[])),
        ),
      );
    }
    for (const environment of wanted.lanesAlive) {
      const count = async () =>
        Number(
          await this.redis.send(contactsName(environment), [
            "ZCOUNT",
            contactsName(environment),
            `(${facts.nowMs - aliveMs}`,
            "+inf",
          ]),
        );
      facts.lanesAlive.set(environment, await this.lanesAlive.get(environment, facts.nowMs, count));
    }
  }

  /** Those who hold, with their gateways and last calls. */
  private async holders(id: WindowId, hash: string[]): Promise<Holder[]> {
    const rows = Array.from({ length: hash.length / 2 }, (_, index) =>
      unpackHolding(id, hash[index * 2]!, hash[index * 2 + 1]!),
    );
    if (rows.length === 0) return [];
    const lanes = rows.map(({ lane }) => lane);
    const { environment } = id.counter;
    const [contacts, gateways] = [contactsName(environment), gatewaysName(environment)];
    const [lastMs, names] = (await Promise.all([
      this.redis.send(contacts, ["ZMSCORE", contacts, ...lanes]),
      this.redis.send(gateways, ["HMGET", gateways, ...lanes]),
    ])) as [Reply[], (string | null)[]];
    return rows.map(({ lane, startMs, amount }, index) => ({
      lane,
      startMs,
      amount,
      gateway: names[index] ?? "",
      lastMs: Number(lastMs[index] ?? 0),
    }));
  }

  /** false: something has changed since it was read, and nothing was written. */
  private async write(read: Read, changes: Changes): Promise<boolean> {
    const { group, facts } = read;
    const until = (timeMs: number) => Math.max(1, timeMs - facts.nowMs);
    let changed = 0;
    const put = (befores: Map<string, Before>, key: string, value: string, ttlMs: number) => {
      // Whatever a decision changes it has looked at, so that it's compared.
      const before = befores.get(key)!;
      before.value = value;
      before.ttlMs = ttlMs;
      changed++;
    };
    for (const row of changes.lanes) put(read.lanes, row.id.key, packLane(row), answerKeptMs);
    for (const row of changes.heads) put(read.heads, row.id.key, packHead(row), headTtlMs());
    for (const row of changes.windows) put(read.windows, row.id.key, packWindow(row), until(row.endMs + windowKeptMs));
    for (const [key, rows] of sharesByCounter(facts, changes.shares))
      put(read.shares, key, packShares(rows), until(Math.max(...rows.map(({ keepMs }) => keepMs))));
    if (changed === 0) return true;

    const names: string[] = [];
    const args = [""];
    for (const befores of [read.lanes, read.heads, read.windows, read.shares]) {
      for (const { name, text, value = "", ttlMs = 0 } of befores.values()) {
        names.push(name);
        args.push(text, value, String(ttlMs));
      }
    }
    args[0] = String(names.length);
    const hashes = new Map<string, { window: WindowId; ttlMs: number; pairs: string[] }>();
    for (const row of changes.holdings) {
      const { window } = row;
      let hash = hashes.get(window.key);
      if (hash === undefined)
        hashes.set(window.key, (hash = { window, ttlMs: until(row.endMs + windowKeptMs), pairs: [] }));
      // Where there was a holding of the same window, the hash lives long enough.
      if (facts.holdings.get(window.key)?.get(row.lane)?.endMs === row.endMs) hash.ttlMs = 0;
      hash.pairs.push(row.lane, row.amount === 0 ? "" : packHolding(row));
    }
    for (const { window, ttlMs, pairs } of hashes.values()) {
      names.push(holdingsName(group, window));
      args.push(String(ttlMs), String(pairs.length / 2), ...pairs);
    }
    if (Number(await this.redis.run(storeScript, names, args)) !== 0) return false;
    if (this.options.waitReplicas > 0) await this.confirmed(names[0]!);
    return true;
  }

  private async confirmed(name: string): Promise<void> {
    const { waitReplicas } = this.options;
    const confirmed = Number(await this.redis.send(name, ["WAIT", String(waitReplicas), String(waitReplicasMs)]));
    if (confirmed < waitReplicas)
      throw new CountersUnavailable({ cause: new Error(`Only ${confirmed} replicas have confirmed.`) });
  }
}

/** All shares of each counter that had one changed, without those that have run out. */
function sharesByCounter(facts: Facts, changed: readonly ShareRow[]): Map<string, ShareRow[]> {
  const byCounter = new Map<string, Map<string, ShareRow>>();
  for (const row of changed) {
    const { counter } = row;
    let known = byCounter.get(counter.key);
    if (known === undefined) {
      const loaded = (facts.shares.get(counter.key) ?? []).filter(({ keepMs }) => keepMs >= facts.nowMs);
      byCounter.set(counter.key, (known = new Map(loaded.map((share) => [share.lane, share]))));
    }
    known.set(row.lane, row);
  }
  return new Map([...byCounter].map(([key, rows]) => [key, [...rows.values()]]));
}
