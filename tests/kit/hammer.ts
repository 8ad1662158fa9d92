/** Clients that send requests to several gateways at once, as fast as they are answered. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Gateway } from "./gateway.ts";
import { Connection, type Pair, type Response } from "./http1.ts";
import { eventually } from "./eventually.ts";

export interface HammerOptions {
  path: string;
  key?: string;
  headers?: Pair[];
  /** default: until `stop` */
  requests?: number;
  /** of each gateway; default 12, which reaches every worker */
  connections?: number;
  /** requests that a connection sends at once; default 1 */
  pipelined?: number;
  /** a client that was refused pauses for so long; default 0 */
  pauseMs?: number;
  /** sees every answer, with the times at which its request was sent and it was read */
  onAnswer?: (answer: Response, sentMs: number, readMs: number) => void;
}

/** What clients saw. */
export class Tally {
  /** answers by status */
  readonly statuses: Record<string, number> = {};
  /** refusals by reason */
  readonly reasons: Record<string, number> = {};
  /** answered with 200, by the gateway's place */
  readonly admittedBy: number[];
  admitted = 0;
  /** requests that were sent and not answered, because their connection broke */
  failed = 0;

  constructor(gateways: number) {
    this.admittedBy = Array<number>(gateways).fill(0);
  }

  note(answer: Response, gateway: number): void {
    this.statuses[answer.status] = (this.statuses[answer.status] ?? 0) + 1;
    if (answer.status === 200) {
      this.admitted++;
      this.admittedBy[gateway]!++;
    } else if (answer.body.startsWith("{")) {
      const { reason = "" } = answer.json<{ reason?: string }>();
      this.reasons[reason] = (this.reasons[reason] ?? 0) + 1;
    }
  }

  toString(): string {
    return JSON.stringify(this);
  }
}

const atWork = new Set<Hammer>();

/** Clients at work. */
export class Hammer {
  readonly tally: Tally;
  private readonly work: Promise<unknown>;
  private left: number;

  constructor(
    gateways: readonly Pick<Gateway, "port">[],
    private readonly options: HammerOptions,
  ) {
    this.tally = new Tally(gateways.length);
    this.left = options.requests ?? Infinity;
    atWork.add(this);
    this.work = Promise.all(
      gateways.flatMap((gateway, index) =>
        Array.from({ length: options.connections ?? 12 }, () => this.client(gateway, index)),
      ),
    ).finally(() => atWork.delete(this));
  }

  /** Resolves once so many were admitted. */
  async admitted(count: number): Promise<void> {
    try {
      await eventually(`${count} admissions`, () => this.tally.admitted >= count);
    } catch (error) {
      await this.stop();
      throw new Error(`${(error as Error).message}; ${this.tally.toString()}`, { cause: error });
    }
  }

  /** Resolves when all requests are answered. */
  async done(): Promise<Tally> {
    await this.work;
    return this.tally;
  }

  /** Sends no more, and waits for what is on its way. */
  async stop(): Promise<Tally> {
    this.left = 0;
    return this.done();
  }

  private async client(gateway: Pick<Gateway, "port">, index: number): Promise<void> {
    const { path, key, headers = [], pipelined = 1, pauseMs = 0, onAnswer } = this.options;
    const request = { path, headers: [...headers, ...(key === undefined ? [] : [["x-api-key", key] satisfies Pair])] };
    let connection: Connection | undefined;
    while (this.left > 0) {
      const count = Math.min(pipelined, this.left);
      this.left -= count;
      let unanswered = 0;
      let refused = false;
      let last: Response | undefined;
      try {
        connection ??= await Connection.open(gateway.port());
        const sentMs = Date.now();
        unanswered = count;
        await connection.pipeline(request, count, (answer) => {
          unanswered--;
          refused ||= answer.status !== 200;
          last = answer;
          this.tally.note(answer, index);
          onAnswer?.(answer, sentMs, Date.now());
        });
        // A listener that drains says so in its answers.
        if (last?.header("connection") === "close") {
          connection.close();
          connection = undefined;
        }
      } catch {
        connection?.close();
        connection = undefined;
        this.tally.failed += unanswered;
        await sleep(20);
      }
      if (refused && pauseMs > 0) await sleep(pauseMs);
    }
    connection?.close();
  }
}

/** Sends so many requests in all and gives what became of them. */
export function hammer(
  gateways: readonly Pick<Gateway, "port">[],
  options: HammerOptions & { requests: number },
): Promise<Tally> {
  return new Hammer(gateways, options).done();
}

/** Stops what a failed test has left at work. */
export function stopHammers(): void {
  for (const one of atWork) void one.stop().catch(() => undefined);
}
