/**
 * A feed: one environment as one control service gives it to one group of gateways. All roots of a VM with the same feed share one table.
 *
 * In shared data, under `tg1/<hash>/`:
 * ```
 *   head        where the feed stands (class Head), written by the leader alone, by compare-and-set
 *   lease       who leads (lease.ts)
 *   stage       how far the next generation has arrived (stage.ts)
 *   p<0|1>/<i>  the page frames of the current generation and of the one that is arriving
 *   l<0|1>/<i>  chunks of the log: delta frames since the snapshot, in order
 *   v<i>        the VMs that take part: nonce, last seen, applied version
 *   resync      the generation that a worker found to be broken
 *   g/<i>       counters of the Envoy's own (limits/cells.ts)
 *   recalls     counters of which others want back what is parked (limits/recalls.ts)
 *   o<i>…       usage on its way to control (outbox.ts)
 * ```
 * Other plugins may share the name space, so all that is read is checked.
 */
import { cas, getShared, setShared, value, valueBytes, wake } from "./abi/host";
import { scratch } from "./abi/memory";
import { crc32 } from "./crc32";
import { Follower } from "./follower";
import { Counters } from "./limits/counters";
import { Lane } from "./limits/lane";
import { Leader } from "./leader";
import { Members } from "./members";
import { Outbox } from "./outbox";
import { Table } from "./table";
import { Meter } from "./telemetry";
import { Text } from "./text";
import { TokenCalls } from "./tokens/calls";
import { Usage } from "./usage";

const HEAD_MAGIC: u32 = 0x31484754;

export const STATUS_OK: u32 = 0;
export const STATUS_UNREACHABLE: u32 = 1;
export const STATUS_REFUSED: u32 = 2;
export const STATUS_NEWER_FORMAT: u32 = 3;
export const STATUS_BROKEN: u32 = 4;

// @ts-ignore: decorator
@unmanaged
export class Head {
  magic: u32;
  /** raised with every new leader */
  term: u32;
  epoch: u64;
  /** of the pages */
  baseVersion: u64;
  /** of pages and log together */
  version: u64;
  /** Nothing is decided by this generation before the log has reached this version: the pages alone may be old. */
  leastVersion: u64;
  /** of the pages; 0 = no snapshot yet */
  generation: u32;
  pages: u32;
  chunks: u32;
  status: u32;
  /** when control last answered, monotonic nanoseconds */
  contactNs: u64;
  keyCount: u32;
  consumerCount: u32;
  tierCount: u32;
  apiCount: u32;
  limitCount: u32;
  /** pages of the previous generation that are still to be emptied */
  oldPages: u32;
  totalBytes: u64;
  logBytes: u64;
  crc: u32;
}

const HEAD_BYTES: u32 = offsetof<Head>();

/** Names in shared data are put together here. */
const shared = new Text(96);

export class Feed {
  head: Head = changetype<Head>(heap.alloc(HEAD_BYTES));
  private headCas: u32 = 0;
  /** whether the head in shared data could be read at the last tick; `head` is the last one that could */
  headSound: bool = false;

  table: Table | null = null;
  /** of the table that the counters belong to */
  tableEpoch: u64 = 0;
  /** when control last confirmed what the table holds, monotonic nanoseconds */
  confirmedNs: u64 = 0;
  /** a stream of this VM needs the table */
  serving: bool = false;
  /** It was not watched for a while: nothing is believed until control has answered after this time. 0 = believed. */
  unprovenSinceNs: u64 = 0;

  /** the root on whose ticks and calls the feed lives, and when it last ticked */
  owner: u32 = 0;
  ownerTickNs: u64 = 0;

  leader: Leader = new Leader();
  follower: Follower = new Follower();
  members: Members = new Members();
  counters: Counters = new Counters();
  lane: Lane = new Lane();
  usage: Usage = new Usage();
  outbox: Outbox = new Outbox();
  tokens: TokenCalls = new TokenCalls();

  /** No control is behind it: the gateway is standalone, and only counts together with the other workers. */
  get isLocal(): bool { return this.cluster.length == 0; }

  constructor(
    public hash: u64,
    public environment: StaticArray<u8>,
    public cluster: StaticArray<u8>,
    public authority: StaticArray<u8>,
    public token: StaticArray<u8>,
    public timeoutMs: u32,
    public waitMs: u32,
    public meter: Meter,
  ) {
    memory.fill(changetype<usize>(this.head), 0, HEAD_BYTES);
  }

  /** The table, when it may decide requests. */
  get believed(): Table | null {
    return this.unprovenSinceNs != 0 ? null : this.table;
  }

  /** A name in the feed's part of shared data, in a buffer that the next call overwrites. */
  name(what: string): Text {
    return shared.clear().add("tg1/").hex(this.hash).byte(0x2f).add(what);
  }

  pageName(generation: u32, index: u32): Text {
    return this.name("p").num(generation & 1).byte(0x2f).num(index);
  }

  chunkName(generation: u32, index: u32): Text {
    return this.name("l").num(generation & 1).byte(0x2f).num(index);
  }

  /** Reads the head. False when there is none, or none that is sound. */
  readHead(): bool {
    const n = this.name("head");
    if (!getShared(n.start, n.bytes)) {
      this.headCas = 0;
      return false;
    }
    this.headCas = cas();
    if (valueBytes() != HEAD_BYTES) return false;
    const read = changetype<Head>(value());
    if (read.magic != HEAD_MAGIC || read.crc != crc32(value(), HEAD_BYTES - 4)) return false;
    memory.copy(changetype<usize>(this.head), value(), HEAD_BYTES);
    if (this.unprovenSinceNs != 0 && this.head.contactNs > this.unprovenSinceNs) this.unprovenSinceNs = 0;
    return true;
  }

  /** Writes the head where nobody has since it was read. False: somebody has. */
  writeHead(): bool {
    const head = this.head;
    head.magic = HEAD_MAGIC;
    head.crc = crc32(changetype<usize>(head), HEAD_BYTES - 4);
    const at = scratch(HEAD_BYTES);
    if (at == 0) return false;
    memory.copy(at, changetype<usize>(head), HEAD_BYTES);
    const n = this.name("head");
    return setShared(n.start, n.bytes, at, HEAD_BYTES, this.headCas == 0 ? 0xffffffff : this.headCas) == 0 && this.readHead();
  }

  /** Gives back what lies outside of the collector's reach; no root uses the feed any more. */
  free(): void {
    const table = this.table;
    if (table != null) table.free();
    this.table = null;
    this.follower.dropAside();
    this.leader.free();
    this.lane.free();
    this.usage.free();
    this.tokens.free();
    this.counters.slab.clear();
    heap.free(changetype<usize>(this.head));
  }

  /** Wakes this VM's own queue, so that work goes on after what Envoy has to do in between. */
  wakeSelf(): void {
    if (this.members.queue != 0) wake(this.members.queue);
  }
}
