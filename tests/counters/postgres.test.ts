import { after, afterEach, describe } from "node:test";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import type { Store } from "../../control/store/store.ts";
import { startPostgres } from "../store/postgresServer.ts";
import { counterContract } from "./contract.ts";

const server = await startPostgres().catch((error: unknown) => String(error));
const opened: Store[] = [];

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
if (typeof server === "string") {
  describe("PostgreSQL", { skip: `it can't run here, so its counters are UNTESTED: ${server}` }, () => undefined);
} else {
  after(() => server.stop());
  counterContract("PostgreSQL", {
    async open(nowMs) {
      const url = await server.createDatabase();
      const again = async () => {
        const store = await openStore(url, () => undefined);
        opened.push(store);
        return new SqlCounterStore(store.dialect, { nowMs });
      };
      return { store: await again(), again };
    },
    shared: true,
  });
}
