/** Kept connections to every worker of some gateways. */
import { type Gateway, reasonOf } from "../../kit/gateway.ts";
import { Connection, type Pair, type Response } from "../../kit/http1.ts";
import { eventually } from "../../kit/eventually.ts";

/** The kernel spreads connections over workers at random: with so many of them none is left out, but once in 30,000 times. */
const connectionsEach = 16;

export interface WorkersRequest {
  path: string;
  key?: string;
}

export class Workers {
  private constructor(private readonly connections: Connection[]) {}

  static async open(gateways: readonly Gateway[], each = connectionsEach): Promise<Workers> {
    return new Workers(
      await Promise.all(
        gateways.flatMap((gateway) => Array.from({ length: each }, () => Connection.open(gateway.port()))),
      ),
    );
  }

  /** One request on each connection. */
  send({ path, key }: WorkersRequest): Promise<Response[]> {
    const headers: Pair[] = key === undefined ? [] : [["x-api-key", key]];
    return Promise.all(this.connections.map((connection) => connection.send({ path, headers })));
  }

  /** One for each connection: the reason of the refusal; undefined when the request was admitted. */
  async outcomes(request: WorkersRequest): Promise<(string | undefined)[]> {
    return (await this.send(request)).map(outcomeOf);
  }

  /** Waits until every connection has this outcome at once. */
  async all(request: WorkersRequest, outcome: string | undefined): Promise<void> {
    let last: (string | undefined)[] = [];
    try {
      await eventually(`every worker to answer ${outcome ?? "200"}`, async () =>
        (last = await this.outcomes(request)).every((one) => one === outcome),
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; answers: ${last.join(", ")}`, { cause: error });
    }
  }

  close(): void {
    for (const connection of this.connections) connection.close();
  }
}

/** Waits until every worker of the gateways answers so. */
export async function everyWorkerAnswers(
  gateways: readonly Gateway[],
  request: WorkersRequest,
  outcome: string | undefined,
): Promise<void> {
  const workers = await Workers.open(gateways);
  try {
    await workers.all(request, outcome);
  } finally {
    workers.close();
  }
}

function outcomeOf(response: Response): string | undefined {
  return response.status === 200 ? undefined : (reasonOf(response) ?? `${response.status} ${response.body}`);
}
