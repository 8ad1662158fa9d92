/** Waiting for something to become true, with a deadline instead of a sleep that was tuned on one machine. */
import { setTimeout as sleep } from "node:timers/promises";

/**
 * Tries until `attempt` neither throws nor gives undefined or false, and gives what it gave. After `deadlineMs` throws an
 * error that names what was awaited and the last failure.
 */
export async function until<T>(what: string, attempt: () => Promise<T | undefined | false> | T | undefined | false, deadlineMs = 15_000): Promise<T> {
  const startMs = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const found = await attempt();
      if (found !== undefined && found !== false) return found as T;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (performance.now() - startMs > deadlineMs) {
      const cause = last instanceof Error ? last.message : String(last ?? "it never was");
      throw new Error(`waited ${deadlineMs} ms for ${what}: ${cause}`, { cause: last });
    }
    await sleep(10);
  }
}
