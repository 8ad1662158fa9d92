/** The access log that Tollgate writes into Envoy's configuration, for requests that no filter sees: Envoy refuses them itself. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { Gateway, standalone } from "../kit/gateway.ts";
import { makeFixture } from "../kit/fixture.ts";
import { Connection } from "../kit/http1.ts";
import { newest, oldest } from "../kit/envoySetups.ts";

for (const setup of [oldest, newest]) {
  describe(`the access log of requests that Envoy refuses, ${setup.name}`, () => {
    const { keys, spec } = makeFixture();
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: [
          {
            configuration: standalone(spec),
            plugin: { hostEnvironment: [] },
            listener: { escapedSlashes: "REJECT_REQUEST", accessLogHeaders: ["x-test-case"] },
          },
        ],
      });
    });
    after(() => gateway?.stop());

    const refused: { name: string; line: string; headers: string[]; details: RegExp; path: RegExp }[] = [
      {
        name: "of a path that it doesn't normalize",
        line: "GET /a%2Fb?x=1&api_key=KEY HTTP/1.1",
        headers: ["Host: a"],
        details: /path_normalization_failed/,
        path: /^\/a(%2F|\/)b$/,
      },
      {
        name: "with an upgrade that it doesn't know",
        line: "GET /orders/1?api_key=KEY HTTP/1.1",
        headers: ["Host: a", "Connection: Upgrade", "Upgrade: other"],
        details: /upgrade_failed/,
        path: /^\/orders\/1$/,
      },
      {
        name: "without a host",
        line: "GET /orders/1?api_key=KEY HTTP/1.1",
        headers: [],
        details: /missing_host/,
        path: /^\/orders\/1$/,
      },
    ];
    for (const { name, line, headers, details, path } of refused) {
      it(`has no query ${name}`, async () => {
        const id = randomUUID();
        const connection = await Connection.open(gateway.port());
        connection.socket.write(
          [line.replace("KEY", keys.gold), ...headers, `X-Test-Case: ${id}`, "", ""].join("\r\n"),
        );
        const log = await gateway.logOf(id);
        connection.close();
        assert.match(String(log["details"]), details);
        assert.match(String(log["path"]), path);
        assert.ok(!JSON.stringify(log).includes(keys.gold), JSON.stringify(log));
      });
    }
  });
}
