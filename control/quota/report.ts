/** How the limits of a key or a consumer stand: the counters, who holds what of them, and what usage says. */
import type { CounterState, HoldingState, WindowState } from "../counters/model.ts";
import type { CounterStore } from "../counters/store.ts";
import type { LimitOwner } from "../domain/applicableLimits.ts";
import type { Limit } from "../domain/model.ts";
import { timeText } from "../domain/time.ts";
import { gatewayOf } from "../store/gatewayName.ts";
import type { UsageStore } from "../usage/usage.ts";
import { type AppliedLimit, appliedLimits } from "./applied.ts";
import { Counted } from "./counted.ts";
import type { QuotaFacts } from "./facts.ts";

interface HolderReport {
  /** its gateway group; "": not known, of an earlier version */
  group: string;
  gateway: string;
  /** one VM of the gateway */
  lane: string;
  /** at most so much of it is unspent */
  held: number;
  /** the lane's last call for allowance */
  lastContact: string;
  /** nothing has been heard of the gateway for so long that it's gone or cut off; if it's gone, what it holds is lost until the window ends */
  silent: boolean;
}

export interface WindowReport {
  start: string;
  /** when it ends, and the next one begins with nothing used */
  resets: string;
  limit: number;
  /** charged: spent, held by gateways, or in their shares */
  used: number;
  extra: number;
  remaining: number;
  held: number;
  heldBySilent: number;
  /** what gateways may spend while control is away (failureMode: local): charged whole */
  shares: number;
  /** the cost of what was admitted, by usage; null: usage can't tell */
  counted: number | null;
  /** used − held − shares − counted; null: usage can't tell */
  difference: number | null;
  holders: HolderReport[];
}

export interface LimitReport
  extends Pick<Limit, "name" | "kind" | "limit" | "windowSeconds" | "period" | "subject" | "enforcement" | "mode"> {
  owner: LimitOwner;
  /** where each API is counted apart, the API */
  api?: string;
  /** where each route is counted apart, the route; "": requests of no route of the API */
  route?: string;
  /** the APIs at which it applies */
  apis: string[];
  generation?: number;
  /** granted before the window is open that first use opens */
  pendingExtra?: number;
  /** the current one, and the next one if gateways hold some of it already; none where each gateway counts for itself */
  windows: WindowReport[];
}

export interface QuotaReport {
  time: string;
  key?: string;
  consumer: string;
  /** the consumer has so many keys with limits of their own that not all were looked at */
  partial: boolean;
  limits: LimitReport[];
}

export interface QuotaServices {
  counters: CounterStore;
  usage: UsageStore;
  nowMs: () => number;
}

/** When gateways were last heard of, by `gatewayName`, and by ids alone for holdings of an earlier version: also one that needs no more allowance for now calls, to hear of changes. */
export interface Contacts {
  lastMs: ReadonlyMap<string, number>;
  /** one that is silent for longer is lost */
  lostMs: number;
}

export async function quotaReport(
  { counters, usage, nowMs }: QuotaServices,
  environment: string,
  facts: QuotaFacts,
  contacts: Contacts,
): Promise<QuotaReport> {
  const applied = appliedLimits(facts);
  await usage.settle();
  const counted = applied.flatMap(({ counter }) => (counter === undefined ? [] : [counter]));
  const states = await counters.inspect(environment, counted);
  const time = nowMs();
  const usageOf = new Counted(usage, environment, facts, time);
  const isSilent: IsSilent = ({ gateway, lastContactMs }) =>
    time - Math.max(lastContactMs, contacts.lastMs.get(gateway) ?? 0) > contacts.lostMs;
  const limits: LimitReport[] = [];
  for (const one of applied) {
    const state = one.counter === undefined ? undefined : states[counted.indexOf(one.counter)];
    limits.push(await limitReport(one, state, usageOf, isSilent));
  }
  const { key, consumer, partial } = facts;
  return {
    time: timeText(time),
    ...(key === undefined ? {} : { key: key.id }),
    consumer: consumer.consumer.id,
    partial,
    limits,
  };
}

type IsSilent = (holding: HoldingState) => boolean;

async function limitReport(
  applied: AppliedLimit,
  state: CounterState | undefined,
  counted: Counted,
  isSilent: IsSilent,
): Promise<LimitReport> {
  const { limit, owner, apis, countsApi, countsRoute } = applied;
  const windows: WindowReport[] = [];
  for (const window of state?.windows ?? [])
    windows.push(windowReport(limit.limit, window, await counted.against(applied, window), isSilent));
  const { name, kind, windowSeconds, period, subject, enforcement, mode } = limit;
  return {
    name,
    kind,
    limit: limit.limit,
    ...(windowSeconds === undefined ? {} : { windowSeconds }),
    ...(period === undefined ? {} : { period }),
    subject,
    enforcement,
    mode,
    owner,
    ...(countsApi === undefined ? {} : { api: countsApi }),
    ...(countsRoute === undefined ? {} : { route: countsRoute }),
    apis,
    ...(state === undefined ? {} : { generation: state.generation, pendingExtra: state.pendingExtra }),
    windows,
  };
}

function windowReport(
  limit: number,
  window: WindowState,
  counted: number | undefined,
  isSilent: IsSilent,
): WindowReport {
  const { startMs, endMs, used, extra, remaining, shares, holdings } = window;
  const holders = holdings.map((holding): HolderReport => {
    const { gateway, lane, held, lastContactMs } = holding;
    const { group, id } = gatewayOf(gateway);
    return { group, gateway: id, lane, held, lastContact: timeText(lastContactMs), silent: isSilent(holding) };
  });
  const sum = (some: readonly { held: number }[]) => some.reduce((so, one) => so + one.held, 0);
  const held = sum(holders);
  return {
    start: timeText(startMs),
    resets: timeText(endMs),
    limit,
    used,
    extra,
    remaining,
    held,
    heldBySilent: sum(holders.filter(({ silent }) => silent)),
    shares,
    counted: counted ?? null,
    difference: counted === undefined ? null : used - held - shares - counted,
    holders,
  };
}
