/** The plugin's configuration as the filter uses it, checked and with every default filled in. Times are in the unit that names end with. */
import { ascii } from "../lib/text";

export class KeySource {
  /** `name` is a lower-case header name, a decoded parameter's or a cookie's; empty for SOURCE_BEARER */
  constructor(
    public kind: i32,
    public name: StaticArray<u8>,
  ) {}
}

/** A consumer's claim that goes into a header of its own. */
export class Rename {
  /** `claim` is the claim's name as in the consumer's record, `header` a lower-case header name */
  constructor(
    public claim: StaticArray<u8>,
    public header: StaticArray<u8>,
  ) {}
}

const NOTHING: StaticArray<u8> = [];

/** Leads to the page of each reason. */
export const PROBLEM_TYPE_BASE = ascii("https://tollgate.dev/reasons/");

export class Config {
  /** nothing is configured: every request is refused */
  empty: bool = false;
  environment: StaticArray<u8> = NOTHING;

  /** keys come from control; otherwise from `snapshot` */
  hasControl: bool = false;
  cluster: StaticArray<u8> = NOTHING;
  authority: StaticArray<u8> = NOTHING;
  /** name of the VM's environment variable that holds the gateway token */
  tokenEnv: StaticArray<u8> = NOTHING;
  /** of a call that isn't a watch */
  timeoutMs: u32 = 5000;
  /** how long control may keep a watch waiting */
  waitMs: u32 = 25000;
  /** the frames of a snapshot, decoded; null with control */
  snapshot: StaticArray<u8> | null = null;

  sources: Array<KeySource> = [];

  claimPrefix: StaticArray<u8> = NOTHING;
  consumerHeader: StaticArray<u8> = NOTHING;
  tierHeader: StaticArray<u8> = NOTHING;
  keyIdHeader: StaticArray<u8> = NOTHING;
  scopesHeader: StaticArray<u8> = NOTHING;
  uncheckedHeader: StaticArray<u8> = NOTHING;
  /** the internal token's; empty: none is set */
  tokenHeader: StaticArray<u8> = NOTHING;
  renames: Array<Rename> = [];
  /** claim headers that don't begin with the prefix, which must be stripped from requests too */
  ownedNames: Array<StaticArray<u8>> = [];

  unknownApiAllow: bool = false;
  /** every upstream tells `/Admin` from `/admin` */
  pathCaseSensitive: bool = false;
  /** a reason's code completes it to the type of a problem */
  problemTypeBase: StaticArray<u8> = PROBLEM_TYPE_BASE;
  failOpen: bool = false;
  snapshotWaitTimeoutMs: u32 = 2000;
  maxSnapshotWaiters: u32 = 1024;
  /** 0: a snapshot never becomes too old */
  maxSnapshotAgeSeconds: u64 = 86400;
  /** how long a request waits for allowance, and how many may in each worker */
  limitWaitTimeoutMs: u32 = 1000;
  maxLimitWaiters: u32 = 1024;
  /** counters that are active in a worker at a time */
  maxCounters: u32 = 262144;
  responseSamplesPerSecond: u32 = 512;
  /** whom `auth.mode: mtls` believes: the connection's certificate, or the identity that a waypoint has passed on */
  peerAtWaypoint: bool = false;
  observe: bool = false;
  /** only while observing: the key goes on to the upstream */
  observeKeepsKey: bool = false;
}
