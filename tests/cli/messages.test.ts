/** Common mistakes get a message that says what to do. */
import assert from "node:assert/strict";
import { createServer, type RequestListener, type Server } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { after, describe, test } from "node:test";
import { selfSigned } from "../control-sync/certificate.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { cli, writeIn } from "./support.ts";

const folder = temporaryFolder();

describe("TOLLGATE_URL that leads elsewhere", () => {
  async function listening(server: Server): Promise<number> {
    await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
    after(() => server.close());
    return (server.address() as AddressInfo).port;
  }
  const answering = (handler: RequestListener) => listening(createServer(handler));
  const list = async (url: string) => {
    const { code, stdout, stderr } = await cli(["apis", "list"], { TOLLGATE_URL: url, TOLLGATE_ADMIN_TOKEN: "tga_x" });
    assert.deepEqual([code, stdout], [1, ""], url);
    assert.match(stderr, /TOLLGATE_URL/);
    assert.doesNotMatch(stderr, /Unexpected fault|\n {4}at /);
    return stderr;
  };

  test("a gateway that refuses", async () => {
    const body = JSON.stringify({
      type: "https://tollgate.dev/reasons/key_missing",
      title: "API key required",
      status: 401,
      reason: "key_missing",
    });
    const port = await answering((_request, response) =>
      response.writeHead(401, { "content-type": "application/problem+json", server: "envoy" }).end(body),
    );
    assert.match(await list(`http://127.0.0.1:${port}`), /answered 401: this is a gateway/);
  });

  test("an Envoy without Tollgate, and another server", async () => {
    const envoy = await answering((_request, response) => response.writeHead(404, { server: "istio-envoy" }).end());
    assert.match(await list(`http://127.0.0.1:${envoy}`), /answered 404: an Envoy answered/);
    for (const [type, body] of [
      ["text/html", "<html>"],
      ["application/json", '{"error":"no"}'],
      ["application/json", "{broken"],
    ] as const) {
      const other = await answering((_request, response) =>
        response.writeHead(404, { "content-type": type }).end(body),
      );
      assert.match(await list(`http://127.0.0.1:${other}`), /answered 404: without a problem document/);
    }
  });

  test("https on a plain port, http on a TLS port, a certificate that isn't trusted", async () => {
    const plain = await answering((_request, response) => response.end());
    assert.match(
      await list(`https://127.0.0.1:${plain}`),
      /the port speaks plain HTTP, not TLS\. Write http:\/\/ in place/,
    );
    const tls = await listening(createTlsServer(selfSigned("control")) as unknown as Server);
    assert.match(await list(`http://127.0.0.1:${tls}`), /the port may want https:\/\//);
    assert.match(await list(`https://127.0.0.1:${tls}`), /its certificate isn't trusted/);
  });

  test("no scheme, another scheme, nonsense, nobody", async () => {
    for (const url of ["localhost:8090", "127.0.0.1:8090", "control.tollgate.svc:8090/"])
      assert.match(
        await list(url),
        new RegExp(`\`${url}\` has no scheme\\. Write http:// or https:// before it, such as http://${url}`),
      );
    for (const url of ["ftp://127.0.0.1", "http://", "http://[::1", "http://a b"])
      assert.match(await list(url), /isn't an HTTP URL/, url);
    assert.match(await list("http://127.0.0.1:1"), /connection refused\. Is the control plane running/);
  });

  test("an internal error comes with its request id", async () => {
    const body = JSON.stringify({
      type: "https://tollgate.dev/errors/internal",
      title: "Internal error",
      status: 500,
      code: "internal",
      detail: "A fault.",
      remedy: "Search the control plane log for the request ID.",
      requestId: "req-7f",
    });
    const port = await answering((_request, response) =>
      response.writeHead(500, { "content-type": "application/problem+json" }).end(body),
    );
    const { code, stderr } = await cli(["apis", "list"], {
      TOLLGATE_URL: `http://127.0.0.1:${port}`,
      TOLLGATE_ADMIN_TOKEN: "tga_x",
    });
    assert.deepEqual(
      [code, stderr],
      [1, "A fault. Search the control plane log for the request ID.\n(status 500, internal, request req-7f)\n"],
    );
  });
});

describe("a file whose text YAML reads otherwise", () => {
  const validate = async (text: string) => (await cli(["validate", "-f", "-"], {}, text)).stderr;

  test("says as what, and how to write it", async () => {
    for (const [written, read] of [
      ["00123", "the number 123"],
      ["1e3", "the number 1000"],
      ["0x1F", "the number 31"],
      ["0o17", "the number 15"],
      ["1.10", "the number 1.1"],
      ["5", "a number"],
      [".5", "the number 0.5"],
      ["true", "a boolean"],
      ["False", "the boolean false"],
    ]) {
      assert.match(
        await validate(`version: 1\nconsumers:\n  - {id: ${written}}\n`),
        new RegExp(
          `3:10: consumers\\[0\\]\\.id: Must be a string, but YAML reads \`${written!.replaceAll(".", "\\.")}\` as ${read}\\. Write it in quotes: "${written!.replaceAll(".", "\\.")}"\\.`,
        ),
        written,
      );
    }
    for (const written of ["no", "on", "yes", "off", "2027-01-01", "12:30"]) {
      assert.doesNotMatch(
        await validate(`version: 1\nconsumers:\n  - {id: c, claims: {country: ${written}}}\n`),
        /error|Must be/,
        `${written} is text in YAML 1.2`,
      );
    }
  });

  test("never shows what may be a key, and reads well", async () => {
    const digits = "1".repeat(64);
    const stderr = await validate(
      `version: 1\nconsumers: [{id: c}]\nkeys:\n  - {id: k, consumer: c, sha256: ${digits}}\n`,
    );
    assert.match(
      stderr,
      /keys\[0\]\.sha256: Must be a string, but YAML reads it as a number\. Write it in quotes\.\n$/,
    );
    assert.ok(!stderr.includes(digits));
    const json = await validate(
      `{"version":1,"consumers":[{"id":"c"}],"keys":[{"id":"k","consumer":"c","sha256":true}]}`,
    );
    assert.doesNotMatch(json, /The value\./);
  });

  test("says so of quoted numbers and booleans, too", async () => {
    const api = (more: string) =>
      `version: 1\napis:\n  - {id: a, hosts: ["*"], paths: [/], upstream: {service: a.x, port: "80"}${more}}\n`;
    assert.match(
      await validate(api("")),
      /port: Must be an integer, is the string "80"\. Write it without quotes: 80\./,
    );
    assert.match(
      await validate("version: 1\nconsumers:\n  - {id: a, suspended: yes}\n"),
      /suspended: Must be a boolean, is the string "yes"\. Write it without quotes: true\./,
    );
  });

  test("names a second document, in every file that is read", async () => {
    const two = writeIn(folder, "two.yaml", "version: 1\n---\nversion: 1\n");
    for (const args of [
      ["validate", "-f", two],
      ["import", "openapi", "-f", two],
      ["tiers", "put", "-f", two],
      ["compile", "-f", two],
      ["envoy-config", "-f", two],
    ]) {
      const { code, stderr } = await cli(args, { TOLLGATE_ADMIN_TOKEN: "tga_x" });
      assert.equal(code, 1, args.join(" "));
      assert.match(
        stderr,
        /two\.yaml:2:1: A second YAML document begins here; a file holds one\. Put each document into a file of its own/,
        args.join(" "),
      );
    }
  });

  test("an id of `put` that isn't text", async () => {
    const { code, stderr } = await cli(["tiers", "put", "-f", writeIn(folder, "id.yaml", "id: 00123\n")], {
      TOLLGATE_ADMIN_TOKEN: "tga_x",
    });
    assert.equal(code, 1);
    assert.match(stderr, /the id 123 is a number: write it in quotes/);
  });
});
