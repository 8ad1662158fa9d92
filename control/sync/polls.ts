/** Long polls that wait for news. One sweep ends those whose time is over; none has a timer of its own. */
import type { Answer, EnvironmentFeed } from "./feed.ts";
import { SyncProblem } from "./problems.ts";
import { gatewayKey } from "./recalls.ts";
import type { Grant } from "./tokens.ts";

export interface PollRequest {
  feed: EnvironmentFeed;
  tokenDigest: string;
  /** by `gatewayName` */
  gateway: string;
  grant: Grant;
  epoch: bigint;
  version: bigint;
  /** by the clock given to `sweep` */
  deadlineMs: number;
}

export interface PollBounds {
  overall: number;
  perToken: number;
}

interface PollAnswer extends Answer {
  /** when the news came that it brings (performance.now); absent: its time was over */
  wokenMs?: number;
}

/** A waiting call. */
export interface Poll {
  /** undefined: it was dropped */
  answer: Promise<PollAnswer | undefined>;
  /** the caller is gone */
  drop(): void;
}

interface Waiting extends PollRequest {
  resolve(answer: PollAnswer | undefined): void;
  reject(error: unknown): void;
  looking: boolean;
  lookAgain: boolean;
  wokenMs: number;
}

export class Polls {
  readonly #bounds: PollBounds;
  readonly #waiting = new Set<Waiting>();
  readonly #byToken = new Map<string, number>();
  /** by `gatewayKey` */
  readonly #byGateway = new Map<string, Set<Waiting>>();

  constructor(bounds: PollBounds) {
    this.#bounds = bounds;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /** Digests of the tokens in use. */
  tokens(): string[] {
    return [...this.#byToken.keys()];
  }

  /** The environments' feeds that someone waits for. */
  feeds(): Set<EnvironmentFeed> {
    return new Set([...this.#waiting].map((poll) => poll.feed));
  }

  /** Answers as soon as there is something newer. Throws SyncProblem when too many wait already. */
  park(request: PollRequest): Poll {
    const ofToken = this.#byToken.get(request.tokenDigest) ?? 0;
    if (this.#waiting.size >= this.#bounds.overall)
      throw new SyncProblem("polls_exhausted", `${this.#bounds.overall} calls wait already; run more replicas`);
    if (ofToken >= this.#bounds.perToken)
      throw new SyncProblem(
        "polls_exhausted",
        `${this.#bounds.perToken} calls of this token wait already; give groups of gateways tokens of their own`,
      );
    let poll!: Waiting;
    const answer = new Promise<PollAnswer | undefined>((resolve, reject) => {
      poll = { ...request, resolve, reject, looking: false, lookAgain: false, wokenMs: performance.now() };
    });
    this.#byToken.set(request.tokenDigest, ofToken + 1);
    this.#waiting.add(poll);
    const key = gatewayKey(request.grant.environment, request.gateway);
    const ofGateway = this.#byGateway.get(key);
    if (ofGateway === undefined) this.#byGateway.set(key, new Set([poll]));
    else ofGateway.add(poll);
    // news may have come between the caller's own look and this one
    void this.#look(poll);
    const drop = (): void => {
      if (this.#leave(poll)) poll.resolve(undefined);
    };
    return { answer, drop };
  }

  /** There may be news of this environment. */
  moved(feed: EnvironmentFeed): void {
    const nowMs = performance.now();
    for (const poll of this.#waiting) {
      if (poll.feed !== feed) continue;
      if (!poll.looking) poll.wokenMs = nowMs;
      void this.#look(poll);
    }
  }

  /** Whether a gateway, by `gatewayKey`, waits here. */
  has(gateway: string): boolean {
    return this.#byGateway.has(gateway);
  }

  /** Ends the polls of a gateway, by `gatewayKey`, with what `answer` gives for them. */
  interrupt(gateway: string, answer: (request: PollRequest) => Answer): void {
    for (const poll of this.#byGateway.get(gateway) ?? []) if (this.#leave(poll)) poll.resolve(answer(poll));
  }

  /** Ends the polls whose time is over. */
  sweep(nowMs: number): void {
    for (const poll of this.#waiting) if (nowMs >= poll.deadlineMs) this.#end(poll);
  }

  /** The token's grant as it is now; undefined: it's no longer valid, and its polls end. */
  granted(tokenDigest: string, grant: Grant | undefined): void {
    for (const poll of this.#waiting) {
      if (poll.tokenDigest !== tokenDigest) continue;
      if (grant === undefined || grant.environment !== poll.grant.environment)
        this.#fail(poll, new SyncProblem("token_unknown", "the token is no longer valid"));
      else if (grant.view.key !== poll.grant.view.key) {
        poll.grant = grant;
        void this.#look(poll);
      }
    }
  }

  /** Ends all polls as if their time were over. */
  endAll(): void {
    for (const poll of this.#waiting) this.#end(poll);
  }

  /** Looks for news; once at a time for each poll, and once more when there was a move meanwhile. */
  async #look(poll: Waiting): Promise<void> {
    poll.lookAgain = true;
    if (poll.looking) return;
    poll.looking = true;
    try {
      while (poll.lookAgain && this.#waiting.has(poll)) {
        poll.lookAgain = false;
        const answer = await poll.feed.catchUp(poll.grant.view, poll.epoch, poll.version);
        if (answer !== undefined && this.#leave(poll)) poll.resolve({ ...answer, wokenMs: poll.wokenMs });
      }
    } catch (error) {
      this.#fail(poll, error);
    } finally {
      poll.looking = false;
    }
  }

  #end(poll: Waiting): void {
    // a look that is under way brings better news than a heartbeat, or fails; it's not waited for
    if (this.#leave(poll)) poll.resolve(poll.feed.heartbeat(poll.grant.view));
  }

  #fail(poll: Waiting, error: unknown): void {
    if (this.#leave(poll)) poll.reject(error);
  }

  /** False when it was answered or dropped already. */
  #leave(poll: Waiting): boolean {
    if (!this.#waiting.delete(poll)) return false;
    const left = (this.#byToken.get(poll.tokenDigest) ?? 1) - 1;
    if (left > 0) this.#byToken.set(poll.tokenDigest, left);
    else this.#byToken.delete(poll.tokenDigest);
    const key = gatewayKey(poll.grant.environment, poll.gateway);
    const ofGateway = this.#byGateway.get(key);
    ofGateway?.delete(poll);
    if (ofGateway?.size === 0) this.#byGateway.delete(key);
    return true;
  }
}
