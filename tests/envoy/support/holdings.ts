/** What control's database says of a key's counter: how much of its windows is charged, and what lanes may still hold of it. */
import { join } from "node:path";
import Database from "libsql";
import { digestHex } from "../../../control/domain/keys.ts";
import type { ControlProcess } from "./control.ts";

export interface Counted {
  used: number;
  /** by what a gateway's name begins with, its node's id */
  held: Record<string, number>;
  /** the part of what is charged that lanes may spend while control is away */
  shares: number;
}

/** Of the limits that count a key. */
export function counted(control: ControlProcess, key: string): Counted {
  const subject = digestHex(key).slice(0, 32);
  const database = new Database(join(control.dataDir, "tollgate.db"), { readonly: true });
  try {
    const { used } = database.prepare("select coalesce(sum(used), 0) as used from counter_windows where subject = ?").get(subject) as { used: number };
    const rows = database.prepare("select gateway, amount from counter_holdings h join counter_lanes l on l.environment = h.environment and l.lane = h.lane where h.subject = ?").all(subject) as { gateway: string; amount: number }[];
    const held: Record<string, number> = {};
    for (const { gateway, amount } of rows) {
      const node = gateway.split("~")[0]!;
      held[node] = (held[node] ?? 0) + amount;
    }
    const { shares } = database.prepare("select coalesce(sum(amount), 0) as shares from counter_shares where subject = ?").get(subject) as { shares: number };
    return { used, held, shares };
  } finally {
    database.close();
  }
}
