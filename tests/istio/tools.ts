/** istiod, istioctl and kustomize, built by Go from this folder's go.mod: the first time it takes some minutes. */
import { goTools } from "../kit/goTools.ts";

const packages = [
  "istio.io/istio/istioctl/cmd/istioctl",
  "istio.io/istio/pilot/cmd/pilot-discovery",
  "sigs.k8s.io/kustomize/kustomize/v5",
];

export interface IstioTools {
  istioctl: string;
  /** istiod */
  pilotDiscovery: string;
  kustomize: string;
}

const tools = goTools("istio", packages, () =>
  console.error("istiod, istioctl and kustomize are being built by Go: this takes some minutes, once."),
);

/** The tools; undefined when Go isn't there. */
export async function istioTools(): Promise<IstioTools | undefined> {
  const found = await tools;
  return (
    found && { istioctl: found["istioctl"]!, pilotDiscovery: found["pilot-discovery"]!, kustomize: found["kustomize"]! }
  );
}

/** Why a suite is skipped, to be said by name; false when it runs. */
export async function skipReason(): Promise<string | false> {
  return (await tools) === undefined ? "Go isn't on the PATH, and istiod is built by it (tests/istio/go.mod)" : false;
}
