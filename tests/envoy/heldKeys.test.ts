/** Requests that wait: a client that leaves is logged without its key, one that stays is decided by what it sent, and the rest of it reaches the upstream. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Gateway, reasonOf } from "../kit/gateway.ts";
import { ControlProcess } from "../kit/control.ts";
import { environment, host, makeFixture } from "../kit/fixture.ts";
import { Connection, type Http1Request, type Pair } from "../kit/http1.ts";
import { quotaOfDay } from "./support/fleet.ts";
import { startLink, type Fate, type Link } from "./support/link.ts";
import { newest, oldest } from "../kit/envoySetups.ts";
import { eventually } from "../kit/eventually.ts";

const issuer = "https://tollgate.example.com";
const keySources = [{ header: "x-api-key" }, { bearer: true }, { query: "api_key" }, { cookie: "api_key" }];
const held = {
  control: { cluster: "control", authority: "control.test", timeoutMs: 60_000, waitMs: 5000 },
  snapshotWaitTimeoutMs: 60_000,
  limitWaitTimeoutMs: 10_000,
};

const plain = 0;
const withToken = 1;

/** A key in each place, with what else stands there. */
const carriers: {
  name: string;
  request: (key: string, path: string) => Http1Request;
  rest: { path?: string; cookie?: string };
}[] = [
  {
    name: "header",
    request: (key, path) => ({ path: `${path}?a=1`, headers: [["x-api-key", key]] }),
    rest: { path: "?a=1" },
  },
  { name: "bearer", request: (key, path) => ({ path, headers: [["authorization", `Bearer ${key}`]] }), rest: {} },
  {
    name: "query",
    request: (key, path) => ({ path: `${path}?a=1&api_key=${key}&b=%20` }),
    rest: { path: "?a=1&b=%20" },
  },
  {
    name: "cookie",
    request: (key, path) => ({
      path,
      headers: [
        ["cookie", `theme=dark; api_key=${key}`],
        ["cookie", "lang=de"],
      ],
    }),
    rest: { cookie: "theme=dark; lang=de" },
  },
  {
    name: "every source at once",
    request: (key, path) => ({
      path: `${path}?api_key=${key}`,
      headers: [
        ["x-api-key", key],
        ["authorization", `Bearer ${key}`],
        ["cookie", `api_key=${key}`],
      ],
    }),
    rest: {},
  },
  {
    name: "a place that is no source",
    request: (key, path) => ({
      path: `${path}?b=2;KEY=${key}`,
      headers: [
        ["x-api-key", key],
        ["proxy-authorization", `Basic ${key}`],
        ["referer", `https://a.example/?k=${key}`],
      ],
    }),
    rest: { path: "?b=2" },
  },
];

