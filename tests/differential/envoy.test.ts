/**
 * The filter and Envoy's routes, as `tollgate envoy-config` writes them, find the same API for any request: random APIs and requests near them, and
 * upstreams that say which of them was reached. `npm run test:differential -- --requests 500000 --seed N` runs it longer.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { oldestEnvoyVersion } from "../../devstack/envoy/version.ts";
import { findingText, reportText, runDifferential } from "./differential.ts";
import type { GatewaysOptions } from "./gateways.ts";
import { seedOf } from "./random.ts";
import { shrink } from "./shrink.ts";

const seed = seedOf();

async function findsNothing(requests: number, gateways: GatewaysOptions): Promise<void> {
  const report = await runDifferential({ seed, requests, gateways });
  console.log(`seed ${seed}: ${reportText(report)}`);
  const [finding] = report.findings;
  if (finding !== undefined)
    assert.fail(
      `seed ${seed} (TOLLGATE_TEST_SEED=${seed} repeats it): ${findingText(await shrink(finding, gateways))}\n${report.findings.length} findings in all`,
    );
  // Requests that nobody serves would prove nothing.
  assert.equal(report.sent, requests);
  assert.ok((report.outcomes.get("served") ?? 0) > requests / 6, reportText(report));
  assert.ok(report.apisReached > report.apis * 0.8, reportText(report));
}

describe("the API that the filter decided by is the one whose upstream answers", () => {
  it("for 20,000 random requests on the newest Envoy", () => findsNothing(20_000, {}));
  it("for 5,000 random requests on the oldest Envoy", () => findsNothing(5_000, { version: oldestEnvoyVersion }));
});

interface Route {
  match: Record<string, unknown>;
}
interface VirtualHost {
  domains: string[];
  routes: Route[];
}

/** Faults of a generator, each of its own kind. */
const faults: [name: string, spoil: (virtualHosts: VirtualHost[]) => VirtualHost[]][] = [
  ["routes in the wrong order", (hosts) => hosts.map((host) => ({ ...host, routes: [...host.routes].reverse() }))],
  ["no routes for wildcard hosts", (hosts) => hosts.filter(({ domains }) => !domains[0]!.startsWith("*."))],
  [
    "prefixes that end within a segment",
    (hosts) =>
      hosts.map((host) => ({
        ...host,
        routes: host.routes.map(({ match, ...rest }) => ({
          ...rest,
          match: {
            ...match,
            ...("path_separated_prefix" in match
              ? { prefix: match["path_separated_prefix"], path_separated_prefix: undefined }
              : {}),
          },
        })),
      })),
  ],
  [
    "methods that are not looked at",
    (hosts) =>
      hosts.map((host) => ({
        ...host,
        routes: host.routes.map(({ match, ...rest }) => ({ ...rest, match: { ...match, headers: undefined } })),
      })),
  ],
];

describe("the differential test finds a generator's fault", () => {
  for (const [name, spoil] of faults) {
    it(name, async () => {
      const changeManager = (manager: Record<string, unknown>): void => {
        const routes = manager["route_config"] as { virtual_hosts: VirtualHost[] };
        routes.virtual_hosts = spoil(routes.virtual_hosts);
      };
      const report = await runDifferential({ seed, requests: 20_000, gateways: { changeManager }, findingsMax: 1 });
      assert.notEqual(report.findings.length, 0, `seed ${seed}: ${reportText(report)}`);
    });
  }
});
