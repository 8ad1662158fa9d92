import { WasmResult } from "./abi.ts";

/** A wake-up that goes to one root context of whichever VM lives on that thread under that vm_id. */
export interface QueueListener {
  thread: number;
  contextId: number;
}

/** One process's shared data: a map per vm_id, a compare-and-set number from one counter for all. */
export class SharedData {
  readonly #byVmId = new Map<string, Map<string, { value: Buffer; cas: number }>>();
  #nextCas = 1;

  get(vmId: string, key: string): { value: Buffer; cas: number } | undefined {
    return this.#byVmId.get(vmId)?.get(key);
  }

  /** `cas` 0 sets always; on an absent key it is ignored and the set wins; else it must be the current one. Gives a WasmResult. */
  set(vmId: string, key: string, value: Buffer, cas: number): number {
    let data = this.#byVmId.get(vmId);
    if (data === undefined) this.#byVmId.set(vmId, (data = new Map()));
    const present = data.get(key);
    if (present !== undefined && cas !== 0 && cas !== present.cas) return WasmResult.CasMismatch;
    data.set(key, { value: Buffer.from(value), cas: this.#nextCas++ });
    return WasmResult.Ok;
  }

  /** Every key of a vm_id, for tests: a guest can't list them. Names may hold bytes (latin1). */
  keys(vmId: string): string[] {
    return [...(this.#byVmId.get(vmId)?.keys() ?? [])];
  }

  /** Bytes of all values of a vm_id. */
  byteSize(vmId: string): number {
    let sum = 0;
    for (const { value } of this.#byVmId.get(vmId)?.values() ?? []) sum += value.length;
    return sum;
  }

  /** What happens when the last VM of a vm_id is gone. */
  drop(vmId: string): void {
    this.#byVmId.delete(vmId);
  }
}

/** One process's shared queues. The last to register a name gets its wake-ups; what is queued stays. */
export class SharedQueues {
  readonly #tokens = new Map<string, number>();
  readonly #queues = new Map<number, { vmId: string; items: Buffer[]; listener: QueueListener }>();
  #nextToken = 1;

  register(vmId: string, name: string, listener: QueueListener): number {
    const key = `${vmId}\0${name}`;
    let token = this.#tokens.get(key);
    if (token === undefined) this.#tokens.set(key, (token = this.#nextToken++));
    const queue = this.#queues.get(token);
    if (queue === undefined) this.#queues.set(token, { vmId, items: [], listener });
    else queue.listener = listener;
    return token;
  }

  /** Gives the token, undefined when nobody registered that name. */
  resolve(vmId: string, name: string): number | undefined {
    return this.#tokens.get(`${vmId}\0${name}`);
  }

  /** Gives whom to wake, undefined for an unknown token. */
  enqueue(token: number, value: Buffer): { vmId: string; listener: QueueListener } | undefined {
    const queue = this.#queues.get(token);
    queue?.items.push(Buffer.from(value));
    return queue;
  }

  /** Gives the oldest item, or a WasmResult: NotFound or Empty. */
  dequeue(token: number): Buffer | number {
    const queue = this.#queues.get(token);
    if (queue === undefined) return WasmResult.NotFound;
    return queue.items.shift() ?? WasmResult.Empty;
  }

  /** How many items wait in a queue. */
  depth(token: number): number {
    return this.#queues.get(token)?.items.length ?? 0;
  }
}
