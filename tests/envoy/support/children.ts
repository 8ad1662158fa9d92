/** Child processes do not outlive the test process, however it ends (short of SIGKILL). */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";

const children = new Set<ChildProcess>();
let watching = false;

/** Kills the child when this process ends. */
export function endWithUs(child: ChildProcess): void {
  if (!watching) {
    watching = true;
    process.once("exit", () => {
      for (const one of children) one.kill("SIGKILL");
    });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
  children.add(child);
  child.once("exit", () => children.delete(child));
}
