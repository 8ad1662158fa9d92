/** A lane as the wire's document describes it: numbers its calls, has one in flight, sends it again unchanged when it wasn't answered. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type LeaseAnswer, leaseAction, type LeaseOp } from "../../control/counters/model.ts";
import { epochText } from "../../control/sync/frames.ts";
import { leasesFrame } from "../../control/sync/leaseFrames.ts";
import type { DecodedFrame } from "../../control/sync/reader.ts";
import { usageFrame } from "../../control/sync/usageFrames.ts";
import { CONTENT_TYPE } from "../../control/sync/wire.ts";
import type { UsageEntry } from "../../control/usage/model.ts";
import { framesOf, type HttpAnswer } from "./gateway.ts";

export interface LaneOptions {
  url: string;
  token?: string;
  /** `<node id>~<boot id>` */
  gateway?: string;
  environment?: string;
  epoch: bigint;
  lane?: bigint;
}

export type LeasesAnswerFrame = Extract<DecodedFrame, { type: "leasesAnswer" }>;

export class LaneClient {
  /** changed to send calls elsewhere, as to another replica */
  url: string;
  epoch: bigint;
  readonly lane: bigint;
  readonly gateway: string;
  /** numbers of the last calls */
  seq = 0n;
  usageSeq = 0n;
  /** the last call for leases, as it was sent */
  body: Buffer = Buffer.alloc(0);
  readonly #token: string;
  readonly #environment: string;

  constructor({
    url,
    token = "token",
    gateway = "node~1",
    environment = "default",
    epoch,
    lane = randomBytes(8).readBigUInt64LE() | 1n,
  }: LaneOptions) {
    this.url = url;
    this.epoch = epoch;
    this.lane = lane;
    this.gateway = gateway;
    this.#token = token;
    this.#environment = environment;
  }

  /** Sends bytes; `more` replaces parameters. */
  async post(
    path: "leases" | "usage",
    body: Uint8Array,
    more: Record<string, string> = {},
    headers: Record<string, string> = {},
  ): Promise<HttpAnswer> {
    const query = new URLSearchParams({
      environment: this.#environment,
      gateway: this.gateway,
      epoch: epochText(this.epoch),
      ...more,
    });
    const response = await fetch(`${this.url}/sync/v1/${path}?${query}`, {
      method: "POST",
      body,
      headers: { authorization: `Bearer ${this.#token}`, "content-type": CONTENT_TYPE, ...headers },
    });
    return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) };
  }

  /** The next call. Gives the answers to its ops. */
  async call(...ops: LeaseOp[]): Promise<LeaseAnswer[]> {
    this.next(...ops);
    return (await this.send()).answers;
  }

  async ask(wireId: number, subject: string, fields: Partial<LeaseOp> = {}): Promise<LeaseAnswer> {
    return (await this.call(ask(wireId, subject, fields)))[0]!;
  }

  /** Makes the next call, to be sent. */
  next(...ops: LeaseOp[]): Buffer {
    this.body = leasesFrame({ epoch: this.epoch, seq: ++this.seq, lane: this.lane, ops });
    return this.body;
  }

  /** Sends the last call, perhaps again. Fails unless it's answered. */
  async send(): Promise<LeasesAnswerFrame> {
    const answer = await this.post("leases", this.body);
    assert.equal(answer.status, 200, answer.bytes.toString());
    assert.equal(answer.headers.get("content-type"), CONTENT_TYPE);
    const [frame, ...more] = framesOf(answer.bytes);
    assert.ok(frame?.type === "leasesAnswer" && more.length === 0);
    assert.deepEqual([frame.epoch, frame.version, frame.lane], [this.epoch, this.seq, this.lane]);
    return frame;
  }

  /** Sends a batch of usage, the next one or again the one with this number. */
  async usage(entries: readonly UsageEntry[], seq: bigint = ++this.usageSeq): Promise<void> {
    const answer = await this.post(
      "usage",
      usageFrame({ epoch: this.epoch, seq, lane: this.lane, entries: [...entries] }),
    );
    assert.equal(answer.status, 200, answer.bytes.toString());
    const [frame, ...more] = framesOf(answer.bytes);
    assert.ok(frame?.type === "usageAnswer" && more.length === 0);
    assert.deepEqual([frame.epoch, frame.version, frame.lane], [this.epoch, seq, this.lane]);
  }
}

export function ask(wireId: number, subject: string, { actions = 0, ...fields }: Partial<LeaseOp> = {}): LeaseOp {
  return {
    wireId,
    subject,
    windowStartMs: 0,
    held: 0,
    returned: 0,
    need: 1,
    want: 1,
    ...fields,
    actions: actions | leaseAction.ask,
  };
}

export function report(
  wireId: number,
  subject: string,
  windowStartMs: number,
  held: number,
  returned: number,
  actions = 0,
): LeaseOp {
  return { wireId, subject, actions, windowStartMs, held, returned, need: 0, want: 0 };
}
