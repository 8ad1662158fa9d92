/** CORS, HEAD, gRPC, WebSocket: what a refusal and an admission look like to each kind of client. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, reasonOf, standalone } from "../kit/gateway.ts";
import { makeFixture, unknownKey } from "../kit/fixture.ts";
import { Connection, type Pair } from "../kit/http1.ts";
import { sendHttp2, startHttp2Upstream, type Http2Upstream } from "../kit/http2.ts";
import { everySetup } from "../kit/envoySetups.ts";

const { keys, spec } = makeFixture();
const page: Pair = ["Origin", "https://app.example.com"];

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    let http2Gateway: Gateway;
    let http2Upstream: Http2Upstream;
    before(async () => {
      http2Upstream = await startHttp2Upstream();
      const listeners = [{ configuration: standalone(spec), plugin: { hostEnvironment: [] } }];
      gateway = await Gateway.start({ setup, listeners });
      http2Gateway = await Gateway.start({ setup, listeners, http2UpstreamPort: http2Upstream.port });
    });
    after(async () => {
      await gateway?.stop();
      await http2Gateway?.stop();
      await http2Upstream?.close();
    });

    it("passes a preflight that the API allows, without a key", async () => {
      const before = await gateway.metric("preflight");
      const { response, seen } = await gateway.exchange({
        path: "/orders/1",
        method: "OPTIONS",
        headers: [page, ["Access-Control-Request-Method", "POST"]],
      });
      assert.equal(response.status, 200);
      assert.equal(seen!.method, "OPTIONS");
      await gateway.metricReaches("preflight", before + 1);
    });

    it("refuses what is not quite a preflight", async () => {
      const almost: Pair[][] = [
        [page],
        [["Access-Control-Request-Method", "POST"]],
        [
          ["Origin", "https://evil.example"],
          ["Access-Control-Request-Method", "POST"],
        ],
        [
          ["Origin", "https://app.example.com.evil.example"],
          ["Access-Control-Request-Method", "POST"],
        ],
        [page, ["Access-Control-Request-Method", "DELETE"]],
      ];
      for (const headers of almost) {
        assert.equal(
          reasonOf(await gateway.send({ path: "/orders/1", method: "OPTIONS", headers })),
          "key_missing",
          JSON.stringify(headers),
        );
      }
      const elsewhere = {
        path: "/partner",
        method: "OPTIONS",
        headers: [page, ["Access-Control-Request-Method", "POST"] as Pair],
      };
      assert.equal(reasonOf(await gateway.send(elsewhere)), "key_missing");
    });

    it("lets an allowed page read a refusal", async () => {
      const { response } = await gateway.exchange({ path: "/orders/1", headers: [page] });
      assert.equal(reasonOf(response), "key_missing");
      assert.equal(response.header("access-control-allow-origin"), "https://app.example.com");
      assert.equal(response.header("access-control-allow-credentials"), "true");
      assert.equal(response.header("access-control-expose-headers"), "x-total");
      assert.match(response.header("vary")!, /origin/i);
      const other = await gateway.exchange({ path: "/orders/1", headers: [["Origin", "https://evil.example"]] });
      assert.equal(other.response.header("access-control-allow-origin"), undefined);
    });

    it("answers HEAD without a body", async () => {
      const { response, log } = await gateway.exchange({ path: "/orders/1", method: "HEAD" });
      assert.equal(response.status, 401);
      assert.equal(log.details, "tollgate_key_missing");
      // The next answer on the same connection would be misread if a body had been sent.
      const connection = await Connection.open(gateway.port());
      try {
        for (const method of ["HEAD", "GET", "HEAD"])
          assert.equal((await connection.send({ path: "/orders/1", method })).status, 401);
      } finally {
        connection.close();
      }
    });

    it("refuses gRPC calls with a gRPC status", async () => {
      const call = (more: Record<string, string>): ReturnType<typeof sendHttp2> =>
        sendHttp2(http2Gateway.port(), {
          ":path": "/shop.Orders/List",
          "content-type": "application/grpc",
          te: "trailers",
          ...more,
        });
      for (const [more, status] of [
        [{}, "16"],
        [{ "x-api-key": unknownKey() }, "16"],
        [{ "x-api-key": keys.silver }, "7"],
        [{ ":path": "/nowhere.Service/Call" }, "12"],
        [{ "content-type": "application/grpc+proto" }, "16"],
      ] as const) {
        const answer = await call(more);
        assert.equal(answer.status, 200, "gRPC carries its errors in grpc-status");
        assert.equal(answer.headers["grpc-status"] ?? answer.trailers["grpc-status"], status, JSON.stringify(more));
        assert.match(String(answer.headers["content-type"]), /^application\/grpc/);
        assert.match(String(answer.headers["grpc-message"] ?? answer.trailers["grpc-message"]), /^[a-z_]+/);
        assert.equal(answer.body, "");
      }
    });

    it("admits a gRPC call, trailers and all", async () => {
      const answer = await sendHttp2(
        http2Gateway.port(),
        { ":path": "/shop.Orders/List", "content-type": "application/grpc", te: "trailers", "x-api-key": keys.gold },
        "message",
        { "x-checksum": "kept" },
      );
      assert.equal(answer.status, 200);
      assert.equal(answer.trailers["grpc-status"], "0");
      const seen = JSON.parse(answer.body) as {
        headers: Record<string, string>;
        trailers: Record<string, string>;
        body: string;
      };
      assert.equal(seen.headers["x-tollgate-consumer"], "acme");
      assert.equal(seen.headers["x-api-key"], undefined);
      assert.equal(seen.body, "message");
      assert.equal(seen.trailers["x-checksum"], "kept");
    });

    it("opens a WebSocket for a good key only", async () => {
      const connection = await Connection.open(gateway.port());
      try {
        const opened = await connection.upgrade("/orders/live", [["x-api-key", keys.gold]]);
        assert.equal(opened.status, 101);
        // A masked text frame, "hi" (RFC 6455, 5.2); it comes back unmasked.
        connection.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69]));
        assert.deepEqual(await connection.readBytes(4), Buffer.from([0x81, 0x02, 0x68, 0x69]));
      } finally {
        connection.close();
      }
      const refused = await Connection.open(gateway.port());
      try {
        assert.equal(reasonOf(await refused.upgrade("/orders/live")), "key_missing");
      } finally {
        refused.close();
      }
    });

    it("serves requests one after another and at the same time on one connection", async () => {
      const connection = await Connection.open(gateway.port());
      try {
        for (const [key, status] of [
          [keys.gold, 200],
          [keys.revoked, 401],
          [keys.silver, 200],
          [unknownKey(), 401],
        ] as const) {
          assert.equal((await connection.send({ path: "/orders/1", headers: [["x-api-key", key]] })).status, status);
        }
      } finally {
        connection.close();
      }
      const answers = await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          sendHttp2(http2Gateway.port(), {
            ":path": `/orders/${index}`,
            ":method": "GET",
            "x-api-key": index % 2 === 0 ? keys.gold : keys.silver,
          }),
        ),
      );
      for (const [index, answer] of answers.entries()) {
        const seen = JSON.parse(answer.body) as { path: string; headers: Record<string, string> };
        assert.equal(seen.path, `/orders/${index}`);
        assert.equal(seen.headers["x-tollgate-key-id"], index % 2 === 0 ? "key-gold" : "key-silver");
      }
    });
  });
}
