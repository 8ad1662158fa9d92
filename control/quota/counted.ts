/** What usage says was taken from a counter, beside what the counter was charged. */
import { UsageTooLarge } from "../usage/cells.ts";
import { countColumns } from "../usage/columns.ts";
import type { UsageQuery, UsageRow } from "../usage/query.ts";
import type { UsageStore } from "../usage/usage.ts";
import { countsKey } from "../domain/subjects.ts";
import { type AppliedLimit, placeText } from "./applied.ts";
import type { QuotaFacts } from "./facts.ts";

interface Window {
  startMs: number;
  endMs: number;
}

const minuteMs = 60_000;
const rowsMax = 20_000;
const costPlace = countColumns.indexOf("cost");

/** Reads usage for the limits of one key or consumer; the same stretch of time only once. */
export class Counted {
  private readonly usage: UsageStore;
  private readonly environment: string;
  private readonly facts: QuotaFacts;
  private readonly nowMs: number;
  private readonly read = new Map<string, Promise<UsageRow[] | undefined>>();

  constructor(usage: UsageStore, environment: string, facts: QuotaFacts, nowMs: number) {
    this.usage = usage;
    this.environment = environment;
    this.facts = facts;
    this.nowMs = nowMs;
  }

  /** `undefined`: usage, which is kept by the minute, can't tell; nor can it when there is too much of it. */
  async against(applied: AppliedLimit, window: Window): Promise<number | undefined> {
    const { limit, owner } = applied;
    const wholeMinutes = window.startMs % minuteMs === 0 && window.endMs % minuteMs === 0;
    if (!wholeMinutes && limit.anchor !== "firstUse") return undefined;
    if (window.startMs >= this.nowMs) return 0;
    const { key, consumer } = this.facts;
    const consumerId = consumer.consumer.id;
    if (countsKey(limit.subject)) return this.cost(applied, window, { key: key!.id });
    if (owner.kind === "key") return this.cost(applied, window, { consumer: consumerId, key: owner.key });
    let sum = await this.cost(applied, window, { consumer: consumerId });
    for (const id of applied.except) {
      const others = await this.cost(applied, window, { consumer: consumerId, key: id });
      sum = sum === undefined || others === undefined ? undefined : sum - others;
    }
    return sum;
  }

  private async cost(
    { owner, places, countsApi, countsRoute }: AppliedLimit,
    window: Window,
    filter: UsageQuery["filter"],
  ): Promise<number | undefined> {
    const rows = await this.rows(window, filter);
    // A limit that isn't the tier's counts on when the key moves to another tier.
    const anyTier =
      owner.kind === "tier" ? undefined : new Set([...places].map((place) => place.slice(place.indexOf("\n"))));
    return rows?.reduce((sum, { names: [tier, api, route], counts }) => {
      if (countsApi !== undefined && api !== countsApi) return sum;
      if (countsRoute !== undefined && route !== countsRoute) return sum;
      const text = placeText(tier!, api!, route!);
      const applies = anyTier === undefined ? places.has(text) : anyTier.has(text.slice(text.indexOf("\n")));
      return applies ? sum + counts[costPlace]! : sum;
    }, 0);
  }

  private rows(window: Window, filter: UsageQuery["filter"]): Promise<UsageRow[] | undefined> {
    const fromMs = window.startMs - (window.startMs % minuteMs);
    const toMs = Math.min(window.endMs, this.nowMs + minuteMs);
    const name = `${fromMs} ${toMs} ${filter.consumer ?? ""} ${filter.key ?? ""}`;
    let rows = this.read.get(name);
    if (rows === undefined) {
      const query: UsageQuery = {
        environment: this.environment,
        fromMs,
        toMs,
        interval: "total",
        group: ["tier", "api", "route"],
        filter,
        rowsMax,
      };
      rows = this.usage.read(query).then(
        (result) => result.rows,
        (error: unknown) => {
          if (error instanceof UsageTooLarge) return undefined;
          throw error;
        },
      );
      this.read.set(name, rows);
    }
    return rows;
  }
}
