/** All that the checks judge, as it was answered: `tollgate doctor --save` writes it, `--from` reads it, tests keep recordings of it. */

/** Parsed JSON of somebody else's: read with care. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

export interface Evidence {
  /** the form of this evidence */
  version: 1;
  /** when it was gathered, by this machine's clock */
  takenMs: number;
  envoy: EnvoyEvidence | Unreached;
  control: ControlEvidence | Unreached;
  /** digests of the module, or of its image, that should run: hex, any of them will do; empty: nobody said */
  expectedSha256: string[];
}

/** Nobody answered, or nobody was asked. */
export interface Unreached {
  url: string;
  /** why there was no answer */
  unreached: string;
  /** it was not to be asked: then its silence is no fault */
  notAsked?: boolean;
}

/** An answer's Date header beside this machine's time, both in milliseconds. */
export interface ClockReading {
  theirMs: number;
  hereMs: number;
}

export interface EnvoyEvidence {
  url: string;
  clock: ClockReading | undefined;
  serverInfo: JsonObject;
  configDump: JsonObject;
  clusters: JsonObject;
  certs: JsonObject;
  stats: Record<string, number>;
  /** what Envoy says in words: versions that are in force */
  texts?: Record<string, string>;
  /** the same counters a moment later; absent when nothing had failed so far */
  later?: { afterMs: number; stats: Record<string, number> };
  /** digests of the modules whose files this machine has as well, by file name */
  moduleFiles: Record<string, string>;
}

export interface ControlEvidence {
  url: string;
  clock: ClockReading | undefined;
  healthy: boolean;
  /** `ready`, or why it isn't */
  ready: true | string;
  /** the admin token: what control made of it */
  admin: "accepted" | "refused" | "none";
  /** by environment, for those that the gateway's plugins name; only with a good admin token */
  environments: Record<string, ControlEnvironment>;
  /** refused and failed calls to the sync port by code; undefined when /metrics can't be read */
  syncProblems?: Record<string, number>;
}

export interface ControlEnvironment {
  /** control knows no such environment */
  missing?: boolean;
  version: number;
  gateways: {
    id: string;
    group: string;
    state: string;
    version: number;
    applied: number;
    lag: number;
    workers: number;
    lastContact: string;
  }[];
  gatewayTokens: { id: string; name: string; group: string; apis: string[] | null; expiresAt: string | null }[];
  apis: { id: string; mode: string }[];
}

export function reached<T extends object>(one: T | Unreached): one is T {
  return !("unreached" in one);
}
