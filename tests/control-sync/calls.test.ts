/** Who may call, with what, and how calls end. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { test } from "node:test";
import { epochText } from "../../control/sync/frames.ts";
import { syncProblems } from "../../control/sync/problems.ts";
import { eventually } from "../kit/eventually.ts";
import { framesOf, type HttpAnswer } from "./gateway.ts";
import { assertSynced, metric, parked, smallSource, startSync } from "./support.ts";

const code = (answer: HttpAnswer): string => {
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  const body = JSON.parse(answer.bytes.toString()) as { status: number; code: string; type: string; detail: string };
  assert.equal(body.status, answer.status);
  assert.equal(body.type, `https://tollgate.dev/errors/sync-${body.code}`);
  assert.equal(syncProblems[body.code as keyof typeof syncProblems].status, answer.status);
  assert.ok(body.detail.length > 0);
  return body.code;
};

test("401 without a token and with an unknown one, 403 for another environment", async (t) => {
  const source = smallSource();
  source.addToken("staging", null, "staging");
  const sync = await startSync(t, source);
  for (const call of ["watch", "pages/0", "report"]) {
    const answer = await sync.gateway("wrong").call(call, { applied: "0" });
    assert.equal(code(answer), "token_unknown");
    assert.equal(answer.headers.get("www-authenticate"), "Bearer");
    assert.equal(code(await sync.gateway("staging").call(call, { applied: "0" })), "token_of_other_environment");
  }
  const bare = await fetch(`${sync.url}/sync/v1/watch`);
  assert.equal(bare.status, 401);
});

test("400 for parameters that are wrong, 404 for other calls, and never a secret in the answer", async (t) => {
  const sync = await startSync(t, smallSource());
  const gateway = sync.gateway();
  const wrong: [string, Record<string, string>][] = [
    ["watch", { epoch: "12" }],
    ["watch", { epoch: "x".repeat(16) }],
    ["watch", { version: "-1" }],
    ["watch", { version: "99999999999999999999" }],
    ["watch", { waitMs: "55001" }],
    ["watch", { waitMs: "soon" }],
    ["watch", { gateway: "no-boot-id" }],
    ["watch", { gateway: "a\n~1" }],
    ["watch", { gateway: `${"n".repeat(512)}~1` }],
    ["watch", { applied: "1.5" }],
    ["watch", { workers: "-1" }],
    ["pages/x", {}],
    ["pages/-1", {}],
    ["report", { applied: "many" }],
  ];
  for (const [path, query] of wrong) {
    const answer = await gateway.call(path, query);
    assert.equal(code(answer), "parameter_invalid", path + JSON.stringify(query));
    assert.ok(!answer.bytes.includes("Bearer"));
  }
  assert.equal(code(await gateway.call("elsewhere")), "not_found");
  const post = await fetch(`${sync.url}/sync/v1/watch`, { method: "POST" });
  assert.equal(post.status, 404);
});

test("410 for a snapshot that control doesn't have, 400 for a page that it never had", async (t) => {
  const sync = await startSync(t, smallSource());
  const gateway = sync.gateway();
  await gateway.watch();
  assert.equal(code(await gateway.call("pages/0", { version: "99" })), "snapshot_gone");
  assert.equal(code(await gateway.call("pages/0", { epoch: "0000000000000001" })), "snapshot_gone");
  assert.equal(code(await gateway.call("pages/2")), "parameter_invalid");
  assert.equal((await gateway.call("pages/1")).status, 200);
});

test("a deleted token stops working within a second, and its long polls end", async (t) => {
  const source = smallSource();
  source.addToken("other");
  const sync = await startSync(t, source);
  const [gateway, other] = [sync.gateway(), sync.gateway("other", "node~2")];
  await Promise.all([gateway.watch(), other.watch()]);
  const position = { version: gateway.version.toString(), epoch: epochText(gateway.epoch), waitMs: "50000" };
  const waiting = gateway.call("watch", position);
  const staying = other.watch(50_000);
  await parked(sync, 2);
  source.deleteToken("token");
  assert.equal(code(await waiting), "token_unknown");
  await eventually("refused", async () => (await gateway.call("report", { applied: "0" })).status === 401);
  source.commit((writer) => writer.delete("key", "k3"));
  assert.equal(await staying, "delta");
});

test("a group sees only its APIs, and has an epoch of its own", async (t) => {
  const source = smallSource();
  source.commit((writer) => {
    writer.api("hidden", {
      limits: [
        {
          name: "per-ip",
          kind: "rate",
          limit: 5,
          windowSeconds: 60,
          anchor: "calendar",
          subject: "ip",
          enforcement: "gateway",
          mode: "enforce",
        },
      ],
    });
    writer.tier("silver", ["hidden", "echo"]);
  });
  source.addToken("edge", ["later", "echo"]);
  source.addToken("edge2", ["echo", "later"]);
  const sync = await startSync(t, source);
  const [all, edge, edge2] = [sync.gateway(), sync.gateway("edge", "node~2"), sync.gateway("edge2", "node~3")];
  for (const gateway of [all, edge, edge2]) await gateway.watch();
  assert.notEqual(edge.epoch, all.epoch);
  assert.equal(edge.epoch, edge2.epoch, "the order of the list doesn't matter");
  const sees = (id: string) => id === "echo" || id === "later";
  await assertSynced(edge, source, sees);
  await assertSynced(all, source);

  source.commit((writer) => writer.api("hidden", { paths: ["/h"] }));
  const [frame, ...more] = framesOf((await edge.call("watch")).bytes);
  assert.ok(frame?.type === "delta" && more.length === 0);
  assert.deepEqual(
    frame.records.filter((record) => record.type !== "delete"),
    [],
  );
  assert.equal(await edge.watch(), "delta");
  source.commit((writer) => writer.api("later"));
  for (const gateway of [all, edge]) await gateway.watch();
  await assertSynced(edge, source, sees);
  await assertSynced(all, source);
  assert.equal(
    (await edge.call("pages/0", { epoch: epochText(all.epoch), version: "2" })).status,
    410,
    "another group's pages are out of reach",
  );
});

test("a change of what a group sees brings a new epoch and its snapshot, to those who wait as well", async (t) => {
  const source = smallSource();
  source.commit((writer) => writer.api("billing"));
  source.addToken("edge", ["echo"]);
  const sync = await startSync(t, source);
  const gateway = sync.gateway("edge");
  await gateway.watch();
  const { epoch } = gateway;
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  source.addToken("edge", ["billing"]);
  assert.equal(await woken, "manifest");
  assert.notEqual(gateway.epoch, epoch);
  await assertSynced(gateway, source, (id) => id === "billing");
});

test("polls beyond the bounds are refused; a caller that leaves makes room", async (t) => {
  const source = smallSource();
  source.addToken("other");
  const sync = await startSync(t, source, { polls: { overall: 3, perToken: 2 } });
  const position = { epoch: epochText(source.state.epoch), version: "1", waitMs: "50000" };
  const leaving = new AbortController();
  const left = sync
    .gateway()
    .call("watch", position, leaving.signal)
    .catch((error: Error) => error.name);
  const second = sync.gateway().call("watch", position);
  await parked(sync, 2);
  const refused = await sync.gateway().call("watch", position);
  assert.equal(code(refused), "polls_exhausted");
  assert.equal(refused.headers.get("retry-after"), "1");
  const third = sync.gateway("other", "node~2").call("watch", position);
  await parked(sync, 3);
  assert.equal(code(await sync.gateway("other", "node~2").call("watch", position)), "polls_exhausted");
  leaving.abort();
  assert.equal(await left, "AbortError");
  await parked(sync, 2);
  const fourth = sync.gateway().call("watch", position);
  await parked(sync, 3);
  source.commit((writer) => writer.delete("key", "k1"));
  for (const answer of await Promise.all([second, third, fourth])) assert.equal(answer.status, 200);
});

test("closing answers the polls with a heartbeat and lets nobody in", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateways = Array.from({ length: 20 }, (_, i) => sync.gateway("token", `node~${i}`));
  await Promise.all(gateways.map((gateway) => gateway.watch()));
  const waiting = gateways.map((gateway) => gateway.watch(50_000));
  await parked(sync, 20);
  await sync.server.close();
  assert.deepEqual(new Set(await Promise.all(waiting)), new Set(["heartbeat"]));
  await assert.rejects(gateways[0]!.call("watch"));
  assert.equal(source.subscribers, 0);
  assert.equal(sync.server.ready, false);
});

test("closing isn't held up by connections that say nothing", async (t) => {
  const sync = await startSync(t, smallSource());
  const { hostname, port } = new URL(sync.url);
  const silent = connect(Number(port), hostname);
  t.after(() => silent.destroy());
  await new Promise((resolve) => silent.once("connect", resolve));
  await sync.gateway().watch();
  await sync.server.close();
});

test("closing isn't held up by callers that left", async (t) => {
  const sync = await startSync(t, smallSource());
  const gateway = sync.gateway();
  await gateway.watch();
  const leaving = new AbortController();
  const left = gateway.call("watch", { waitMs: "50000" }, leaving.signal).catch((error: Error) => error.name);
  await parked(sync, 1);
  leaving.abort();
  assert.equal(await left, "AbortError");
  await parked(sync, 0);
  const startedMs = performance.now();
  await sync.server.close();
  assert.ok(performance.now() - startedMs < 4000, "less than the grace for downloads");
});

test("when the store fails calls fail, polls stay, and all recovers", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  const woken = gateway.watch(50_000);
  await parked(sync, 1);
  source.failure = new Error("the database is away");
  await eventually("new calls fail", async () => (await sync.gateway("token", "new~1").call("watch")).status === 503);
  assert.equal(await metric(sync, "tollgate_sync_parked_polls"), 1);
  source.failure = undefined;
  source.commit((writer) => writer.key("k1", "acme", "revoked"));
  assert.equal(await woken, "delta");
  await assertSynced(gateway, source);
});

test("an environment that can't be read at first is served later", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  source.failure = new Error("not yet");
  await assert.rejects(sync.server.warm(["default"]), /not yet/);
  assert.equal(sync.server.ready, false);
  source.failure = undefined;
  await sync.server.warm(["default"]);
  assert.equal(sync.server.ready, true);
  assert.equal(await sync.gateway().watch(), "manifest");
  await assert.rejects(sync.server.warm(["nowhere"]), /no environment/);
});

test("a record that the wire can't hold fails the call and names the record, in the log only", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  source.commit((writer) => writer.consumer("long", { claims: { note: "x".repeat(70_000) } }));
  const answer = await gateway.call("watch");
  assert.equal(code(answer), "internal");
  source.commit((writer) => writer.consumer("long", { claims: { note: "x" } }));
  assert.equal(await gateway.watch(), "delta");
});

test("gateways are recorded: at once, then at most once a second, the last word included", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  const gateway = sync.gateway();
  await gateway.watch();
  assert.equal(source.reports.length, 1);
  const { lastContactMs, heldUntilMs, ...first } = source.reports[0]!;
  assert.deepEqual(first, {
    id: "node~1",
    group: "group of token",
    environment: "default",
    tokenId: "token",
    version: 0n,
    applied: 0n,
    workers: 1,
  });
  assert.ok(Math.abs(lastContactMs - Date.now()) < 10_000);
  assert.equal(heldUntilMs, lastContactMs + 70_000);
  for (let applied = 1; applied <= 20; applied++) {
    const answer = await gateway.call("report", { applied: String(applied), workers: "2" });
    assert.equal(answer.status, 204);
  }
  await eventually("the last report is stored", () => source.reports.at(-1)!.applied === 20n);
  assert.ok(source.reports.length < 10, `${source.reports.length} writes`);
  assert.equal(await metric(sync, "tollgate_sync_gateways"), 1);
  await gateway.call("report", { applied: "21" });
  await sync.server.close();
  assert.equal(source.reports.at(-1)!.applied, 21n);
});

test("metrics tell the slowest gateway's lag", async (t) => {
  const source = smallSource();
  const sync = await startSync(t, source);
  for (let i = 0; i < 4; i++) source.commit((writer) => writer.key("k1", "acme", i % 2 === 0 ? "suspended" : "active"));
  await sync.gateway().watch();
  await sync.gateway("token", "node~2").call("report", { applied: "3", workers: "2" });
  await sync.gateway("token", "node~3").call("report", { applied: "5", workers: "2" });
  await sync.gateway("token", "idle~1").call("report", { applied: "0", workers: "0" });
  await sync.gateway("token", "node~1").call("report", { applied: "5", workers: "1" });
  assert.equal(await metric(sync, "tollgate_sync_gateway_lag_versions"), 2);
  assert.equal(await metric(sync, "tollgate_sync_version"), 5);
});
