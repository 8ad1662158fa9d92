/** The admin API over a temporary SQLite file, called without a socket. */
import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { join } from "node:path";
import { Writable } from "node:stream";
import type { TestContext } from "node:test";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import { Registry } from "prom-client";
import { SqlCounterStore } from "../../control/counters/sql.ts";
import { digestHex } from "../../control/domain/keys.ts";
import type { Services } from "../../control/http/context.ts";
import { createAdminServer } from "../../control/http/server.ts";
import type { App } from "../../control/http/typeProvider.ts";
import { createLogger } from "../../control/logging.ts";
import { openStore } from "../../control/store/open.ts";
import { QuotaSource } from "../../control/quota/facts.ts";
import type { Store } from "../../control/store/store.ts";
import { SqlUsage } from "../../control/usage/usage.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { answerCheck } from "./answers.ts";

export const adminToken = "test-admin-token-0123456789";

export interface Harness {
  app: App;
  store: Store;
  services: Services;
  /** the clock that control sees */
  clock: { nowMs: number };
  /** everything logged so far */
  logs: () => string;
  call(method: string, url: string, body?: unknown, headers?: Record<string, string>): Promise<LightMyRequestResponse>;
}

/** Builds the API; it is taken down after the test. */
export async function startApi(t: TestContext): Promise<Harness> {
  const folder = temporaryFolder();
  const store = await openStore(`file:${join(folder, "tollgate.db")}`, () => undefined);
  const clock = { nowMs: Date.UTC(2026, 0, 1) };
  await store.createEnvironment("default", { actor: "test", requestId: "", nowMs: clock.nowMs });
  const { logger, logs } = capturedLogger();
  const nowMs = () => clock.nowMs;
  const counters = new SqlCounterStore(store.dialect, { nowMs });
  const usage = new SqlUsage(store.dialect, { nowMs });
  const services: Services = {
    store,
    counters,
    usage,
    quotas: new QuotaSource(store.dialect),
    nowMs,
    random: randomInt,
    registry: new Registry(),
    feedReady: () => true,
    fixedAdminDigest: digestHex(adminToken),
  };
  const app = await createAdminServer(services, logger);
  t.after(async () => {
    await app.close();
    await usage.close();
    await store.close();
  });
  await app.ready();
  const check = answerCheck(app.swagger());
  const call: Harness["call"] = async (method, url, body, headers = {}) => {
    const options: InjectOptions = {
      method: method as "GET",
      url,
      headers: { authorization: `Bearer ${adminToken}`, ...headers },
    };
    if (body !== undefined) options.payload = body as NonNullable<InjectOptions["payload"]>;
    const response = await app.inject(options);
    check(method, url, response);
    return response;
  };
  return { app, store, services, clock, logs, call };
}

export function capturedLogger(): { logger: ReturnType<typeof createLogger>; logs: () => string } {
  let text = "";
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      text += chunk.toString();
      done();
    },
  });
  return { logger: createLogger("trace", sink), logs: () => text };
}

export const api = (id: string, more: object = {}) => ({
  id,
  hosts: ["*"],
  paths: [`/${id}`],
  upstream: { service: "up.demo", port: 8080 },
  ...more,
});
export const yaml = { "content-type": "application/yaml" };
export const ndjson = { "content-type": "application/x-ndjson" };

/** Asserts an answer's status, and for an error its code; gives the body. */
export function expect<T = Record<string, unknown>>(
  response: LightMyRequestResponse,
  status: number,
  code?: string,
): T {
  assert.equal(response.statusCode, status, response.body.slice(0, 500));
  if (code !== undefined) {
    assert.match(String(response.headers["content-type"]), /^application\/problem\+json/);
    assert.equal(response.json<{ code: string }>().code, code);
  }
  return (response.body === "" ? undefined : response.json()) as T;
}

/** A tier `bronze` and a consumer `acme` on it. */
export async function seed({ call }: Harness): Promise<void> {
  await call("POST", "/v1/tiers", { id: "bronze", scopes: ["read"] });
  await call("POST", "/v1/consumers", { id: "acme", tier: "bronze", claims: { org: "acme" } });
}
