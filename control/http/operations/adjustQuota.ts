/** Resets counters, or gives them extra: first in the counter store, then as news in the environment's log, which reaches every gateway. */
import { setTimeout as sleep } from "node:timers/promises";
import type { CounterGeneration } from "../../counters/model.ts";
import { ControlError } from "../../errors.ts";
import { appliedLimits } from "../../quota/applied.ts";
import { type Choice, chooseAll, chooseOne } from "../../quota/choose.ts";
import type { Holder, QuotaFacts } from "../../quota/facts.ts";
import { type QuotaReport, quotaReport } from "../../quota/report.ts";
import type { ChangeContext, Store } from "../../store/store.ts";
import { gatewayName } from "../../store/gatewayName.ts";
import { isUnavailable } from "../../store/unavailable.ts";
import type { Services } from "../context.ts";
import { gatewayLostMs } from "../routes/gateways/index.ts";
import { changeIn, requireEnvironment } from "./environment.ts";
import { notFound } from "./putRecord.ts";

export interface Adjusted extends QuotaReport {
  version: number;
  adjusted: { name: string; api?: string }[];
}

type Audit = Holder & { action: string; details: object };

const notTold =
  "The counters are changed, but the gateways could not be told: those that know one as spent refuse until its window ends, or until the next reset or grant.";
const tries = 5;
const retryMs = 100;

export async function readQuota(services: Services, environment: string, holder: Holder): Promise<QuotaReport> {
  return report(services, environment, await factsOf(services, environment, holder));
}

export interface Adjustment extends Choice {
  /** to be granted; absent: a reset */
  amount?: number;
}

export async function adjustQuota(
  services: Services,
  environment: string,
  holder: Holder,
  adjustment: Adjustment,
  context: ChangeContext,
): Promise<Adjusted> {
  const { amount, ...choice } = adjustment;
  const facts = await factsOf(services, environment, holder);
  const applied = appliedLimits(facts);
  const owned = { ...holder, consumer: facts.consumer.consumer.id };
  const chosen = amount === undefined ? chooseAll(applied, owned, choice) : [chooseOne(applied, owned, choice)];
  const counters = chosen.map(({ counter }) => counter);
  const { counters: store } = services;
  const generations = await (amount === undefined
    ? store.reset(environment, counters)
    : store.grant(environment, counters, amount));
  const adjusted = chosen.map(({ limit, countsApi, countsRoute }) => ({
    name: limit.name,
    ...(countsApi === undefined ? {} : { api: countsApi }),
    ...(countsRoute === undefined ? {} : { route: countsRoute }),
  }));
  const details = amount === undefined ? { limits: adjusted } : { limits: adjusted, amount };
  const audit = { action: amount === undefined ? "reset-quota" : "grant-quota", ...holder, details };
  const version = await tell(services.store, environment, generations, audit, context);
  return { version, adjusted, ...(await report(services, environment, facts)) };
}

async function report(services: Services, environment: string, facts: QuotaFacts): Promise<QuotaReport> {
  const gateways = await services.store.gateways(environment);
  const contacts = {
    lastMs: new Map(
      gateways.flatMap(({ group, id, lastContactMs }) => [
        [id, lastContactMs],
        [gatewayName(group, id), lastContactMs],
      ]),
    ),
    lostMs: gatewayLostMs,
  };
  return quotaReport(services, environment, facts, contacts);
}

async function factsOf({ store, quotas }: Services, environment: string, holder: Holder): Promise<QuotaFacts> {
  await requireEnvironment(store, environment);
  const facts = await quotas.read(environment, holder);
  if (facts === undefined) throw notFound(holder.kind, holder.id);
  return facts;
}

/** The counters have changed for good: the news is worth some tries. */
async function tell(
  store: Store,
  environment: string,
  generations: readonly CounterGeneration[],
  audit: Audit,
  context: ChangeContext,
): Promise<number> {
  for (let tried = 1; ; tried++) {
    try {
      return (await changeIn(store, environment, context, async (writer) => writer.tellCounters(generations, audit)))
        .version;
    } catch (error) {
      if (!isUnavailable(error)) throw error;
      if (tried === tries) {
        throw new ControlError("not_ready", notTold);
      }
      await sleep(retryMs * tried);
    }
  }
}
