/** Several gateways behind one control, and clients that hammer them all at once. */
import type { FileInput, LimitInput } from "../../../control/domain/schema.ts";
import { Gateway } from "../harness.ts";
import { ControlProcess, type ControlOptions } from "./control.ts";
import { environment } from "./fixture.ts";
import { Connection, type Response } from "./http1.ts";
import type { Setup } from "./setups.ts";

export interface FleetOptions {
  setup: Setup;
  gateways: number;
  file: FileInput;
  /** more of the plugin's configuration */
  configuration?: Record<string, unknown>;
  control?: ControlOptions;
  /** where gateways find control, when not at its own port: gives the port for the gateway of this number */
  syncPort?: (control: ControlProcess, gateway: number) => number;
}

/** What a run of clients saw. */
export interface Tally {
  /** answers by status, or by what went wrong */
  statuses: Record<string, number>;
  /** of refusals, by reason */
  reasons: Record<string, number>;
  admitted: number;
}

export class Fleet {
  private constructor(
    readonly control: ControlProcess,
    readonly gateways: Gateway[],
    private readonly options: FleetOptions,
    readonly gatewayToken: string,
  ) {}

  static async start(options: FleetOptions): Promise<Fleet> {
    const control = await ControlProcess.start(options.control);
    const gatewayToken = await control.createEnvironment(environment, options.file);
    const fleet = new Fleet(control, [], options, gatewayToken);
    try {
      for (let index = 0; index < options.gateways; index++) fleet.gateways.push(await fleet.startGateway(index));
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** One more gateway of the same kind. */
  startGateway(index: number): Promise<Gateway> {
    const { setup, configuration = {}, syncPort } = this.options;
    return Gateway.start({
      setup,
      syncPort: syncPort?.(this.control, index) ?? this.control.syncPort,
      gatewayToken: this.gatewayToken,
      listeners: [
        {
          configuration: {
            environment,
            control: { cluster: "control", authority: "control.test", timeoutMs: 2000, waitMs: 5000 },
            ...configuration,
          },
        },
      ],
    });
  }

  async key(consumer: string): Promise<string> {
    return (await this.control.call<{ key: string }>("POST", `/v1/keys?environment=${environment}`, { consumer })).key;
  }

  async stop(): Promise<void> {
    await Promise.all(this.gateways.map((gateway) => gateway.stop().catch(() => undefined)));
    await this.control.remove();
  }
}

/** An API, a tier with these limits and a consumer of that tier, each named `id`. */
export function product(id: string, limits: LimitInput[], api: object = {}): Pick<FileInput, "apis" | "tiers" | "consumers"> {
  return {
    apis: [{ id, hosts: ["*"], paths: [`/${id}`], upstream: { service: "echo.test", port: 80 }, ...api }],
    tiers: [{ id, limits }],
    consumers: [{ id, tier: id }],
  };
}

/** One file of several products. */
export function fileOf(products: readonly Pick<FileInput, "apis" | "tiers" | "consumers">[]): FileInput {
  return {
    version: 1,
    apis: products.flatMap(({ apis = [] }) => apis),
    tiers: products.flatMap(({ tiers = [] }) => tiers),
    consumers: products.flatMap(({ consumers = [] }) => consumers),
  };
}

/**
 * Sends requests to all gateways at once, over `connections` of each, until `more` says no. A connection that breaks is opened again; its
 * request counts as `failed`.
 */
export async function hammer(gateways: readonly Gateway[], path: string, key: string, more: () => boolean, connections = 12): Promise<Tally> {
  const tally: Tally = { statuses: {}, reasons: {}, admitted: 0 };
  const note = (answer: Response | undefined): void => {
    const status = answer === undefined ? "failed" : String(answer.status);
    tally.statuses[status] = (tally.statuses[status] ?? 0) + 1;
    if (answer === undefined) return;
    if (answer.status === 200) tally.admitted++;
    else if (answer.body.startsWith("{")) {
      const { reason = "" } = answer.json<{ reason?: string }>();
      tally.reasons[reason] = (tally.reasons[reason] ?? 0) + 1;
    }
  };
  const client = async (gateway: Gateway): Promise<void> => {
    let connection: Connection | undefined;
    while (more()) {
      try {
        connection ??= await Connection.open(gateway.port());
        note(await connection.send({ path, headers: [["x-api-key", key]] }));
      } catch {
        connection?.close();
        connection = undefined;
        note(undefined);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
    connection?.close();
  };
  await Promise.all(gateways.flatMap((gateway) => Array.from({ length: connections }, () => client(gateway))));
  return tally;
}

/** For `hammer`: so many requests in all. */
export function times(count: number): () => boolean {
  let left = count;
  return () => left-- > 0;
}

/** For `hammer`: so long. */
export function forMs(durationMs: number): () => boolean {
  const endMs = performance.now() + durationMs;
  return () => performance.now() < endMs;
}
