/**
 * What one Envoy knows of one environment, as one control plane gives it to one group of gateways: the head in shared data that all its VMs
 * read, this VM's table, and how far both are believed.
 *
 * In shared data, under `tg1/<hash>/`:
 * ```
 *   head        where the snapshot stands (class Head), written by the leader alone, by compare-and-set
 *   lease       which VM leads (sync/leaderLock.ts)
 *   stage       how far the next generation has arrived (sync/snapshotStaging.ts)
 *   p<0|1>/<i>  the page frames of the current generation and of the one that is arriving
 *   l<0|1>/<i>  chunks of the log: delta frames since the snapshot, in order
 *   v<i>        the VMs that take part: nonce, last seen, applied version
 *   resync      the generation that a worker found to be broken
 *   g/<i>       the gateway's own counters (limits/gatewayCounters.ts)
 *   recalls     counters whose parked allowance others want back (gateway/recallRing.ts)
 *   o<i>…       usage on its way to the control plane (usage/outbox.ts)
 * ```
 * Other plugins may share the name space, so everything read is checked.
 */
import { cas, getShared, setShared, value, valueBytes, wake } from "../abi/host";
import { scratch } from "../abi/memory";
import { crc32 } from "../lib/crc32";
import { Table } from "../snapshot/table";
import { Meter } from "../telemetry";
import { Text } from "../lib/text";

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

export class SharedState {
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

  /** the token of this VM's queue, 0 before it's registered */
  queue: u32 = 0;

  /** There is no control plane: the gateway is standalone, and its workers share only their counters. */
  get isLocal(): bool {
    return this.cluster.length == 0;
  }

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

  /** A name in this environment's part of shared data, in a buffer that the next call overwrites. */
  name(what: string): Text {
    return shared.clear().add("tg1/").hex(this.hash).byte(0x2f).add(what);
  }

  pageName(generation: u32, index: u32): Text {
    return this.name("p")
      .num(generation & 1)
      .byte(0x2f)
      .num(index);
  }

  chunkName(generation: u32, index: u32): Text {
    return this.name("l")
      .num(generation & 1)
      .byte(0x2f)
      .num(index);
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
    return (
      setShared(n.start, n.bytes, at, HEAD_BYTES, this.headCas == 0 ? 0xffffffff : this.headCas) == 0 && this.readHead()
    );
  }

  /** Frees what lies outside the collector's reach, once no root uses the state any more. */
  free(): void {
    const table = this.table;
    if (table != null) table.free();
    this.table = null;
    heap.free(changetype<usize>(this.head));
  }

  /** Wakes this VM's own queue, so that work goes on after what Envoy has to do in between. */
  wakeSelf(): void {
    if (this.queue != 0) wake(this.queue);
  }
}
