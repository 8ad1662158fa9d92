/** A Redis or Valkey of the benchmarks' own. */
import { createClient } from "@redis/client";
import { startRedis } from "../tests/kit/redis.ts";
import { Unavailable } from "./unavailable.ts";

export interface BenchRedis {
  url: string;
  port: number;
  pid: number;
  stop(): Promise<void>;
}

/** How peers are usually run: what they count is lost with the server. */
export const notDurable = ["--appendonly", "no"];

/** Durable as the guarantee needs it, unless arguments say otherwise. Throws Unavailable where there is no server. */
export async function startBenchRedis(args: readonly string[] = []): Promise<BenchRedis> {
  const server = await startRedis(args).catch((error: Error) => {
    throw new Unavailable(error.message, { cause: error });
  });
  try {
    return { url: server.url, port: server.port, pid: await pidOf(server.url), stop: () => server.stop() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}

async function pidOf(url: string): Promise<number> {
  const client = createClient({ url });
  client.on("error", () => undefined);
  await client.connect();
  try {
    return Number(/process_id:(\d+)/.exec(await client.info("server"))?.[1]);
  } finally {
    await client.close();
  }
}
