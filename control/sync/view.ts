/** What a gateway group may see of an environment. */
import { createHash } from "node:crypto";

export class View {
  /** tells views apart: equal for equal visibility */
  readonly key: string;
  readonly #apis: ReadonlySet<string> | undefined;

  /** `apis`: ids of the visible APIs; null: all. */
  constructor(apis: readonly string[] | null) {
    this.#apis = apis === null ? undefined : new Set(apis);
    this.key =
      this.#apis === undefined
        ? ""
        : createHash("sha256")
            .update(JSON.stringify([...this.#apis].sort()))
            .digest("hex");
  }

  /** No API is out of sight, whatever is added. */
  get seesAll(): boolean {
    return this.#apis === undefined;
  }

  sees(apiId: string): boolean {
    return this.#apis === undefined || this.#apis.has(apiId);
  }

  /** The epoch for gateways with this view: the environment's own when all is visible, else one that depends on what is. Never 0. */
  epoch(environmentEpoch: bigint): bigint {
    const epoch =
      this.#apis === undefined
        ? environmentEpoch
        : createHash("sha256").update(`${environmentEpoch} ${this.key}`).digest().readBigUInt64LE(0);
    return epoch === 0n ? 1n : epoch;
  }
}
