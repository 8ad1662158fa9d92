/**
 * A replica that is killed (SIGKILL) between its transaction and its answer. Arguments: the database's URL, the Redis URL or "", then calls as
 * JSON. Run by crash.test.ts.
 */
import type { LaneCall } from "../../control/counters/model.ts";
import { openCounters } from "../../control/counters/open.ts";
import { openStore } from "../../control/store/open.ts";
import { rate } from "./support.ts";

const [databaseUrl, redisUrl, text] = process.argv.slice(2) as [string, string, string];
const database = await openStore(databaseUrl, () => undefined);
const counters = await openCounters(database, { onLost: () => undefined, ...(redisUrl === "" ? {} : { redisUrl }) });
const calls = JSON.parse(text, (key, value: unknown) =>
  key === "lane" || key === "seq" ? BigInt(value as string) : value,
) as LaneCall[];
await counters.apply(calls, (_environment, wireId) => rate({ wireId, windowSeconds: 86_400 }));
process.kill(process.pid, "SIGKILL");
