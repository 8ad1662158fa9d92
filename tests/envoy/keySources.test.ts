/** Where keys come from, and that they are gone from there: upstream, in the access log, on refusals too. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, reasonOf, standalone, type Exchange } from "../kit/gateway.ts";
import { makeFixture, unknownKey, withWrongChecksum } from "../kit/fixture.ts";
import type { Http1Request, Pair } from "../kit/http1.ts";
import { everySetup } from "../kit/envoySetups.ts";

const { keys, spec } = makeFixture();
const percentEncoded = (text: string): string =>
  [...text].map((char) => `%${char.charCodeAt(0).toString(16)}`).join("");

/** Listeners, by their key sources. */
const defaults = 0;
const everywhere = 1;
const rawAuthorization = 2;
const bearerOnly = 3;
const sources: (Record<string, unknown> | undefined)[] = [
  undefined,
  { keySources: [{ header: "X-Other-Key" }, { bearer: true }, { query: "api_key" }, { cookie: "api-key" }] },
  { keySources: [{ header: "authorization" }] },
  { keySources: [{ bearer: true }] },
];

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: sources.map((more) => ({ configuration: standalone(spec, more), plugin: { hostEnvironment: [] } })),
      });
    });
    after(() => gateway?.stop());

    /** No key may be seen behind the filter, whatever became of the request. */
    const exchange = async (request: Http1Request, listener: number, secrets: string[]): Promise<Exchange> => {
      const done = await gateway.exchange({ path: "/orders/1", ...request }, listener);
      const behind = JSON.stringify([done.seen ?? null, done.log]);
      for (const secret of secrets) {
        for (const form of [secret, encodeURIComponent(secret), percentEncoded(secret)]) {
          assert.ok(!behind.includes(form), `a key is visible behind the filter: ${behind}`);
        }
      }
      return done;
    };

    const carriers: { name: string; listener: number; request: (key: string) => Http1Request }[] = [
      { name: "x-api-key by default", listener: defaults, request: (key) => ({ headers: [["x-api-key", key]] }) },
      { name: "x-api-key in any case", listener: defaults, request: (key) => ({ headers: [["X-API-Key", key]] }) },
      {
        name: "x-api-key between blanks",
        listener: defaults,
        request: (key) => ({ headers: [["x-api-key", `  ${key}\t `]] }),
      },
      {
        name: "Bearer by default",
        listener: defaults,
        request: (key) => ({ headers: [["Authorization", `Bearer ${key}`]] }),
      },
      {
        name: "bearer in any case, with more blanks",
        listener: bearerOnly,
        request: (key) => ({ headers: [["authorization", `bEARER   ${key}`]] }),
      },
      { name: "a header of any name", listener: everywhere, request: (key) => ({ headers: [["x-other-key", key]] }) },
      {
        name: "the raw Authorization header",
        listener: rawAuthorization,
        request: (key) => ({ headers: [["Authorization", key]] }),
      },
      { name: "a query parameter", listener: everywhere, request: (key) => ({ path: `/orders/1?api_key=${key}` }) },
      {
        name: "a percent-encoded query parameter",
        listener: everywhere,
        request: (key) => ({ path: `/orders/1?a=1&api%5Fkey=${percentEncoded(key)}&b=2` }),
      },
      {
        name: "a cookie",
        listener: everywhere,
        request: (key) => ({ headers: [["cookie", `a=1; api-key=${key}; b=2`]] }),
      },
      {
        name: "a quoted cookie",
        listener: everywhere,
        request: (key) => ({ headers: [["cookie", `api-key="${key}"`]] }),
      },
    ];

    for (const { name, listener, request } of carriers) {
      it(`takes a key from ${name}, and takes it away`, async () => {
        const { response, seen } = await exchange(request(keys.gold), listener, [keys.gold]);
        assert.equal(response.status, 200, response.body);
        assert.equal(seen!.headers["x-tollgate-key-id"], "key-gold");
      });

      it(`takes an imported key from ${name}`, async () => {
        const { seen } = await exchange(request(keys.legacy), listener, [keys.legacy]);
        assert.equal(seen?.headers["x-tollgate-key-id"], "key-legacy");
      });

      it(`hides a refused key of ${name} from the access log`, async () => {
        for (const [key, reason] of [
          [unknownKey(), "unknown_key"],
          [keys.revoked, "key_revoked"],
          [withWrongChecksum(keys.gold), "key_malformed"],
        ] as const) {
          const { response } = await exchange(request(key), listener, [key]);
          assert.equal(reasonOf(response), reason);
        }
      });
    }

    const strays: {
      name: string;
      request: (key: string) => Http1Request;
      left?: Record<string, string>;
      path?: string;
    }[] = [
      {
        name: "joined to another Authorization",
        request: (key) => ({
          headers: [
            ["authorization", "Basic YTpi"],
            ["authorization", `Bearer ${key}`],
          ],
        }),
      },
      {
        name: "after another scheme in one Authorization",
        request: (key) => ({ headers: [["authorization", `Basic YTpi, Bearer ${key}`]] }),
      },
      { name: "with the scheme token", request: (key) => ({ headers: [["authorization", `token ${key}`]] }) },
      { name: "bare in Authorization", request: (key) => ({ headers: [["authorization", key]] }) },
      {
        name: "as a parameter of Authorization",
        request: (key) => ({ headers: [["authorization", `ApiKey key="${key}"`]] }),
      },
      { name: "in Proxy-Authorization", request: (key) => ({ headers: [["proxy-authorization", `Bearer ${key}`]] }) },
      { name: "in Referer", request: (key) => ({ headers: [["referer", `https://app.example.com/?api_key=${key}`]] }) },
      {
        name: "after a semicolon in the query",
        request: (key) => ({ path: `/orders/1?x=1;api_key=${key}&y=2` }),
        path: "/orders/1?x=1&y=2",
      },
      {
        name: "in a parameter of another case",
        request: (key) => ({ path: `/orders/1?API_KEY=${key}&y=2` }),
        path: "/orders/1?y=2",
      },
      {
        name: "in a parameter of another name",
        request: (key) => ({ path: `/orders/1?a=1&token=x${key}x` }),
        path: "/orders/1?a=1",
      },
      { name: "as a parameter's name", request: (key) => ({ path: `/orders/1?${key}` }), path: "/orders/1" },
      {
        name: "encoded in a parameter of another name",
        request: (key) => ({ path: `/orders/1?y=2&q=${percentEncoded(`a&b=${key}`)}` }),
        path: "/orders/1?y=2",
      },
      {
        name: "partly encoded",
        request: (key) => ({ path: `/orders/1?y=2&q=${key.replace("tg_", "t%67%5F")}` }),
        path: "/orders/1?y=2",
      },
      {
        name: "in a cookie of another case",
        request: (key) => ({ headers: [["cookie", `a=1; API-KEY="${key}"; b=2`]] }),
        left: { cookie: "a=1; b=2" },
      },
      {
        name: "encoded in a cookie of another name",
        request: (key) => ({ headers: [["cookie", `session=${percentEncoded(`{"k":"${key}"}`)}; b=2`]] }),
        left: { cookie: "b=2" },
      },
      {
        name: "among others in a source's header",
        request: (key) => ({ headers: [["x-other-key", `other, ${key}`]] }),
      },
    ];
    for (const { name, request, left, path } of strays) {
      it(`hides a key ${name} from the upstream and from the access log, whatever decides`, async () => {
        const { response } = await exchange(request(keys.silver), everywhere, [keys.silver]);
        assert.equal(response.status, 401, response.body);
        const wrong = withWrongChecksum(keys.silver);
        for (const secret of [keys.silver, wrong]) {
          const sent = request(secret);
          const keyless = await exchange(
            { ...sent, path: sent.path?.replace("/orders/", "/public/") ?? "/public/1" },
            everywhere,
            [secret],
          );
          assert.equal(keyless.response.status, 200, keyless.response.body);
          if (path !== undefined) assert.equal(keyless.seen!.path, path.replace("/orders/", "/public/"));
          for (const [header, value] of Object.entries(left ?? {})) assert.equal(keyless.seen!.headers[header], value);
        }
        if (name.includes("source's header")) return;
        const admitted = request(keys.silver);
        const { seen } = await exchange(
          { ...admitted, headers: [...(admitted.headers ?? []), ["x-other-key", keys.gold]] },
          everywhere,
          [keys.gold, keys.silver],
        );
        assert.equal(seen?.headers["x-tollgate-key-id"], "key-gold");
        if (path !== undefined) assert.equal(seen!.path, path);
        for (const [header, value] of Object.entries(left ?? {})) assert.equal(seen!.headers[header], value);
      });
    }

    it("leaves what only resembles a key", async () => {
      const almost = [
        "tg_",
        keys.silver.slice(0, -1),
        keys.silver.replace("tg_", "TG_"),
        keys.silver.replace("tg_", "tga_"),
        "dGdfdGVzdA==",
        "a_b_c%5Fd%74g_",
      ];
      for (const text of almost) {
        const { seen } = await gateway.exchange(
          {
            path: `/public/1?q=${text}`,
            headers: [
              ["cookie", `q=${text}`],
              ["authorization", `Other ${text}`],
              ["referer", text],
            ],
          },
          everywhere,
        );
        assert.equal(seen!.path, `/public/1?q=${text}`);
        assert.deepEqual(
          [seen!.headers["cookie"], seen!.headers["authorization"], seen!.headers["referer"]],
          [`q=${text}`, `Other ${text}`, text],
        );
      }
    });

    it("leaves the rest of the query and of the cookies as it was", async () => {
      const query = await exchange({ path: `/orders/1?a=%20x&api_key=${keys.gold}&b=2&b=3` }, everywhere, [keys.gold]);
      assert.equal(query.seen!.path, "/orders/1?a=%20x&b=2&b=3");
      const only = await exchange({ path: `/orders/1?api_key=${keys.gold}` }, everywhere, [keys.gold]);
      assert.match(only.seen!.path, /^\/orders\/1\??$/);
      const cookies = await exchange(
        { headers: [["cookie", `theme=dark; api-key=${keys.gold}; lang=de`]] },
        everywhere,
        [keys.gold],
      );
      assert.equal(cookies.seen!.headers.cookie, "theme=dark; lang=de");
    });

    it("takes the first source that carries a key, in the configured order, and strips the others", async () => {
      const { response, seen } = await exchange(
        {
          path: `/orders/1?api_key=${keys.silver}`,
          headers: [
            ["cookie", `api-key=${keys.silver}`],
            ["x-other-key", keys.gold],
          ],
        },
        everywhere,
        [keys.gold, keys.silver],
      );
      assert.equal(response.status, 200);
      assert.equal(seen!.headers["x-tollgate-key-id"], "key-gold");
      // The first decides, even when a later one would do.
      const refused = await exchange(
        { path: `/orders/1?api_key=${keys.gold}`, headers: [["x-other-key", keys.revoked]] },
        everywhere,
        [keys.gold, keys.revoked],
      );
      assert.equal(reasonOf(refused.response), "key_revoked");
    });

    it("refuses a source that carries two keys", async () => {
      const twice: Http1Request[] = [
        {
          headers: [
            ["x-other-key", keys.gold],
            ["X-Other-Key", keys.silver],
          ],
        },
        { path: `/orders/1?api_key=${keys.gold}&api_key=${keys.silver}` },
        { headers: [["cookie", `api-key=${keys.gold}; api-key=${keys.silver}`]] },
        {
          headers: [
            ["cookie", `api-key=${keys.gold}`],
            ["cookie", `api-key=${keys.silver}`],
          ],
        },
      ];
      for (const request of twice) {
        const { response } = await exchange(request, everywhere, [keys.gold, keys.silver]);
        assert.equal(reasonOf(response), "multiple_keys", JSON.stringify(request));
      }
    });

    it("refuses a repeated Authorization, which Envoy joins to one value before the filter sees it", async () => {
      const { response } = await exchange(
        {
          headers: [
            ["authorization", `Bearer ${keys.gold}`],
            ["authorization", `Bearer ${keys.silver}`],
          ],
        },
        everywhere,
        [keys.gold, keys.silver],
      );
      assert.equal(response.status, 401);
    });

    it("refuses a key over 256 bytes from every source", async () => {
      const long = "k".repeat(257);
      const requests: Http1Request[] = [
        { headers: [["x-other-key", long]] },
        { headers: [["authorization", `Bearer ${long}`]] },
        { path: `/orders/1?api_key=${long}` },
        { headers: [["cookie", `api-key=${long}`]] },
      ];
      for (const request of requests) {
        const { response } = await exchange(request, everywhere, [long]);
        assert.equal(reasonOf(response), "key_too_long", JSON.stringify(request).slice(0, 60));
      }
      const most = await exchange({ headers: [["x-other-key", "k".repeat(256)]] }, everywhere, ["k".repeat(256)]);
      assert.equal(reasonOf(most.response), "unknown_key");
    });

    it("finds no key where none is configured", async () => {
      const elsewhere: [number, Http1Request][] = [
        [defaults, { path: `/orders/1?api_key=${keys.gold}` }],
        [defaults, { headers: [["cookie", `api-key=${keys.gold}`]] }],
        [defaults, { headers: [["authorization", `Basic ${keys.gold}`]] }],
        [defaults, { headers: [["authorization", "Bearer "]] }],
        [bearerOnly, { headers: [["x-api-key", keys.gold]] }],
        [rawAuthorization, { headers: [["x-api-key", keys.gold]] }],
        [everywhere, { path: "/orders/1?api_key=" }],
      ];
      for (const [listener, request] of elsewhere) {
        assert.equal(
          reasonOf(await gateway.send({ path: "/orders/1", ...request }, listener)),
          "key_missing",
          JSON.stringify(request),
        );
      }
    });

    it("hides keys on keyless and unknown APIs too", async () => {
      const places: Pair[] = [
        ["x-other-key", keys.gold],
        ["authorization", `Bearer ${keys.gold}`],
        ["cookie", `api-key=${keys.gold}`],
      ];
      const keyless = await exchange({ path: `/public?api_key=${keys.gold}`, headers: places }, everywhere, [
        keys.gold,
      ]);
      assert.equal(keyless.response.status, 200);
      const nowhere = await exchange({ path: `/nowhere?api_key=${keys.gold}`, headers: places }, everywhere, [
        keys.gold,
      ]);
      assert.equal(reasonOf(nowhere.response), "unknown_api");
    });

    it("leaves a token of another kind to a keyless API", async () => {
      const { seen } = await exchange(
        { path: "/public", headers: [["authorization", "Bearer eyJhbGciOiJub25lIn0.e30."]] },
        defaults,
        [],
      );
      assert.equal(seen!.headers.authorization, "Bearer eyJhbGciOiJub25lIn0.e30.");
    });

    it("writes no key to Envoy's log", () => {
      const log = gateway.envoy.log();
      for (const key of Object.values(keys)) assert.ok(!log.includes(key));
    });
  });
}
