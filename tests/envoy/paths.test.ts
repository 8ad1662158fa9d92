/** No spelling of a path leads to a keyed API's resource by way of a keyless one, whether Envoy normalizes paths or not. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Gateway, echoed, reasonOf, standalone } from "../kit/gateway.ts";
import { makeFixture } from "../kit/fixture.ts";
import { everySetup } from "../kit/envoySetups.ts";

const { spec } = makeFixture();

/** `/public` is keyless, `/orders` and `/public/private` are not. */
const tricks = [
  "/public/../orders/1",
  "/public/./../orders/1",
  "/public/..",
  "/public/.",
  "/public/%2e%2e/orders/1",
  "/public/.%2e/orders/1",
  "/public/%2E%2E/orders/1",
  "/public/%252e%252e/orders/1",
  "/public%2f..%2forders/1",
  "/public/..%2forders/1",
  "/public/..%2Forders/1",
  "/public%2fprivate",
  "/public%252fprivate",
  "/public\\..\\orders",
  "/public/..\\orders/1",
  "/public/%5c..%5corders",
  "/public/%255c../orders",
  "//orders/1",
  "/public//private",
  "/public//../orders/1",
  "/public/;/../orders/1",
  "/public/..;/orders/1",
  "/public/..;x=1/orders/1",
  "/public;x/private",
  "/public/pri%76ate",
  "/public/%70rivate",
  "/public/private;x=1",
  "/public/private/",
  "/public/private%20",
  "/PUBLIC/../orders/1",
  "/%6frders/1",
  "/orders;x/1",
  "/public/\u0001/../orders",
  "/public/%00/../orders",
  "/public/%c0%ae%c0%ae/orders/1",
  "/public/%c0%af/orders",
  "/public/%",
  "/public/%2",
  "/public/%zz",
  "/public/private?x=/public",
  "/public/private#/public",
  "/.//orders/1",
  "/./orders/1",
  "/public/...//private",
  "*",
  "http://api.example.com/public/../orders/1",
  "http://api.example.com//orders/1",
  "/orders%00/1",
];

/** Where a backend may end that decodes, drops `;parameters`, collapses slashes and dot segments, in any number of rounds. */
function readings(path: string): Set<string> {
  const found = new Set<string>();
  const visit = (text: string): void => {
    const plain = text.split(/[?#]/)[0]!;
    if (found.has(plain) || found.size > 200) return;
    found.add(plain);
    visit(plain.replace(/%([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16))));
    visit(plain.replaceAll("\\", "/"));
    visit(plain.replace(/;[^/]*/g, ""));
    visit(plain.replace(/\/{2,}/g, "/"));
    // A blank at the end is a part of the path; URL would drop it.
    visit(new URL(`http://host${plain.startsWith("/") ? plain : `/${plain}`}`.replaceAll(" ", "%20")).pathname);
  };
  visit(path);
  return found;
}

const isKeyed = (path: string): boolean => /^\/(orders|public\/private)(\/|$)/.test(path);

for (const setup of everySetup) {
  describe(setup.name, () => {
    let gateway: Gateway;
    before(async () => {
      gateway = await Gateway.start({
        setup,
        listeners: [
          { configuration: standalone(spec), plugin: { hostEnvironment: [] } },
          {
            configuration: standalone(spec),
            plugin: { hostEnvironment: [] },
            listener: { normalizePath: false, mergeSlashes: false, escapedSlashes: "KEEP_UNCHANGED" },
          },
        ],
      });
    });
    after(() => gateway?.stop());

    for (const [listener, kind] of ["an Envoy that normalizes", "an Envoy that does not"].entries()) {
      it(`reaches no keyed resource without a key, on ${kind}`, async () => {
        for (const path of tricks) {
          const response = await gateway.send({ path }, listener);
          const seen = echoed(response);
          if (seen === undefined) {
            assert.notEqual(response.status, 200, path);
            continue;
          }
          const keyedReadings = [...readings(seen.path)].filter(isKeyed);
          assert.deepEqual(keyedReadings, [], `${path} was passed on as ${seen.path}`);
        }
      });

      it(`refuses with path_invalid or path_ambiguous, never with a trap, on ${kind}`, async () => {
        for (const path of tricks) {
          const response = await gateway.send({ path }, listener);
          const reason = reasonOf(response);
          // Envoy itself refuses what its HTTP parser does not take, with 400 and no problem.
          if (reason === undefined)
            assert.ok(response.status === 200 || response.status === 400, `${path}: ${response.status}`);
          else
            assert.ok(
              ["path_invalid", "path_ambiguous", "key_missing", "unknown_api"].includes(reason),
              `${path}: ${reason}`,
            );
        }
        assert.equal((await gateway.send({ path: "/public/x" }, listener)).status, 200);
      });
    }

    it("passes paths that only look odd", async () => {
      for (const path of [
        "/public",
        "/public/",
        "/public/a.b",
        "/public/...",
        "/public/..a",
        "/public/a%20b",
        "/public/a;v=1",
        "/public/%C3%BC",
        "/public?next=/../orders",
        "/public/a:b@c",
      ]) {
        for (const listener of [0, 1])
          assert.equal((await gateway.send({ path }, listener)).status, 200, `${path} on listener ${listener}`);
      }
    });

    it("matches prefixes on segment borders", async () => {
      assert.equal(reasonOf(await gateway.send({ path: "/publications" })), "unknown_api");
      assert.equal(reasonOf(await gateway.send({ path: "/public/privateer" })), undefined);
    });

    it("compares hosts without case and port, as Envoy's routes do, and refuses odd ones", async () => {
      assert.equal(
        reasonOf(await gateway.send({ path: "/public", headers: [["Host", "api.example.com:10000.evil.test"]] })),
        "host_invalid",
      );
      for (const host of ["API.example.com", "api.example.com:10000", "api.example.com."])
        assert.equal((await gateway.send({ path: "/public", headers: [["Host", host]] })).status, 200, host);
      for (const host of [
        "example.com",
        "xapi.example.com",
        "api.example.com.evil.test",
        "api.example.com.evil.test:10000",
      ]) {
        assert.equal(reasonOf(await gateway.send({ path: "/public", headers: [["Host", host]] })), "unknown_api", host);
      }
    });
  });
}
