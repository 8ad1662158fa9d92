/** Several gateways behind one control, and one upstream behind all of them. */
import { randomInt } from "node:crypto";
import { digestHex, issueKey } from "../../../control/domain/keys.ts";
import type { ListenerOptions } from "../../../tools/envoy/bootstrap.ts";
import type { FileInput, LimitInput } from "../../../control/domain/schema.ts";
import { Gateway } from "../../kit/gateway.ts";
import { ControlProcess, type ControlOptions } from "../../kit/control.ts";
import { startCountingUpstream, type CountingUpstream } from "./countingUpstream.ts";
import { environment } from "../../kit/fixture.ts";
import { stopHammers } from "../../kit/hammer.ts";
import type { Setup } from "../../kit/envoySetups.ts";

export interface FleetOptions {
  setup: Setup;
  gateways: number;
  products: readonly Product[];
  /** more of the plugin's configuration */
  configuration?: Record<string, unknown>;
  /** what differs from the bootstrap's listener */
  listener?: Partial<ListenerOptions>;
  /** the build of the filter; default release */
  target?: "release" | "trap";
  /** the gateways' listeners can be replaced */
  watchListeners?: boolean;
  /** each gateway is of a group of its own, whose token names the APIs that it sees */
  groups?: boolean;
  control?: ControlOptions;
  /** where gateways find control, when not at its own port: gives the port for the gateway of this place */
  syncPort?: (control: ControlProcess, gateway: number) => number | Promise<number>;
}

/** An API, a tier and a consumer of that tier, all of one name. */
export type Product = Pick<FileInput, "apis" | "tiers" | "consumers">;

export class Fleet {
  readonly gateways: Gateway[] = [];
  private readonly keys = new Map<string, string>();

  private constructor(
    readonly control: ControlProcess,
    readonly upstream: CountingUpstream,
    private readonly options: FleetOptions,
  ) {}

  private gatewayToken = "";
  /** with `groups`: of each gateway's own group, which sees every product's API by name */
  private readonly groupTokens: string[] = [];

  static async start(options: FleetOptions): Promise<Fleet> {
    const fleet = new Fleet(await ControlProcess.prepare(options.control), await startCountingUpstream(), options);
    const { control } = fleet;
    try {
      await control.start();
      fleet.gatewayToken = await control.createEnvironment(environment, fleet.file());
      if (options.groups === true) {
        const apis = options.products.flatMap(({ apis: some = [] }) => some.map(({ id }) => id));
        for (let index = 0; index < options.gateways; index++)
          fleet.groupTokens.push(await control.createGatewayToken(environment, { group: `group-${index}`, apis }));
      }
      const starts = Array.from({ length: options.gateways }, (_, index) => fleet.startGateway(index));
      const outcomes = await Promise.allSettled(starts);
      for (const outcome of outcomes) if (outcome.status === "fulfilled") fleet.gateways.push(outcome.value);
      await Promise.all(starts);
    } catch (error) {
      await fleet.stop();
      throw error;
    }
    return fleet;
  }

  /** One more gateway of the same kind. */
  async startGateway(index: number): Promise<Gateway> {
    const { setup, configuration = {}, listener, watchListeners = false, target = "release", syncPort } = this.options;
    return Gateway.start({
      setup,
      syncPort: (await syncPort?.(this.control, index)) ?? this.control.syncPort,
      gatewayToken: this.groupTokens[index] ?? this.gatewayToken,
      nodeId: `gateway-${index}`,
      watchListeners,
      target,
      upstreamPort: this.upstream.port,
      listeners: [
        {
          configuration: {
            environment,
            control: { cluster: "control", authority: "control.test", timeoutMs: 2000, waitMs: 5000 },
            ...configuration,
          },
          ...(listener === undefined ? {} : { listener }),
        },
      ],
    });
  }

  /** The key of a product's consumer, which gateways have from the start; its id is the product's too. */
  key(product: string): string {
    return this.keys.get(product)!;
  }

  /** How many requests for a product have reached the upstream. */
  reached(product: string): number {
    return this.upstream.count(`/${product}`);
  }

  async stop(): Promise<void> {
    stopHammers();
    await Promise.all(this.gateways.map((gateway) => gateway.stop().catch(() => undefined)));
    await this.control.remove();
    await this.upstream.close();
  }

  private file(): FileInput {
    const { products } = this.options;
    const consumers = products.flatMap(({ consumers: some = [] }) => some);
    for (const { id } of consumers) this.keys.set(id, issueKey(environment, randomInt).key);
    return {
      version: 1,
      apis: products.flatMap(({ apis = [] }) => apis),
      tiers: products.flatMap(({ tiers = [] }) => tiers),
      consumers,
      keys: [...this.keys].map(([id, key]) => ({ id, consumer: id, sha256: digestHex(key) })),
    };
  }
}

/** An API, a tier with these limits and a consumer of that tier, each named `id`; the API's path is `/<id>`. */
export function product(id: string, limits: LimitInput[], api: object = {}): Product {
  return {
    apis: [{ id, hosts: ["*"], paths: [`/${id}`], upstream: { service: "echo.test", port: 80 }, ...api }],
    tiers: [{ id, limits }],
    consumers: [{ id, tier: id }],
  };
}

/** The limits that the suites use. */
export const quotaOfDay = (limit: number): LimitInput => ({ name: "day", kind: "quota", period: "day", limit });
export const rateOf = (limit: number, windowSeconds: number): LimitInput => ({
  name: "rate",
  kind: "rate",
  windowSeconds,
  limit,
});
