import type { AdminClient } from "../tools/client/adminClient.ts";
import type { EnvironmentSpec } from "../control/domain/model.ts";

/** Marks what the local stack made, so that the next start replaces it. */
const mark = "local-stack";

export interface DemoKey {
  tier: string;
  consumer: string;
  key: string;
}

interface Page<T> {
  items: T[];
  next?: string;
}

/**
 * Issues one key per tier to the first consumer of that tier, and deletes those of the start before: a key is shown only once, so
 * an old one is of no use to anybody who doesn't have it already.
 */
export async function issueDemoKeys(
  client: AdminClient,
  { environment, tiers, consumers }: EnvironmentSpec,
): Promise<DemoKey[]> {
  const keys: DemoKey[] = [];
  for (const { id: tier } of tiers) {
    const consumer = consumers.find((candidate) => candidate.tier === tier)?.id;
    if (consumer === undefined) continue;
    const { items: old } = await client.call<Page<{ id: string; name?: string }>>("GET", "/v1/keys", {
      query: { environment, consumer, limit: 1000 },
    });
    for (const key of old)
      if (key.name === mark)
        await client.call("DELETE", `/v1/keys/${encodeURIComponent(key.id)}`, { query: { environment } });
    const { key } = await client.call<{ key: string }>("POST", "/v1/keys", {
      query: { environment },
      body: { consumer, name: mark },
    });
    keys.push({ tier, consumer, key });
  }
  return keys;
}

/** Gives a fresh gateway token in place of the one of the start before. */
export async function issueGatewayToken(client: AdminClient, environment: string): Promise<string> {
  const { items: old } = await client.call<Page<{ id: string; name: string }>>("GET", "/v1/gateway-tokens", {
    query: { environment },
  });
  for (const token of old)
    if (token.name === mark)
      await client.call("DELETE", `/v1/gateway-tokens/${encodeURIComponent(token.id)}`, { query: { environment } });
  const { token } = await client.call<{ token: string }>("POST", "/v1/gateway-tokens", {
    query: { environment },
    body: { name: mark, group: mark },
  });
  return token;
}
