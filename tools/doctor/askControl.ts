/** What control tells of itself and of its gateways. Only reading calls are made. */
import { AdminClient, ApiError } from "../client/adminClient.ts";
import { ask, whyNot } from "./ask.ts";
import type { ControlEnvironment, ControlEvidence, Json, Unreached } from "./evidence.ts";
import { object, text } from "./json.ts";
import { listAll } from "../client/listAll.ts";

const timeoutMs = 10_000;

export async function askControl(
  url: string,
  token: string | undefined,
  environments: readonly string[],
): Promise<ControlEvidence | Unreached> {
  const base = url.replace(/\/+$/, "");
  try {
    const health = await ask(`${base}/healthz`);
    if (health.answer.status !== 200 || !health.answer.body.includes('"status"'))
      return {
        url,
        unreached: `it answered ${health.answer.status} at /healthz, and not as Tollgate's admin API does`,
      };
    const ready = await ask(`${base}/readyz`);
    const evidence: ControlEvidence = {
      url,
      clock: health.clock,
      healthy: true,
      ready: ready.answer.status === 200 ? true : detailOf(ready.answer.body),
      admin: token === undefined ? "none" : "accepted",
      environments: {},
    };
    const problems = await syncProblems(base);
    if (problems !== undefined) evidence.syncProblems = problems;
    if (token === undefined) return evidence;
    const client = new AdminClient({ url, token, timeoutMs });
    try {
      for (const environment of environments)
        evidence.environments[environment] = await askEnvironment(client, environment);
      if (environments.length === 0) await client.call("GET", "/v1/environments");
    } catch (error) {
      if (error instanceof ApiError && error.status === 401) evidence.admin = "refused";
      else if (evidence.ready === true) throw error;
    }
    return evidence;
  } catch (error) {
    return { url, unreached: whyNot(error) };
  }
}

async function askEnvironment(client: AdminClient, environment: string): Promise<ControlEnvironment> {
  const query = { environment };
  try {
    const { version, items: gateways } = await client.call<{ version: number; items: ControlEnvironment["gateways"] }>(
      "GET",
      "/v1/gateways",
      { query },
    );
    const { items: tokens } = await client.call<{ items: ControlEnvironment["gatewayTokens"] }>(
      "GET",
      "/v1/gateway-tokens",
      { query },
    );
    const { items: apis } = await listAll<{ id: string; auth: { mode: string } }>(client, "/v1/apis", query, 0);
    return {
      version,
      gateways,
      gatewayTokens: tokens.map(({ id, name, group, apis: some, expiresAt }) => ({
        id,
        name,
        group,
        apis: some,
        expiresAt,
      })),
      apis: apis.map(({ id, auth }) => ({ id, mode: auth.mode })),
    };
  } catch (error) {
    if (error instanceof ApiError && error.status === 404)
      return { missing: true, version: 0, gateways: [], gatewayTokens: [], apis: [] };
    throw error;
  }
}

function detailOf(body: string): string {
  try {
    const problem = object(JSON.parse(body) as Json);
    return text(problem["detail"]) || text(problem["title"]) || body.slice(0, 200);
  } catch {
    return body.slice(0, 200);
  }
}

async function syncProblems(base: string): Promise<Record<string, number> | undefined> {
  const { answer } = await ask(`${base}/metrics`);
  if (answer.status !== 200) return undefined;
  const found: Record<string, number> = {};
  for (const [, code, value] of answer.body.matchAll(/^tollgate_sync_problems_total\{code="([a-z_]+)"\} (\d+)/gm))
    found[code!] = Number(value);
  return found;
}
