import type { CounterStore } from "./store.ts";

/** Does the store answer? Looks at a counter that no limit has; throws when it can't. */
export async function probe(store: Pick<CounterStore, "inspect">): Promise<void> {
  await store.inspect("", [
    {
      limit: { wireId: 0, kind: "rate", limit: 0, windowSeconds: 1, period: "none", firstUse: false },
      subject: "0".repeat(32),
    },
  ]);
}
