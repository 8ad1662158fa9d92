import { join } from "node:path";
import { temporaryFolder } from "../kit/folders.ts";
import { usageContract } from "./contract.ts";

const root = temporaryFolder("usage");
let files = 0;

usageContract("SQLite", { url: async () => `file:${join(root, `${++files}`, "tollgate.db")}` }, { replicas: false });
