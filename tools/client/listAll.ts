/** Lists of the admin API, page by page. */
import type { AdminClient } from "./adminClient.ts";

const pageSize = 1000;

export interface Listed<T> {
  items: T[];
  next?: string;
}

/** Returns the first `limit` items of a list, 0 for all of them; `more` says whether there are others. */
export async function listAll<T>(
  client: AdminClient,
  path: string,
  query: Record<string, string | undefined>,
  limit: number,
): Promise<{ items: T[]; more: boolean }> {
  const items: T[] = [];
  let cursor: string | undefined;
  do {
    const wanted = limit === 0 ? pageSize : Math.min(pageSize, limit - items.length);
    const page = await client.call<Listed<T>>("GET", path, { query: { ...query, limit: wanted, cursor } });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor !== undefined && (limit === 0 || items.length < limit));
  return { items, more: cursor !== undefined };
}
