/** `tsx tests/doctor/record.ts` writes recorded/*.json anew: what real Envoys and a real control answer the doctor. */
import { writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Evidence } from "../../tools/doctor/evidence.ts";
import { gather } from "../../tools/doctor/gather.ts";
import { ControlProcess } from "../kit/control.ts";
import type { Gateway } from "../kit/gateway.ts";
import { eventually } from "../kit/eventually.ts";
import { filterModule } from "../kit/filterModule.ts";
import { adminToken } from "../kit/control.ts";
import {
  environment,
  file,
  jwtFilter,
  markingFilter,
  rbacFilter,
  secondPlugin,
  standalone,
  startDiscovered,
  startGateway,
  withControl,
} from "./gateways.ts";

const folder = join(import.meta.dirname, "recorded");

async function record(name: string, gateway: Gateway, control?: ControlProcess): Promise<void> {
  const evidence = await gather({
    envoyAdmin: `http://127.0.0.1:${gateway.envoy.adminPort}`,
    control: control && { url: `http://127.0.0.1:${control.adminPort}`, token: adminToken, mayBeSilent: false },
    expectedSha256: [],
    waitMs: 3000,
    environment: undefined,
  });
  writeFileSync(
    join(folder, `${name}.json`),
    `${JSON.stringify(withoutPlaces(evidence, dirname(await filterModule())), null, 1)}\n`,
  );
}

/** Folders of the machine on which it was recorded are nobody's business. */
function withoutPlaces(evidence: Evidence, build: string): Evidence {
  const text = JSON.stringify(evidence)
    .replaceAll(build, "/var/lib/tollgate")
    .replace(/\/tmp\/tollgate-[a-z]+-\w+/g, "/tmp/envoy");
  return JSON.parse(text) as Evidence;
}

const control = await ControlProcess.start();
try {
  const gatewayToken = await control.createEnvironment(environment, file);
  const { key } = await control.call<{ key: string }>("POST", `/v1/keys?environment=${environment}`, {
    consumer: "acme",
  });

  const healthy = await startGateway(withControl(), { syncPort: control.syncPort, gatewayToken });
  await eventually(
    "a request to be admitted",
    async () => (await healthy.send({ path: "/orders", headers: [["x-api-key", key]] })).status === 200,
  );
  await eventually("the gateway to be known", async () =>
    (await control.call<{ items: { workers: number }[] }>("GET", `/v1/gateways?environment=${environment}`)).items.some(
      ({ workers }) => workers > 0,
    ),
  );
  await eventually(
    "the snapshot to show",
    async () =>
      (await healthy.metric("snapshot_version", environment)) > 0 &&
      (await healthy.metric("leases_ok", environment)) > 0,
  );
  await record("healthy", healthy, control);
  await healthy.stop();

  const refused = await startGateway(withControl(), { syncPort: control.syncPort, gatewayToken: "tgg_of_nobody" });
  await eventually("a call to be refused", async () => (await refused.metric("sync_failed", environment)) > 0);
  await record("token-refused", refused, control);
  await refused.stop();

  const cutOff = await startGateway(withControl(), { syncPort: control.syncPort, gatewayToken });
  await eventually("the gateway to be in sync", async () => (await cutOff.metric("sync_ok", environment)) > 0);
  await control.kill();
  await eventually("a call to fail", async () => (await cutOff.metric("sync_failed", environment)) > 1);
  await record("control-stopped", cutOff, control);
  await cutOff.stop();

  const noCluster = await startGateway(
    withControl({
      control: {
        cluster: "outbound|8091||tollgate-control.tollgate.svc.cluster.local",
        authority: "tollgate-control.tollgate",
      },
    }),
  );
  await eventually("a call to fail", async () => (await noCluster.metric("sync_failed", environment)) > 0);
  await record("no-cluster", noCluster);
  await noCluster.stop();
} finally {
  await control.remove();
}

for (const [name, start] of [
  ["standalone", () => startGateway(standalone())],
  ["phase-authn", () => startGateway(standalone(), { before: [markingFilter], after: [jwtFilter, rbacFilter] })],
  ["phase-authz", () => startGateway(standalone(), { before: [jwtFilter], after: [rbacFilter] })],
  ["phase-stats", () => startGateway(standalone(), { before: [jwtFilter, rbacFilter] })],
  [
    "two-plugins",
    async () =>
      startGateway(standalone(), { after: [await secondPlugin(standalone({ claims: { prefix: "X_Tollgate-" } }))] }),
  ],
  ["empty", () => startGateway({})],
] as const) {
  const gateway = await start();
  await record(name, gateway);
  await gateway.stop();
}
const { gateway, stop } = await startDiscovered();
await record("discovered", gateway);
await stop();
