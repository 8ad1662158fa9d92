import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { createServer, request } from "node:https";
import { join } from "node:path";
import { test } from "node:test";
import { connect, type TLSSocket } from "node:tls";
import { followTls } from "../../control/sync/tls.ts";
import { selfSigned } from "./certificate.ts";
import { eventually } from "../kit/eventually.ts";
import { makeFolder, removeFolder } from "../kit/folders.ts";
import { listen } from "../kit/http.ts";
import { smallSource, startSync } from "./support.ts";

test("the port speaks TLS", async (t) => {
  const tls = selfSigned("sync");
  const sync = await startSync(t, smallSource(), { tls });
  assert.match(sync.url, /^https:/);
  const status = await new Promise<number | undefined>((resolve, reject) => {
    const call = request(
      `${sync.url}/sync/v1/watch?environment=default&gateway=n~1&epoch=${"0".repeat(16)}&version=0`,
      { ca: tls.cert, headers: { authorization: "Bearer token" }, agent: false },
      (response) => {
        response.resume().on("end", () => resolve(response.statusCode));
      },
    );
    call.on("error", reject).end();
  });
  assert.equal(status, 200);
});

test("a renewed certificate is used; one that doesn't fit its key isn't", async (t) => {
  const folder = makeFolder("tls");
  const files = { certFile: join(folder, "cert.pem"), keyFile: join(folder, "key.pem") };
  const first = selfSigned("first");
  const server = createServer(first);
  const failures: unknown[] = [];
  const put = (name: string): void => {
    const { cert, key } = selfSigned(name);
    writeFileSync(files.keyFile, key);
    writeFileSync(files.certFile, cert);
  };
  put("first");
  const unfollow = followTls(files, server, (error) => failures.push(error), 20);
  t.after(() => {
    unfollow();
    server.close();
    removeFolder(folder);
  });
  const port = await listen(server);
  const served = () =>
    new Promise<string>((resolve, reject) => {
      const socket: TLSSocket = connect({ host: "127.0.0.1", port, rejectUnauthorized: false }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      }).on("error", reject);
    });
  assert.equal(await served(), "first");
  put("second");
  await eventually("the new certificate is served", async () => (await served()) === "second");
  writeFileSync(files.certFile, selfSigned("misfit").cert);
  await eventually("the misfit is told", () => failures.length > 0);
  assert.equal(await served(), "second");
});
