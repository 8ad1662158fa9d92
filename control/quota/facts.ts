/** What must be known of an environment to say which limits count a key or a consumer. */
import type { Kysely } from "kysely";
import type { SqlDialect } from "../store/dialect.ts";
import { SqlFeedReader } from "../store/feedReader.ts";
import type { FeedApi, FeedConsumer, FeedKey, FeedTier } from "../store/feedSource.ts";
import { parseList } from "../store/records.ts";
import { keyStates, type Tables } from "../store/tables.ts";

/** Keys of a consumer that the limits see as one: with the same tier and APIs. One with limits of its own stands for itself. */
export interface Caller {
  /** instead of the consumer's; wire id */
  tier?: number;
  /** absent: all that the tier allows; wire ids */
  apis?: number[];
  /** present: it has limits of its own */
  limited?: FeedKey;
}

export interface QuotaFacts {
  apis: FeedApi[];
  tiers: FeedTier[];
  consumer: FeedConsumer;
  /** present: it's about this key */
  key?: FeedKey;
  /** of all keys of the consumer that aren't revoked; with the key that it's about, whatever its state */
  callers: Caller[];
  /** that of the key */
  self?: Caller;
  /** the consumer has more keys with limits of their own than were looked at */
  partial: boolean;
}

export type Holder = { kind: "key" | "consumer"; id: string };

const revoked = keyStates.indexOf("revoked");
/** More keys with limits of their own are not looked at. */
const limitedKeysMax = 200;

export class QuotaSource {
  private readonly dialect: SqlDialect;

  constructor(dialect: SqlDialect) {
    this.dialect = dialect;
  }

  /** `undefined`: there is no such key or consumer. */
  async read(environment: string, holder: Holder): Promise<QuotaFacts | undefined> {
    return this.dialect.snapshot(async (view) => {
      const row = await view.selectFrom("environments").selectAll().where("id", "=", environment).executeTakeFirst();
      if (row === undefined) return undefined;
      const reader = new SqlFeedReader(view, this.dialect.lines, row);
      const key = holder.kind === "key" ? await reader.keyById(holder.id) : undefined;
      if (holder.kind === "key" && key === undefined) return undefined;
      const consumer = await reader.consumerById(
        key === undefined ? holder.id : await consumerId(view, environment, key.consumerWireId),
      );
      if (consumer === undefined) return undefined;
      const limited = await limitedCallers(view, environment, consumer.wireId, reader);
      const callers = [...(await plainCallers(view, environment, consumer.wireId)), ...limited];
      const facts = {
        apis: await reader.apis(),
        tiers: await reader.tiers(),
        consumer,
        partial: limited.length === limitedKeysMax,
      };
      if (key === undefined) return { ...facts, callers };
      const self = callerOf(key);
      return { ...facts, callers: [self, ...callers.filter(({ limited }) => limited?.id !== key.id)], key, self };
    });
  }
}

function callerOf({ tierWireId, apiWireIds, ...key }: FeedKey): Caller {
  return {
    ...(tierWireId === undefined ? {} : { tier: tierWireId }),
    ...(apiWireIds === undefined ? {} : { apis: apiWireIds }),
    ...(key.limits === undefined ? {} : { limited: key }),
  };
}

async function consumerId(view: Kysely<Tables>, environment: string, wireId: number): Promise<string> {
  return (
    await view
      .selectFrom("consumers")
      .select("id")
      .where("environment", "=", environment)
      .where("wire_id", "=", wireId)
      .executeTakeFirstOrThrow()
  ).id;
}

async function plainCallers(view: Kysely<Tables>, environment: string, consumerWireId: number): Promise<Caller[]> {
  const rows = await view
    .selectFrom("keys")
    .select(["tier_wire_id", "apis"])
    .distinct()
    .where("environment", "=", environment)
    .where("consumer_wire_id", "=", consumerWireId)
    .where("limits", "is", null)
    .where("state", "<>", revoked)
    .execute();
  return rows.map(({ tier_wire_id: tier, apis }) => ({
    ...(tier === null ? {} : { tier }),
    ...(apis === null ? {} : { apis: parseList<number>(apis)! }),
  }));
}

async function limitedCallers(
  view: Kysely<Tables>,
  environment: string,
  consumerWireId: number,
  reader: SqlFeedReader,
): Promise<Caller[]> {
  const rows = await view
    .selectFrom("keys")
    .select("id")
    .where("environment", "=", environment)
    .where("consumer_wire_id", "=", consumerWireId)
    .where("limits", "is not", null)
    .where("state", "<>", revoked)
    .orderBy("row_id")
    .limit(limitedKeysMax)
    .execute();
  return [...(await reader.keysByIds(rows.map(({ id }) => id))).values()].map(callerOf);
}
