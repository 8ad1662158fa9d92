/** What logs and traces of the gateway say of a request: who called, by what, and why it was refused. One list for both, so that they tell the same story. */
import type { ManifestDocument, ManifestOptions } from "../model.ts";
import { accessLogProvider, claimHeader, pluginName } from "./names.ts";
import { gatewayTarget } from "./plugin.ts";

const callerClaims = ["consumer", "tier", "key-id"] as const;
const fieldName = (claim: string): string => `tollgate_${claim.replaceAll("-", "_")}`;

/** Of the access log provider in the mesh configuration: JSON, a field for each. */
export function accessLogLabels(options: Pick<ManifestOptions, "plugin">): Record<string, string> {
  return {
    start_time: "%START_TIME%",
    method: "%REQ(:METHOD)%",
    // Without the query: keys may come by it, and although the filter takes them out, a key's neighbours are nobody's business either.
    path: "%REQ_WITHOUT_QUERY(X-ENVOY-ORIGINAL-PATH?:PATH)%",
    protocol: "%PROTOCOL%",
    authority: "%REQ(:AUTHORITY)%",
    response_code: "%RESPONSE_CODE%",
    response_code_details: "%RESPONSE_CODE_DETAILS%",
    response_flags: "%RESPONSE_FLAGS%",
    duration_ms: "%DURATION%",
    bytes_received: "%BYTES_RECEIVED%",
    bytes_sent: "%BYTES_SENT%",
    client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    upstream_cluster: "%UPSTREAM_CLUSTER%",
    upstream_host: "%UPSTREAM_HOST%",
    route_name: "%ROUTE_NAME%",
    request_id: "%REQ(X-REQUEST-ID)%",
    traceparent: "%REQ(TRACEPARENT)%",
    ...Object.fromEntries(
      callerClaims.map((claim) => [fieldName(claim), `%REQ(${claimHeader(claim, options).toUpperCase()})%`]),
    ),
    tollgate_unchecked: `%REQ(${claimHeader("unchecked", options).toUpperCase()})%`,
  };
}

export function telemetry(options: ManifestOptions): ManifestDocument {
  const { gateway } = options;
  return {
    comment:
      "Access log and trace tags of the gateway. The filter has set the headers that they read, or removed them: a client can't write into them.",
    object: {
      apiVersion: "telemetry.istio.io/v1",
      kind: "Telemetry",
      metadata: { name: pluginName, namespace: gateway.namespace },
      spec: {
        ...gatewayTarget(options),
        accessLogging: [{ providers: [{ name: accessLogProvider }] }],
        tracing: [
          {
            customTags: {
              ...Object.fromEntries(
                callerClaims.map((claim) => [
                  `tollgate.${claim.replaceAll("-", "_")}`,
                  { header: { name: claimHeader(claim, options), defaultValue: "-" } },
                ]),
              ),
              ...(hasFormatter(options)
                ? { "tollgate.reason": { formatter: { value: "%RESPONSE_CODE_DETAILS%" } } }
                : {}),
            },
          },
        ],
      },
    },
    comments: new Map([
      [
        "/spec/accessLogging",
        `Its format is of the mesh configuration (istio/install.yaml, extensionProviders ${accessLogProvider}): an API of its own Istio has not. Without that provider there is no access log.`,
      ],
      ["/spec/tracing", "Where traces go, the mesh configuration says."],
      ...(hasFormatter(options)
        ? ([
            [
              "/spec/tracing/0/customTags/tollgate.reason",
              "`tollgate_<reason>` where the filter refused (docs/operate/failure-modes.md), `via_upstream` where it didn't.",
            ],
          ] as const)
        : []),
    ]),
  };
}

/** Tags by a format string are newer than tags by a header; before, the reason is in the access log alone. */
function hasFormatter({ istioVersion: { major, minor } }: ManifestOptions): boolean {
  return major > 1 || minor >= 29;
}
