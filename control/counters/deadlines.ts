/**
 * A time limit on each of many answers, by one timer for all of them. The client's own limit ends when a command is written, whatever the
 * server does then, and keeps a timer for each command until it's over: thousands a second fill the heap.
 */

interface Awaited {
  untilMs: number;
  reject: (error: Error) => void;
}

const looksPerLimit = 10;

export class Deadlines {
  /** in the order of their times */
  private readonly awaited = new Set<Awaited>();
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly limitMs: number) {}

  /** The answer, or an error when there is none in time, or a little later. */
  of<T>(answer: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const one: Awaited = { untilMs: performance.now() + this.limitMs, reject };
      this.awaited.add(one);
      this.timer ??= setInterval(() => this.look(), this.limitMs / looksPerLimit).unref();
      answer.then(resolve, reject).finally(() => this.awaited.delete(one));
    });
  }

  private look(): void {
    const nowMs = performance.now();
    for (const one of this.awaited) {
      if (one.untilMs > nowMs) break;
      this.awaited.delete(one);
      one.reject(new Error(`There was no answer within ${this.limitMs} ms.`));
    }
    if (this.awaited.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
