import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { usageContract } from "./contract.ts";

const root = mkdtempSync(join(tmpdir(), "tollgate-usage-"));
let files = 0;

after(() => rmSync(root, { recursive: true, force: true }));
usageContract("SQLite", { url: async () => `file:${join(root, `${++files}`, "tollgate.db")}` }, { replicas: false });
