/** Calls for internal tokens: read, signed, answered. Nothing is kept, so that a call that is sent again is simply answered again. */
import type { Issuer, TokenAnswer, TokenAsk } from "../internalTokens/issuer.ts";
import type { Caller } from "../internalTokens/store.ts";
import type { Catalogs } from "./catalogs.ts";
import type { EnvironmentFeed } from "./feed.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import type { Refusals } from "./refusals.ts";
import { readTokensCall, tokensAnswerFrame } from "./tokenFrames.ts";
import type { WireTokenAnswer, WireTokenAsk } from "./tokenPayload.ts";
import { canCall } from "./tokenScope.ts";
import type { Grant } from "./tokens.ts";

export class TokenCalls {
  readonly #issuer: Issuer;
  readonly #catalogs: Catalogs;
  readonly #metrics: SyncMetrics;
  readonly #refusals: Refusals;

  constructor(issuer: Issuer, catalogs: Catalogs, metrics: SyncMetrics, refusals: Refusals) {
    this.#issuer = issuer;
    this.#catalogs = catalogs;
    this.#metrics = metrics;
    this.#refusals = refusals;
  }

  /** The answer's frame. Throws SyncProblem, and what the store throws: the call is to be sent again then. */
  async answer(body: Buffer, gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const call = readTokensCall(body);
    if (!(await feed.isCurrent(grant.view, call.epoch)))
      throw new SyncProblem(
        "epoch_changed",
        "wire ids of that epoch mean nothing any more: load the snapshot and ask again",
      );
    const asks = call.asks.map(askOf);
    const issued = await this.#issuer.issue(
      grant.environment,
      asks.filter((ask) => ask !== undefined),
      await this.#allowed(gateway, grant, feed),
    );
    const answers = asks.map((ask): TokenAnswer => (ask === undefined ? { verdict: "unknown" } : issued.shift()!));
    for (const { verdict } of answers) this.#metrics.tokens.inc({ verdict });
    return tokensAnswerFrame(
      call,
      Date.now(),
      answers.map((answer, index) => answerOf(call.asks[index]!.id, answer)),
    );
  }

  /** Whether a caller's token is given out under this grant. */
  async #allowed(
    gateway: string,
    grant: Grant,
    feed: EnvironmentFeed,
  ): Promise<(ask: TokenAsk, caller: Caller) => boolean> {
    if (grant.view.seesAll) return () => true;
    const catalog = this.#catalogs.of(grant.environment);
    await catalog.reach(feed.state?.version ?? 0n);
    const apis = catalog.visibleApis(grant.view);
    return ({ kind }, caller) => {
      const allowed = canCall(apis, kind, caller);
      if (!allowed) this.#refusals.note("tokens", grant, gateway, { caller: 1 });
      return allowed;
    };
  }
}

/** `undefined`: a kind of caller that this version doesn't know. */
function askOf({ id, kind, consumer, tier, scopes }: WireTokenAsk): TokenAsk | undefined {
  if (kind === undefined) return undefined;
  const caller = kind === "key" ? { kind, digest: id } : { kind, consumer, tier };
  return scopes === undefined ? caller : { ...caller, scopes };
}

function answerOf(id: string, answer: TokenAnswer): WireTokenAnswer {
  if (answer.verdict !== "granted") return { id, verdict: answer.verdict, refreshAtMs: 0, expiresAtMs: 0, token: "" };
  const { verdict, refreshAtMs, expiresAtMs, token } = answer;
  return { id, verdict, refreshAtMs, expiresAtMs, token };
}
