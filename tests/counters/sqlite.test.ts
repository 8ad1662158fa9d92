import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach } from "node:test";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { openStore } from "../../control/store/open.ts";
import type { Store } from "../../control/store/store.ts";
import { counterContract } from "./contract.ts";

const root = mkdtempSync(join(tmpdir(), "tollgate-counters-"));
const opened: Store[] = [];
let files = 0;

afterEach(async () => {
  for (const store of opened.splice(0)) await store.close();
});
after(() => rmSync(root, { recursive: true, force: true }));

counterContract("SQLite", {
  async open(nowMs) {
    const store = await openStore(`file:${join(root, `${++files}`, "tollgate.db")}`, (error) => assert.fail(error));
    opened.push(store);
    // One process has the file, over one connection that writes.
    const again = async () => new SqlCounterStore(store.dialect, { nowMs });
    return { store: await again(), again };
  },
  shared: true,
});
