/** Calls for internal tokens: read, signed, answered. Nothing is kept, so that a call that is sent again is simply answered again. */
import type { Issuer, TokenAnswer, TokenAsk } from "../identity/issuer.ts";
import type { EnvironmentFeed } from "./feed.ts";
import type { SyncMetrics } from "./metrics.ts";
import { SyncProblem } from "./problems.ts";
import { readTokensCall, tokensAnswerFrame } from "./tokenFrames.ts";
import type { WireTokenAnswer, WireTokenAsk } from "./tokenPayload.ts";
import type { Grant } from "./tokens.ts";

export class TokenCalls {
  readonly #issuer: Issuer;
  readonly #metrics: SyncMetrics;

  constructor(issuer: Issuer, metrics: SyncMetrics) {
    this.#issuer = issuer;
    this.#metrics = metrics;
  }

  /** The answer's frame. Throws SyncProblem, and what the store throws: the call is to be sent again then. */
  async answer(body: Buffer, _gateway: string, grant: Grant, feed: EnvironmentFeed): Promise<Buffer> {
    const call = readTokensCall(body);
    if (!(await feed.isCurrent(grant.view, call.epoch))) throw new SyncProblem("epoch_changed", "wire ids of that epoch mean nothing any more: load the snapshot and ask again");
    const asks = call.asks.map(askOf);
    const issued = await this.#issuer.issue(grant.environment, asks.filter((ask) => ask !== undefined));
    const answers = asks.map((ask): TokenAnswer => (ask === undefined ? { verdict: "unknown" } : issued.shift()!));
    for (const { verdict } of answers) this.#metrics.tokens.inc({ verdict });
    return tokensAnswerFrame(call, Date.now(), answers.map((answer, index) => answerOf(call.asks[index]!.id, answer)));
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