for (const setup of [oldest, newest]) {
  describe(`keys of waiting requests, ${setup.name}`, () => {
    const { file, keys } = makeFixture();
    let control: ControlProcess;
    let link: Link;
    let gateway: Gateway;
    /** which calls of control wait until others may */
    let stopped: (path: string) => boolean = () => true;
    const letPass = (): void => {
      stopped = () => false;
    };
    before(async () => {
      control = await ControlProcess.start();
      const apis = file
        .apis!.filter(({ id }) => id !== "jwt")
        .map((api) => (api.id === "orders" ? { ...api, limits: [quotaOfDay(1000)] } : api));
      const gatewayToken = await control.createEnvironment(environment, {
        ...file,
        apis,
        internalToken: { issuer, audiences: ["mesh"], lifetimeSeconds: 60 },
      });
      link = await startLink(control.syncPort);
      link.fate = async (path): Promise<Fate> => {
        await eventually("calls to pass", () => !stopped(path), 60_000);
        return "delivered";
      };
      gateway = await Gateway.start({
        setup,
        syncPort: link.port,
        gatewayToken,
        listeners: [
          { configuration: { environment, keySources, ...held } },
          { configuration: { environment, keySources, ...held, claims: { token: "x-tollgate-token" } } },
        ],
      });
    });
    after(async () => {
      await gateway?.stop();
      await link?.close();
      await control?.remove();
    });

    const assertHidden = (text: unknown, key: string): void =>
      assert.ok(
        !JSON.stringify(text ?? null).includes(key.slice(3)),
        `a key is visible behind the filter: ${JSON.stringify(text)}`,
      );

    /** Sends requests that wait, and leaves; then none of them is logged with its key. */
    async function leave(listener: number, key: string, path: string): Promise<void> {
      for (const { name, request } of carriers) {
        const id = randomUUID();
        const before = await gateway.metric("held");
        const connection = await Connection.open(gateway.port(listener));
        const sent = request(key, path);
        const answer = connection
          .send({ ...sent, headers: [["host", host], ...(sent.headers ?? []), ["x-test-case", id]] })
          .catch(() => undefined);
        await eventually(
          `the request with its key in ${name} to wait`,
          async () => (await gateway.metric("held")) > before,
        );
        connection.close();
        await answer;
        const log = await gateway.logOf(id);
        assert.equal(log["status"], 0, JSON.stringify(log));
        assertHidden(log, key);
      }
    }

    /** Sends requests that wait, lets control answer, and compares what the upstream got. */
    async function stay(listener: number, key: string, path: string, keyId: string): Promise<void> {
      const waiting = [];
      const before = await gateway.metric("held");
      for (const { request } of carriers) {
        const sent = request(key, path);
        waiting.push(gateway.exchange({ ...sent, headers: [["host", host], ...(sent.headers ?? [])] }, listener));
      }
      await eventually("all to wait", async () => (await gateway.metric("held")) >= before + carriers.length);
      letPass();
      for (const [i, { response, seen, log }] of (await Promise.all(waiting)).entries()) {
        const { name, rest } = carriers[i]!;
        assert.equal(response.status, 200, `${name}: ${response.body}`);
        assert.equal(seen!.headers["x-tollgate-key-id"], keyId, name);
        assert.equal(seen!.path, path + (rest.path ?? ""), name);
        assert.equal([seen!.headers["cookie"] ?? []].flat().join("; "), rest.cookie ?? "", name);
        assertHidden([seen, log], key);
      }
    }

    it("for the first snapshot", async () => {
      stopped = () => true;
      await leave(plain, keys.gold, "/orders/1");
      // What isn't a key is the upstream's, also on an API that asks for none: it's there when the request goes on.
      const before = await gateway.metric("held");
      const own: Pair[] = [
        ["host", host],
        ["x-api-key", "of the upstream"],
        ["x-api-key", "again"],
        ["authorization", "Bearer of.the.upstream"],
        ["cookie", "a=b; api_key=c"],
      ];
      const keyless = gateway.exchange({ path: "/public/x?api_key=upstream&b=1", headers: own });
      const wrong = gateway.exchange({
        path: "/partner",
        headers: [
          ["host", host],
          ["x-api-key", keys.silver],
          ["x-api-key", keys.gold],
        ],
      });
      await eventually("both to wait", async () => (await gateway.metric("held")) >= before + 2);
      stopped = (path) => !/watch|pages/.test(path);
      const { seen } = await keyless;
      assert.equal(seen!.path, "/public/x?api_key=upstream&b=1");
      assert.deepEqual(
        [seen!.headers["authorization"], seen!.headers["cookie"]],
        ["Bearer of.the.upstream", "a=b; api_key=c"],
      );
      const refused = await wrong;
      assert.equal(reasonOf(refused.response), "multiple_keys");
      assertHidden(refused.log, keys.gold);
    });

    it("for allowance", async () => {
      stopped = (path) => path.includes("/leases");
      await leave(plain, keys.gold, "/orders/1");
      await stay(plain, keys.gold, "/orders/1", "key-gold");
    });

    it("for the internal token", async () => {
      stopped = (path) => path.includes("/tokens");
      await leave(withToken, keys.reader, "/partner");
      await stay(withToken, keys.reader, "/partner", "key-reader");
    });
  });
}
