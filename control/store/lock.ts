import type { Selectable, Transaction } from "kysely";
import type { EnvironmentsTable, Tables } from "./tables.ts";

/** Takes the environment's row for this transaction: whoever else changes it waits, so versions are committed in order. */
export async function lockEnvironment(
  trx: Transaction<Tables>,
  id: string,
): Promise<Selectable<EnvironmentsTable> | undefined> {
  return trx
    .updateTable("environments")
    .set((eb) => ({ version: eb.ref("version") }))
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirst();
}
