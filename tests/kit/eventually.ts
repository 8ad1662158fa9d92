/** Waiting for something to become true, with a deadline instead of a sleep that was tuned on one machine. */
import { setTimeout as sleep } from "node:timers/promises";

/** A minute: a loaded machine takes many times what an idle one does, and only a failure waits for so long. */
const patienceMs = 60_000;
const pauseMs = 10;

/** Thrown by an attempt that can't succeed any more, because a process has ended, say: `eventually` throws it at once. */
export class Hopeless extends Error {}

/**
 * Tries until `attempt` neither throws nor returns undefined or false, and returns what it returned. After `deadlineMs` throws an error that
 * names what was awaited and the last failure.
 */
export async function eventually<T>(
  what: string,
  attempt: () => Promise<T | undefined | false> | T | undefined | false,
  deadlineMs = patienceMs,
): Promise<T> {
  const startMs = performance.now();
  let last: unknown;
  for (;;) {
    try {
      const found = await attempt();
      if (found !== undefined && found !== false) return found as T;
      last = undefined;
    } catch (error) {
      if (error instanceof Hopeless) throw error;
      last = error;
    }
    if (performance.now() - startMs > deadlineMs) {
      const cause = last instanceof Error ? last.message : String(last ?? "it never was");
      throw new Error(`waited ${deadlineMs} ms for ${what}: ${cause}`, { cause: last });
    }
    await sleep(pauseMs);
  }
}
