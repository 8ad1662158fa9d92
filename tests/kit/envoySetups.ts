/** The Envoys that the suites run in. */
import { ensureEnvoy } from "../../devstack/envoy/install.ts";
import { defaultEnvoyVersion, oldestEnvoyVersion } from "../../devstack/envoy/version.ts";

export interface Setup {
  name: string;
  version: string;
  workers: number;
}

const make = (version: string, workers: number): Setup => ({
  name: `Envoy ${version}, ${workers} worker${workers > 1 ? "s" : ""}`,
  version,
  workers,
});

/** The oldest and the newest, with one and with two workers. */
export const everySetup: readonly Setup[] = [
  make(oldestEnvoyVersion, 1),
  make(oldestEnvoyVersion, 2),
  make(defaultEnvoyVersion, 1),
  make(defaultEnvoyVersion, 2),
];

/** Each version and each number of workers once: for what takes long. */
export const twoSetups: readonly Setup[] = [make(oldestEnvoyVersion, 1), make(defaultEnvoyVersion, 2)];

/** For what needs no other: the newest with two workers, and the oldest with as many. */
export const newest: Setup = make(defaultEnvoyVersion, 2);
export const oldest: Setup = make(oldestEnvoyVersion, 2);

/** The path of the setup's Envoy, which is installed when it isn't there. */
export function binaryOf(setup: Setup): Promise<string> {
  return ensureEnvoy(setup.version);
}
