/** How a product's counter stands at control. */
import type { ControlProcess } from "../../kit/control.ts";
import { environment } from "../../kit/fixture.ts";

export interface QuotaState {
  /** charged in the current window */
  used: number;
  /** what was given and may be unspent, by the node of the gateway that has it */
  held: Record<string, number>;
  /** the part of what is charged that gateways may spend while control is away */
  shares: number;
  /** what usage says that was admitted cost */
  counted: number;
  /** charged, and neither held, nor in shares, nor counted by usage */
  difference: number;
}

interface Report {
  limits: {
    name: string;
    windows: {
      used: number;
      shares: number;
      counted: number;
      difference: number;
      holders: { gateway: string; held: number }[];
    }[];
  }[];
}

/** Of the limit of this name that counts the product's key; default: the only one. */
export async function quotaOf(control: ControlProcess, product: string, limit?: string): Promise<QuotaState> {
  const { limits } = await control.call<Report>("GET", `/v1/keys/${product}/quota?environment=${environment}`);
  const { holders, used, shares, counted, difference } = limits.find(
    ({ name }) => limit === undefined || name === limit,
  )!.windows[0]!;
  const held: Record<string, number> = {};
  for (const holder of holders) {
    const node = holder.gateway.split("~")[0]!;
    held[node] = (held[node] ?? 0) + holder.held;
  }
  return { used, held, shares, counted, difference };
}
