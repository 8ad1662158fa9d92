/** Recalls on their way to other replicas. What comes while some are being told goes together with the next. */
import type { Recall } from "../counters/model.ts";
import type { CounterStore } from "../counters/store.ts";

/** More than this waiting means that the store is slow or away: gateways ask again, and their holders are recalled again. */
const most = 20_000;

export class RecallPost {
  readonly #store: Pick<CounterStore, "broadcast">;
  readonly #failed: (error: unknown) => void;
  #waiting: Recall[] = [];
  #running = false;

  constructor(store: Pick<CounterStore, "broadcast">, failed: (error: unknown) => void) {
    this.#store = store;
    this.#failed = failed;
  }

  send(recalls: readonly Recall[]): void {
    if (recalls.length === 0) return;
    this.#waiting = [...this.#waiting, ...recalls].slice(-most);
    if (!this.#running) void this.#run();
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#waiting.length > 0) await this.#store.broadcast(this.#waiting.splice(0)).catch(this.#failed);
    this.#running = false;
  }
}
