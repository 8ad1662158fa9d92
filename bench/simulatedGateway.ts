/** A gateway as control sees it: one lane that asks for allowance over its own connection, spends half of what it was granted, and asks again. */
import { Agent, request } from "node:http";
import { leaseAction, type LeaseAnswer, type LeaseOp, verdict } from "../control/counters/model.ts";
import { epochText } from "../control/sync/frames.ts";
import { leasesFrame } from "../control/sync/leaseFrames.ts";
import { decodeFrames, type DecodedFrame } from "../control/sync/reader.ts";
import { CONTENT_TYPE } from "../control/sync/wire.ts";
import { environment } from "./workload.ts";

const wantEach = 16;

/** What a gateway must know to make calls. */
export interface Feed {
  port: number;
  token: string;
  epoch: bigint;
  /** wire ids */
  limits: readonly number[];
}

interface Held {
  wireId: number;
  subject: string;
  windowStartMs: number;
  allowance: number;
}

export class SimulatedGateway {
  private readonly agent = new Agent({ keepAlive: true, maxSockets: 1 });
  private readonly name: string;
  private readonly lane: bigint;
  private readonly held: Held[];
  private seq = 0n;
  private turn = 0;

  /** `subjects`: of the keys that send their requests through this gateway. */
  constructor(
    private readonly feed: Feed,
    index: number,
    subjects: readonly string[],
  ) {
    this.name = `router~10.${index >> 16}.${(index >> 8) & 255}.${index & 255}~gateway.istio-system~cluster.local~boot`;
    this.lane = (BigInt(process.hrtime.bigint()) << 16n) ^ BigInt(index + 1);
    this.held = subjects.flatMap((subject) =>
      feed.limits.map((wireId) => ({ wireId, subject, windowStartMs: 0, allowance: 0 })),
    );
  }

  /** Asks for the next `count` counters in turn. Throws unless all are granted. */
  async call(count: number): Promise<void> {
    const asking = Array.from({ length: count }, () => this.held[this.turn++ % this.held.length]!);
    const ops = asking.map((counter): LeaseOp => {
      counter.allowance = Math.floor(counter.allowance / 2);
      const { wireId, subject, windowStartMs, allowance } = counter;
      return {
        wireId,
        actions: leaseAction.ask,
        subject,
        windowStartMs,
        held: windowStartMs === 0 ? 0 : allowance,
        returned: 0,
        need: 1,
        want: wantEach,
      };
    });
    const body = leasesFrame({
      epoch: this.feed.epoch,
      seq: ++this.seq,
      lane: this.lane & 0xffff_ffff_ffff_ffffn,
      ops,
    });
    const [frame] = framesOf(
      await exchange(
        this.feed,
        this.agent,
        `leases?environment=${environment}&gateway=${encodeURIComponent(this.name)}&epoch=${epochText(this.feed.epoch)}`,
        body,
      ),
    );
    if (frame?.type !== "leasesAnswer" || frame.version !== this.seq || frame.answers.length !== count)
      throw new Error("the answer is not what was asked for");
    frame.answers.forEach((answer, index) => take(asking[index]!, answer));
  }

  close(): void {
    this.agent.destroy();
  }
}

function take(counter: Held, answer: LeaseAnswer): void {
  if (answer.verdict !== verdict.granted) throw new Error(`an ask got verdict ${answer.verdict}`);
  if (counter.windowStartMs !== answer.windowStartMs) counter.allowance = 0;
  counter.windowStartMs = answer.windowStartMs;
  counter.allowance += answer.granted;
}

/** The epoch and the limits, as a gateway learns them: from a snapshot. */
export async function readFeed(port: number, token: string): Promise<Feed> {
  const agent = new Agent();
  const identity = (epoch: bigint, version: bigint): string =>
    `environment=${environment}&gateway=reader~boot&epoch=${epochText(epoch)}&version=${version}`;
  const [manifest] = framesOf(await exchange({ port, token }, agent, `watch?${identity(0n, 0n)}&waitMs=0`));
  if (manifest?.type !== "manifest") throw new Error("control gave no snapshot");
  const limits: number[] = [];
  for (let index = 0; index < manifest.counts.pageCount; index++) {
    const [page] = framesOf(
      await exchange({ port, token }, agent, `pages/${index}?${identity(manifest.epoch, manifest.version)}`),
    );
    if (page?.type === "page")
      limits.push(...page.records.flatMap((record) => (record.type === "limit" ? [record.wireId] : [])));
  }
  return { port, token, epoch: manifest.epoch, limits };
}

function framesOf(bytes: Buffer): DecodedFrame[] {
  const decoded = decodeFrames(bytes);
  if (!decoded.ok) throw new Error(`control's answer can't be read: ${decoded.error.detail}`);
  return decoded.frames;
}

/** One call of the sync port; with a body it's a POST. Throws unless the answer is 200. */
function exchange(
  { port, token }: Pick<Feed, "port" | "token">,
  agent: Agent,
  call: string,
  body?: Buffer,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const headers = {
      authorization: `Bearer ${token}`,
      ...(body === undefined ? {} : { "content-type": CONTENT_TYPE, "content-length": body.length }),
    };
    const sent = request(
      {
        host: "127.0.0.1",
        port,
        path: `/sync/v1/${call}`,
        method: body === undefined ? "GET" : "POST",
        headers,
        agent,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const bytes = Buffer.concat(chunks);
          if (answer.statusCode === 200) resolve(bytes);
          else
            reject(
              new Error(`${call.split("?")[0]} was answered ${answer.statusCode}: ${bytes.toString("utf8", 0, 500)}`),
            );
        });
      },
    );
    sent.on("error", reject);
    sent.end(body);
  });
}
