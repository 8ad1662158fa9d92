/** How many lanes of an environment are alive. It only sizes shares, so it may be a second old. */
const keptMs = 1000;

export class LanesAlive {
  private readonly known = new Map<string, { count: number; atMs: number }>();

  async get(environment: string, nowMs: number, count: () => Promise<number>): Promise<number> {
    const last = this.known.get(environment);
    if (last !== undefined && Math.abs(nowMs - last.atMs) <= keptMs) return last.count;
    const fresh = { count: await count(), atMs: nowMs };
    this.known.set(environment, fresh);
    return fresh.count;
  }
}
