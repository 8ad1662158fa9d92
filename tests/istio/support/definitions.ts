/** Istio's objects that tests write themselves, where what `tollgate manifests` writes can't be used: other phases, other modules. */
import { randomInt } from "node:crypto";
import { digestHex, issueKey } from "../../../control/domain/keys.ts";
import type { FileInput } from "../../../control/domain/schema.ts";
import { gatewayNamespace, installedGateway } from "./gateway.ts";

export type Phase = "AUTHN" | "AUTHZ" | "STATS";

/** The key of each consumer, and the records for control. */
export function shopFile(): { file: FileInput; keys: { bronze: string; platinum: string } } {
  const keys = { bronze: issueKey("default", randomInt).key, platinum: issueKey("default", randomInt).key };
  return {
    keys,
    file: {
      version: 1,
      apis: [
        {
          id: "orders",
          hosts: ["*"],
          paths: ["/"],
          upstream: { service: "orders.shop.svc.cluster.local", port: 8080 },
        },
      ],
      tiers: [
        { id: "bronze", limits: [] },
        { id: "platinum", limits: [] },
      ],
      consumers: [
        { id: "corner", tier: "bronze" },
        { id: "acme", tier: "platinum" },
      ],
      keys: [
        { id: "corner-1", consumer: "corner", sha256: digestHex(keys.bronze) },
        { id: "acme-1", consumer: "acme", sha256: digestHex(keys.platinum) },
      ],
    },
  };
}

/** Where `shopFile` sends requests. */
export const shopServices = [{ name: "orders", namespace: "shop" }];

/** A Gateway for all hosts, and a route to orders. */
export function shopRoute(): object[] {
  return [
    istio("networking.istio.io/v1", "Gateway", "tollgate", {
      selector: installedGateway.labels,
      servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
    }),
    istio("networking.istio.io/v1", "VirtualService", "orders", {
      hosts: ["*"],
      gateways: ["tollgate"],
      http: [{ route: [{ destination: { host: "orders.shop.svc.cluster.local", port: { number: 8080 } } }] }],
    }),
  ];
}

export interface PluginObjectOptions {
  modulePath: string;
  phase?: Phase;
  name?: string;
  /** more of the plugin's own configuration */
  configuration?: object;
}

export function wasmPlugin({
  modulePath,
  phase = "AUTHN",
  name = "tollgate",
  configuration = {},
}: PluginObjectOptions): object {
  return istio("extensions.istio.io/v1alpha1", "WasmPlugin", name, {
    selector: { matchLabels: installedGateway.labels },
    url: `file://${modulePath}`,
    phase,
    failStrategy: "FAIL_CLOSE",
    vmConfig: { env: [{ name: "TOLLGATE_GATEWAY_TOKEN", valueFrom: "HOST" }] },
    pluginConfig: {
      environment: "default",
      control: {
        cluster: "outbound|8091||tollgate-control.tollgate.svc.cluster.local",
        authority: "tollgate-control.tollgate",
        tokenEnv: "TOLLGATE_GATEWAY_TOKEN",
      },
      ...configuration,
    },
  });
}

/** Refuses paths under /paid unless the header says the tier. */
export function paidPolicy(tier: string): object {
  return istio("security.istio.io/v1", "AuthorizationPolicy", "paid", {
    selector: { matchLabels: installedGateway.labels },
    action: "DENY",
    rules: [
      {
        to: [{ operation: { paths: ["/paid*"] } }],
        when: [{ key: "request.headers[x-tollgate-tier]", notValues: [tier] }],
      },
    ],
  });
}

function istio(apiVersion: string, kind: string, name: string, spec: object): object {
  return { apiVersion, kind, metadata: { name, namespace: gatewayNamespace }, spec };
}
