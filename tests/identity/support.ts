/** An environment that issues internal tokens, over a temporary SQLite file, and calls for them. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import type { JSONWebKeySet } from "jose";
import type { Api, Consumer, InternalToken, Key, Tier } from "../../control/domain/model.ts";
import { Issuer } from "../../control/internalTokens/issuer.ts";
import { openStore } from "../../control/store/open.ts";
import type { RecordWriter, Store } from "../../control/store/store.ts";
import { epochText } from "../../control/sync/frames.ts";
import { decodeFrames } from "../../control/sync/reader.ts";
import { tokensFrame } from "../../control/sync/tokenFrames.ts";
import type { WireTokenAnswer, WireTokenAsk } from "../../control/sync/tokenPayload.ts";
import { CONTENT_TYPE } from "../../control/sync/wire.ts";
import { startSync } from "../control-sync/support.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";

export interface Cleanup {
  after(fn: () => unknown): void;
}

export const context = { actor: "test", requestId: "", nowMs: Date.now() };
const digest = (text: string): string => createHash("sha256").update(text).digest("hex");
export const settings: InternalToken = {
  enabled: true,
  issuer: "https://tollgate.example.com",
  audiences: ["mesh"],
  lifetimeSeconds: 300,
};
const consumer = (id: string, more: Partial<Consumer> = {}): Consumer => ({
  id,
  claims: {},
  suspended: false,
  ...more,
});
export const key = (id: string, of: string, more: Partial<Key> = {}): Key => ({
  id,
  consumer: of,
  sha256: digest(id),
  state: "active",
  allowedCidrs: [],
  limits: [],
  ...more,
});
const tier = (id: string, more: Partial<Tier> = {}): Tier => ({ id, scopes: ["read"], limits: [], ...more });
const api: Api = {
  id: "echo",
  hosts: ["*"],
  paths: ["/"],
  methods: [],
  upstream: { service: "up.demo", port: 8080 },
  auth: { mode: "key" },
  scopes: [],
  failureMode: "closed",
  rateLimitHeaders: true,
  legacyHeaders: "off",
  routes: [],
  limits: [],
};

export const askOf = (id: string, more: Partial<WireTokenAsk> = {}): WireTokenAsk => ({
  id: digest(id).slice(0, 32),
  kind: "key",
  consumer: 0,
  tier: 0,
  ...more,
});

export interface Environment {
  store: Store;
  change(edit: (writer: RecordWriter) => Promise<unknown>): Promise<void>;
  replica(issuer?: Issuer): Promise<Replica>;
}

/** One control process as gateways and services see it. */
interface Replica {
  url: string;
  ask(asks: WireTokenAsk[]): Promise<WireTokenAnswer[]>;
  post(asks: WireTokenAsk[], epoch?: bigint): Promise<{ status: number; body: Buffer }>;
  jwks(): Promise<JSONWebKeySet>;
}

/** Consumers acme (bronze, claim org) and initech (suspended), and keys k1, k2 (narrowed, gold), k3 (revoked), k4 (over), k5 (initech's). */
export async function startEnvironment(
  t: Cleanup,
  internalToken: InternalToken | undefined = settings,
): Promise<Environment> {
  const folder = makeFolder("identity");
  const store = await openStore(`file:${join(folder, "tollgate.db")}`, () => undefined);
  t.after(async () => {
    await store.close();
    removeFolder(folder);
  });
  await store.createEnvironment("default", context);
  await store.addGatewayToken(
    {
      id: "t",
      name: "t",
      digest: digest("token"),
      environment: "default",
      group: "edge",
      apis: null,
      expiresAtMs: null,
    },
    2,
    context,
  );
  const change = async (edit: (writer: RecordWriter) => Promise<unknown>): Promise<void> =>
    void (await store.change("default", context, edit));
  await change(async (writer) => {
    if (internalToken !== undefined) await writer.putInternalToken(internalToken);
    await writer.put("api", api);
    await writer.put("tier", tier("bronze", { scopes: ["read", "orders"] }));
    await writer.put("tier", tier("gold", { scopes: ["*"] }));
    await writer.put("consumer", consumer("acme", { tier: "bronze", claims: { org: "acme", region: "eu" } }));
    await writer.put("consumer", consumer("initech", { tier: "bronze", suspended: true }));
    await writer.put("key", key("k1", "acme"));
    await writer.put(
      "key",
      key("k2", "acme", { tier: "gold", scopes: ["read", "admin"], expiresAt: "2100-01-01T00:00:00Z" }),
    );
    await writer.put("key", key("k3", "acme", { state: "revoked" }));
    await writer.put("key", key("k4", "acme", { expiresAt: "2020-01-01T00:00:00Z" }));
    await writer.put("key", key("k5", "initech"));
  });
  const replica = async (issuer = new Issuer(store)): Promise<Replica> => {
    const { url, server } = await startSync(t, store, { issuer });
    await server.warm(["default"]);
    let seq = 0n;
    const post: Replica["post"] = async (asks, epoch) => {
      const known = epoch ?? (await store.environment("default"))!.epoch;
      const query = new URLSearchParams({ environment: "default", gateway: "node~1", epoch: epochText(known) });
      const body = new Uint8Array(tokensFrame({ epoch: known, seq: ++seq, lane: 7n, asks }));
      const response = await fetch(`${url}/sync/v1/tokens?${query}`, {
        method: "POST",
        headers: { authorization: "Bearer token", "content-type": CONTENT_TYPE },
        body,
      });
      return { status: response.status, body: Buffer.from(await response.arrayBuffer()) };
    };
    const ask: Replica["ask"] = async (asks) => {
      const { status, body } = await post(asks);
      assert.equal(status, 200, body.toString());
      const decoded = decodeFrames(body);
      assert.ok(decoded.ok);
      const [frame] = decoded.frames;
      assert.ok(frame?.type === "tokensAnswer" && frame.version === seq && frame.lane === 7n);
      return frame.answers;
    };
    const jwks = async (): Promise<JSONWebKeySet> => {
      const response = await fetch(`${url}/.well-known/tollgate/default/jwks.json`);
      assert.equal(response.status, 200);
      return (await response.json()) as JSONWebKeySet;
    };
    return { url, ask, post, jwks };
  };
  return { store, change, replica };
}
