/** What a gateway counts, as its usage calls bring it (docs/internals/protocol.md). */
export interface UsageEntry {
  /** Unix minutes, by the gateway's clock */
  minute: number;
  /** wire id, 0: none */
  api: number;
  /** index in the API's routes; absent: none */
  route?: number | undefined;
  /** wire id, 0: none */
  consumer: number;
  /** first 16 bytes of the key's digest as hex; zeros: none */
  digest: string;
  /** metric code of the wire, count */
  counts: [metric: number, count: number][];
}

/** Where usage goes. A batch is applied once, whatever is sent again. */
export interface UsageSink {
  /** `lane` and `seq` name the batch. Resolves once it's durable. */
  record(
    environment: string,
    gateway: string,
    lane: bigint,
    seq: bigint,
    entries: readonly UsageEntry[],
  ): Promise<"applied" | "repeated">;
}
