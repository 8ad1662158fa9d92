/** All checks, in the order of causes: what stands first explains what follows. */
import type { Evidence } from "./evidence.ts";
import type { Check, Finding } from "./model.ts";
import { bearerKeys } from "./checks/bearerKeys.ts";
import { certificates } from "./checks/certificates.ts";
import { clocks } from "./checks/clocks.ts";
import { controlCluster } from "./checks/controlCluster.ts";
import { controlClusterHealth } from "./checks/controlClusterHealth.ts";
import { controlReachable } from "./checks/controlReachable.ts";
import { envoyReachable } from "./checks/envoyReachable.ts";
import { failurePolicy } from "./checks/failurePolicy.ts";
import { gatewayKnown } from "./checks/gatewayKnown.ts";
import { gatewayToken } from "./checks/gatewayToken.ts";
import { gatewayTokens } from "./checks/gatewayTokens.ts";
import { internalTokens } from "./checks/internalTokens.ts";
import { leases } from "./checks/leases.ts";
import { moduleDigest } from "./checks/moduleDigest.ts";
import { pluginConfiguration } from "./checks/pluginConfiguration.ts";
import { pluginLoaded } from "./checks/pluginLoaded.ts";
import { pluginPhase } from "./checks/pluginPhase.ts";
import { sharedNames } from "./checks/sharedNames.ts";
import { snapshot } from "./checks/snapshot.ts";
import { syncCalls } from "./checks/syncCalls.ts";
import { tokenVariable } from "./checks/tokenVariable.ts";
import { tokenVerification } from "./checks/tokenVerification.ts";
import { vmTraps } from "./checks/vmTraps.ts";

const checks: readonly Check[] = [
  envoyReachable,
  controlReachable,
  pluginLoaded,
  pluginConfiguration,
  moduleDigest,
  pluginPhase,
  tokenVerification,
  bearerKeys,
  sharedNames,
  failurePolicy,
  tokenVariable,
  controlCluster,
  controlClusterHealth,
  gatewayToken,
  syncCalls,
  snapshot,
  gatewayKnown,
  gatewayTokens,
  leases,
  internalTokens,
  clocks,
  certificates,
  vmTraps,
];

export function examine(evidence: Evidence): Finding[] {
  return checks.flatMap(({ id, look }) => look(evidence).map((said) => ({ id, ...said })));
}
