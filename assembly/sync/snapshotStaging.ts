/**
 * The generation that is arriving, page by page. It lies in shared data too, so that a leader's successor goes on where it stopped.
 *
 * ```
 *   stage, 72 bytes:  u64 epoch | u64 version | u32 generation | u32 next page | 40 bytes of manifest | u64 least version
 * ```
 */
import { OK, getShared, setShared, value, valueBytes } from "../abi/host";
import { scratch } from "../abi/memory";
import { SharedState } from "../gateway/sharedState";
import { Manifest, frameBase, frameEpoch, frameVersion, manifestOf } from "../wire/frame";

const STAGE_BYTES: u32 = 72;
const MANIFEST_BYTES: u32 = 40;

export class SnapshotStaging {
  constructor(private state: SharedState) {}

  private at: usize = heap.alloc(72);
  active: bool = false;

  // @ts-ignore: decorator
  @inline
  get epoch(): u64 {
    return load<u64>(this.at);
  }
  // @ts-ignore: decorator
  @inline
  get version(): u64 {
    return load<u64>(this.at, 8);
  }
  // @ts-ignore: decorator
  @inline
  get generation(): u32 {
    return load<u32>(this.at, 16);
  }
  // @ts-ignore: decorator
  @inline
  get nextPage(): u32 {
    return load<u32>(this.at, 20);
  }
  // @ts-ignore: decorator
  @inline
  get manifest(): Manifest {
    return changetype<Manifest>(this.at + 24);
  }
  // @ts-ignore: decorator
  @inline
  get leastVersion(): u64 {
    return load<u64>(this.at, 64);
  }

  free(): void {
    heap.free(this.at);
  }

  /** Begins what a manifest's frame announces, or goes on with it when it's the same. */
  begin(frame: usize): bool {
    if (!this.active || this.epoch != frameEpoch(frame) || this.version != frameVersion(frame)) {
      store<u64>(this.at, frameEpoch(frame));
      store<u64>(this.at, frameVersion(frame), 8);
      store<u32>(this.at, this.state.head.generation + 1, 16);
      store<u32>(this.at, 0, 20);
      memory.copy(this.at + 24, changetype<usize>(manifestOf(frame)), MANIFEST_BYTES);
    }
    store<u64>(this.at, frameBase(frame), 64);
    this.active = true;
    return this.save();
  }

  /** The next page has arrived. */
  advance(): bool {
    store<u32>(this.at, this.nextPage + 1, 20);
    return this.save();
  }

  drop(): void {
    this.active = false;
    store<u32>(this.at, 0, 20);
    this.save();
  }

  /** Takes over what a predecessor had begun, if it continues the state. */
  resume(): void {
    const n = this.state.name("stage");
    this.active =
      getShared(n.start, n.bytes) &&
      valueBytes() == STAGE_BYTES &&
      load<u32>(value(), 16) == this.state.head.generation + 1 &&
      load<u32>(value(), 20) > 0;
    if (this.active) memory.copy(this.at, value(), STAGE_BYTES);
  }

  private save(): bool {
    const at = scratch(STAGE_BYTES);
    if (at == 0) return false;
    memory.copy(at, this.at, STAGE_BYTES);
    const n = this.state.name("stage");
    return setShared(n.start, n.bytes, at, STAGE_BYTES, 0) == OK;
  }
}
