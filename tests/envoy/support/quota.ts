/** How a product's counter stands at control. */
import type { ControlProcess } from "./control.ts";
import { environment } from "./fixture.ts";

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
  limits: { windows: { used: number; shares: number; counted: number; difference: number; holders: { gateway: string; held: number }[] }[] }[];
}

/** Of the only limit that counts the product's key. */
export async function quotaOf(control: ControlProcess, product: string): Promise<QuotaState> {
  const { limits } = await control.call<Report>("GET", `/v1/keys/${product}/quota?environment=${environment}`);
  const { holders, used, shares, counted, difference } = limits[0]!.windows[0]!;
  const held: Record<string, number> = {};
  for (const holder of holders) {
    const node = holder.gateway.split("~")[0]!;
    held[node] = (held[node] ?? 0) + holder.held;
  }
  return { used, held, shares, counted, difference };
}
