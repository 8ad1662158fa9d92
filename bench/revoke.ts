/**
 * From the answer of `/revoke` to the last admitted request, at a gateway with two workers and a million keys. Connections on both
 * workers send the key every few milliseconds; the clock is this process's own, and a request counts when its answer is here.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Connection } from "../tests/kit/http1.ts";
import { EnvoyProcess } from "./envoyProcess.ts";
import type { Figure } from "./report.ts";
import { connections, keyRequest, untilServing } from "./serving.ts";
import { median, percentile } from "./statistics.ts";
import type { SystemContext } from "./systems.ts";
import { startFilledControl, tollgateBootstrap } from "./tollgate.ts";
import { environment } from "./workload.ts";

const keyCount = 1_000_000;
const workers = 2;
const connectionCount = 16;
const betweenMs = 4;
const query = `?environment=${environment}`;

export async function measureRevocation(
  { envoyPath, upstreamPort }: SystemContext,
  revocations: number,
): Promise<Figure[]> {
  const filled = await startFilledControl(keyCount);
  const envoy = await EnvoyProcess.start(envoyPath, tollgateBootstrap({ ...filled, upstreamPort }), {
    concurrency: workers,
  });
  const open = await connections(envoy.port, connectionCount);
  const { control } = filled;
  const delaysMs: number[] = [];
  const arrivalsMs: number[] = [];
  try {
    await untilServing(control, open, workers);
    for (let index = 0; index < revocations; index++) {
      const { id, key } = await control.call<{ id: string; key: string }>("POST", `/v1/keys${query}`, {
        consumer: "c0",
      });
      const issuedMs = performance.now();
      const senders = open.map((connection) => new Sender(connection, key));
      for (const firstMs of await Promise.all(senders.map((sender) => sender.admitted)))
        arrivalsMs.push(firstMs - issuedMs);
      await control.call("POST", `/v1/keys/${id}/revoke${query}`);
      const answeredMs = performance.now();
      const lastAdmittedMs = Math.max(...(await Promise.all(senders.map((sender) => sender.refused))));
      delaysMs.push(Math.max(0, lastAdmittedMs - answeredMs));
      await control.call("DELETE", `/v1/keys/${id}${query}`);
    }
  } finally {
    for (const connection of open) connection.close();
    await envoy.stop();
    await control.remove();
  }
  return [
    {
      name: `answer of /revoke to the last admitted request, median of ${revocations}`,
      value: median(delaysMs),
      unit: "ms",
    },
    {
      name: "answer of /revoke to the last admitted request, p99",
      value: percentile(delaysMs, 99),
      unit: "ms",
      target: 250,
    },
    { name: "answer of /revoke to the last admitted request, longest", value: Math.max(...delaysMs), unit: "ms" },
    {
      name: "issue of a key to its first admission at each connection, p99",
      value: percentile(arrivalsMs, 99),
      unit: "ms",
    },
  ];
}

/** Sends a key over one connection, a few milliseconds apart, from before its first admission to its first refusal after that. */
class Sender {
  /** when the first admitted request was answered */
  readonly admitted: Promise<number>;
  /** ends with the first refusal; when the last admitted request was answered */
  readonly refused: Promise<number>;

  constructor(
    private readonly connection: Connection,
    private readonly key: string,
  ) {
    this.admitted = this.until(200).then(({ nowMs }) => nowMs);
    this.refused = this.admitted.then((firstMs) =>
      this.until(401).then(({ lastOtherMs }) => Math.max(firstMs, lastOtherMs)),
    );
  }

  private async until(wanted: 200 | 401): Promise<{ nowMs: number; lastOtherMs: number }> {
    let lastOtherMs = 0;
    for (;;) {
      const { status } = await this.connection.send(keyRequest(this.key));
      const nowMs = performance.now();
      if (status === wanted) return { nowMs, lastOtherMs };
      if (status !== 200 && status !== 401) throw new Error(`a request was answered ${status}`);
      lastOtherMs = nowMs;
      await sleep(betweenMs);
    }
  }
}
