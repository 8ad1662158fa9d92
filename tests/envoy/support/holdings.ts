/** What control's database says of a product's counter: how much of its window is charged, and what lanes may still hold of it. */
import { join } from "node:path";
import Database from "libsql";
import type { ControlProcess } from "./control.ts";

export interface Counted {
  used: number;
  /** by what a gateway's name begins with, its node's id */
  held: Record<string, number>;
}

/** Of the only counter that is in use. */
export function counted(control: ControlProcess): Counted {
  const database = new Database(join(control.dataDir, "tollgate.db"), { readonly: true });
  try {
    const { used } = database.prepare("select sum(used) as used from counter_windows").get() as { used: number };
    const rows = database.prepare("select gateway, amount from counter_holdings h join counter_lanes l on l.environment = h.environment and l.lane = h.lane").all() as { gateway: string; amount: number }[];
    const held: Record<string, number> = {};
    for (const { gateway, amount } of rows) {
      const node = gateway.split("~")[0]!;
      held[node] = (held[node] ?? 0) + amount;
    }
    return { used, held };
  } finally {
    database.close();
  }
}
