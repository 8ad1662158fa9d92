/** routes: who may call what. */
import type { Command } from "commander";
import type { Consumer, Key } from "../../control/domain/model.ts";
import { nearest } from "../../control/domain/nearest.ts";
import { parseTime } from "../../control/domain/time.ts";
import type { AdminClient } from "../../tools/client/adminClient.ts";
import { clientOf, environmentOf, optionsOf, print, type Context, type GlobalOptions } from "../context.ts";
import { UsageError } from "../failure.ts";
import { readSpec } from "../input.ts";
import { type Asker, type Rights, routesOf } from "./routesAccess.ts";
import { routesText } from "./routesText.ts";
import { listAll } from "../../tools/client/listAll.ts";

interface Options {
  file?: string;
  api?: string;
  consumer?: string;
  tier?: string;
  key?: string;
}

export function addRoutesCommand(program: Command, context: Context): void {
  program
    .command("routes")
    .description("Show who may call which routes: scopes, tiers and consumers, limits and where they are defined.")
    .option("-f, --file <path>", "Read this file; - for standard input (default: the control plane)")
    .option("--api <id>", "Show only routes of this API")
    .option("--tier <id>", "Show what this tier may call")
    .option("--consumer <id>", "Show what this consumer may call")
    .option("--key <id>", "Show what this key may call")
    .action(async (_options, command: Command) => {
      const options = optionsOf<Options>(command);
      if ([options.tier, options.consumer, options.key].filter((one) => one !== undefined).length > 1)
        throw new UsageError("Give one of --tier, --consumer and --key.");
      const rights =
        options.file === undefined
          ? await storedRights(clientOf(context, options), environmentOf(context, options), options)
          : (await readSpec(context, options.file, environmentOf(context, options))).spec;
      if (options.api !== undefined) find(rights.apis, options.api, "API");
      const asker = askerOf(rights, options);
      // All APIs decide which one a request gets to; only then some of them are left out.
      const lines = routesOf(rights, asker).filter(({ api }) => options.api === undefined || api === options.api);
      const remarks = asker === undefined ? [] : remarksOf(rights, asker, Date.now());
      print(
        context,
        options,
        { ...(asker === undefined ? {} : { asker: askerJson(asker), remarks }), routes: lines },
        () =>
          [
            ...(asker === undefined ? [] : [`${title(asker)}\n`, ...remarks.map((remark) => `${remark}\n`), "\n"]),
            routesText(lines, asker !== undefined),
          ].join(""),
      );
      noteStoredKeys(context, options, asker);
    });
}

/** In control, keys are many, and only those that are asked about are read. */
async function storedRights(
  client: AdminClient,
  environment: string | undefined,
  { key, consumer }: Options,
): Promise<Rights> {
  const all = async <T>(section: string, query: Record<string, string | undefined> = {}) =>
    (await listAll<T>(client, `/v1/${section}`, { environment, ...query }, 0)).items;
  const oneKey = (id: string) =>
    client.call<Key>("GET", `/v1/keys/${encodeURIComponent(id)}`, { query: { environment } });
  const keys =
    key !== undefined ? [await oneKey(key)] : consumer !== undefined ? await all<Key>("keys", { consumer }) : [];
  const [apis, tiers, consumers] = await Promise.all([
    all<Rights["apis"][number]>("apis"),
    all<Rights["tiers"][number]>("tiers"),
    all<Consumer>("consumers"),
  ]);
  return { apis, tiers, consumers, keys };
}

function askerOf(rights: Rights, options: Options): Asker | undefined {
  const tierOf = (id: string | undefined) => rights.tiers.find((tier) => tier.id === id);
  if (options.tier !== undefined) return { kind: "tier", tier: find(rights.tiers, options.tier, "tier") };
  if (options.consumer !== undefined) {
    const consumer = find(rights.consumers, options.consumer, "consumer");
    return { kind: "consumer", consumer, tier: tierOf(consumer.tier) };
  }
  if (options.key === undefined) return undefined;
  const key = find(rights.keys, options.key, "key");
  const consumer = rights.consumers.find(({ id }) => id === key.consumer);
  return { kind: "key", key, consumer, tier: tierOf(key.tier ?? consumer?.tier) };
}

function find<T extends { id: string }>(records: readonly T[], id: string, what: string): T {
  const found = records.find((record) => record.id === id);
  if (found !== undefined) return found;
  const near = nearest(
    id,
    records.map((record) => record.id),
  );
  throw new UsageError(`There is no ${what} \`${id}\`.${near === undefined ? "" : ` Did you mean \`${near}\`?`}`);
}

function title(asker: Asker): string {
  const tier = asker.tier === undefined ? "no tier" : `tier ${asker.tier.id}`;
  if (asker.kind === "tier") return tier;
  return asker.kind === "consumer"
    ? `consumer ${asker.consumer.id}, ${tier}`
    : `key ${asker.key.id} of consumer ${asker.key.consumer}, ${tier}`;
}

function askerJson(asker: Asker): object {
  const tier = asker.tier?.id ?? null;
  if (asker.kind === "tier") return { tier };
  return asker.kind === "consumer"
    ? { consumer: asker.consumer.id, tier }
    : { key: asker.key.id, consumer: asker.key.consumer, tier };
}

/** What holds whatever is called: a key that isn't valid now, a consumer that is suspended, keys with rights of their own. */
function remarksOf({ keys }: Rights, asker: Asker, nowMs: number): string[] {
  if (asker.kind === "tier") return [];
  const remarks: string[] = [];
  if (asker.consumer?.suspended) remarks.push("The consumer is suspended: every call is refused (consumer_suspended).");
  if (asker.kind === "consumer") {
    const own = keys.filter(
      (key) =>
        key.consumer === asker.consumer.id &&
        key.state === "active" &&
        (key.tier !== undefined || key.apis !== undefined || key.scopes !== undefined || key.limits.length > 0),
    );
    if (own.length > 0)
      remarks.push(`Keys with rights or limits of their own, see --key: ${own.map(({ id }) => id).join(", ")}.`);
    return remarks;
  }
  const { key } = asker;
  if (key.state !== "active") remarks.push(`The key is ${key.state}: every call is refused (key_${key.state}).`);
  if (key.expiresAt !== undefined && parseTime(key.expiresAt)! <= nowMs)
    remarks.push(`The key expired at ${key.expiresAt}: every call is refused (key_expired).`);
  if (key.notBefore !== undefined && parseTime(key.notBefore)! > nowMs)
    remarks.push(`The key is valid from ${key.notBefore} on (key_not_yet_valid).`);
  if (key.allowedCidrs.length > 0) remarks.push(`Only from ${key.allowedCidrs.join(", ")} (ip_not_allowed).`);
  return remarks;
}

function noteStoredKeys(context: Context, options: Options & GlobalOptions, asker: Asker | undefined): void {
  if (options.file !== undefined || options.json === true || asker !== undefined) return;
  context.streams.err("Keys with a tier of their own aren't among these: --key shows what one may call.\n");
}
