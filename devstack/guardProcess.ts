/** The other half of guard.ts: waits for its parent to go, then ends the children that are left. */
import { setTimeout as sleep } from "node:timers/promises";
import type { GuardMessage } from "./guard.ts";

const graceMs = 3000;
const watched = new Set<number>();

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => undefined);

process.on("message", (message: GuardMessage) => {
  if ("watch" in message) watched.add(message.watch);
  else watched.delete(message.forget);
});

process.on("disconnect", () => void endAll());

async function endAll(): Promise<void> {
  signalAll("SIGTERM");
  const deadline = performance.now() + graceMs;
  while (watched.size > 0 && performance.now() < deadline) {
    await sleep(50);
    signalAll(0);
  }
  signalAll("SIGKILL");
  process.exit(0);
}

/** Signals every watched process and drops those that are gone. */
function signalAll(signal: NodeJS.Signals | 0): void {
  for (const pid of watched) {
    try {
      process.kill(pid, signal);
    } catch {
      watched.delete(pid);
    }
  }
}
