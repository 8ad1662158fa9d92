import { after, describe } from "node:test";
import { startPostgres } from "../kit/postgres.ts";
import { usageContract } from "./contract.ts";

const server = await startPostgres().catch((error: unknown) => String(error));

if (typeof server === "string") {
  describe("PostgreSQL", { skip: `it can't run here, so its usage is UNTESTED: ${server}` }, () => undefined);
} else {
  after(() => server.stop());
  usageContract("PostgreSQL", { url: () => server.createDatabase() }, { replicas: true });
}
