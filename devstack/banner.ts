import type { EnvoyBinary } from "./envoy/find.ts";
import type { DemoKey } from "./demo.ts";
import type { StackSettings } from "./settings.ts";

export interface BannerInput {
  settings: StackSettings;
  envoy: EnvoyBinary;
  keys: DemoKey[];
  /** absolute */
  accessLog: string;
}

/** What `tollgate run` says once the gateway answers. Every curl line works as it stands. */
export function banner({ settings, envoy, keys, accessLog }: BannerInput): string {
  const local = (port: number): string => `http://127.0.0.1:${port}`;
  const gateway = local(settings.ports.gateway);
  const widest = Math.max(0, ...keys.map(({ tier }) => tier.length));
  const first = keys[0];
  const most = keys.at(-1);
  const lines = [
    "",
    "Tollgate is running. Ctrl-C ends it.",
    "",
    `  gateway    ${gateway}    Envoy ${envoy.version}, ${settings.concurrency} worker(s)`,
    `  admin API  ${local(settings.ports.control)}    /openapi.json, /metrics`,
    `  Envoy      ${local(settings.ports.envoyAdmin)}    /stats?filter=tollgate`,
    `  upstream   ${local(settings.ports.upstream)}    answers with the request that it got`,
    `  access log ${accessLog}`,
    "",
    "One key per tier, until the next start:",
    "",
    ...keys.map(({ tier, consumer, key }) => `  ${tier.padEnd(widest)}  ${key}  (consumer ${consumer})`),
    "",
    "Try it:",
    "",
    ...(first === undefined
      ? []
      : [
          "  # 200: the upstream receives identity headers, never the key",
          `  curl -s ${gateway}/hello -H 'x-api-key: ${first.key}'`,
          "  # spoofed headers are removed; the key can also be a bearer token, a query parameter or a cookie",
          `  curl -s ${gateway}/hello -H 'authorization: Bearer ${most?.key}' -H 'x-tollgate-tier: forged'`,
        ]),
    "  # 401 without a key; the reason is in the body, in Envoy's access log and in a metric",
    `  curl -si ${gateway}/hello`,
    ...(settings.adminTokenIsNew
      ? [
          "",
          "To use the command line or the admin API from another terminal (the token is shown only here):",
          "",
          `  export TOLLGATE_ADMIN_TOKEN=${settings.adminToken}`,
        ]
      : ["", "To use the command line from another terminal, with TOLLGATE_ADMIN_TOKEN as you set it:", ""]),
    ...(settings.ports.control === 8090 ? [] : [`  export TOLLGATE_URL=${local(settings.ports.control)}`]),
    "  npx tollgate keys list",
    "",
  ];
  return lines.join("\n");
}
