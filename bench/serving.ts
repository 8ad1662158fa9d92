/** Bringing every worker of an Envoy to serve: a VM builds its table when it gets its first request. */
import type { ControlProcess } from "../tests/kit/control.ts";
import { Connection } from "../tests/kit/http1.ts";
import { eventually } from "../tests/kit/eventually.ts";
import { benchKey } from "./keys.ts";
import { environment, headers, path } from "./workload.ts";

const deadlineMs = 120_000;

interface Gateways {
  version: number;
  items: { id: string; state: string; applied: number; workers: number; lastContact: string }[];
}

export async function connections(port: number, count: number): Promise<Connection[]> {
  return Promise.all(Array.from({ length: count }, () => Connection.open(port)));
}

/** Sends a good key over the connections until `workers` workers of the newest gateway have applied control's version. */
export async function untilServing(
  control: ControlProcess,
  open: readonly Connection[],
  workers: number,
): Promise<void> {
  await eventually(
    `${workers} workers to serve the current version`,
    async () => {
      const answers = await Promise.all(
        open.map((connection) => connection.send(keyRequest(benchKey(environment, 0)))),
      );
      if (answers.some(({ status }) => status !== 200)) return false;
      const { version, items } = await control.call<Gateways>("GET", `/v1/gateways?environment=${environment}`);
      const newest = items.sort((a, b) => (a.lastContact < b.lastContact ? 1 : -1))[0];
      return newest !== undefined && newest.applied === version && newest.workers === workers;
    },
    deadlineMs,
  );
}

export function keyRequest(key: string): { path: string; headers: [string, string][] } {
  return { path, headers: [...Object.entries(headers), ["x-api-key", key]] };
}
