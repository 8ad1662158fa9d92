import type { EnvironmentSpec } from "../../control/domain/model.ts";
import { readTokensCall, tokensAnswerFrame } from "../../control/sync/tokenFrames.ts";
import type { WireTokenAnswer, WireTokenAsk } from "../../control/sync/tokenPayload.ts";
import type { WireIds } from "./recordSet.ts";

/** What control says of internal tokens. They aren't signed: each is `<consumer>.<tier>.<scopes>.<number>`, so that a test sees whose it is. */
export class SimulatedTokens {
  enabled = true;
  lifetimeMs = 300_000;
  /** of a token's life, when the next one is due */
  refreshAfter = 0.6;
  /** appended to every token */
  padding = "";
  readonly asks: { atMs: number; ask: WireTokenAsk }[] = [];
  readonly calls: number[] = [];
  #issued = 0;

  /** The answer's frame, or a status. */
  answer(body: Buffer, spec: EnvironmentSpec, ids: WireIds, epoch: bigint, nowMs: number): Buffer | number {
    const call = readTokensCall(body);
    if (call.epoch !== epoch) return 409;
    this.calls.push(call.asks.length);
    for (const ask of call.asks) this.asks.push({ atMs: nowMs, ask });
    return tokensAnswerFrame(
      call,
      nowMs,
      call.asks.map((ask) => this.#one(ask, spec, ids, nowMs)),
    );
  }

  #one(ask: WireTokenAsk, spec: EnvironmentSpec, ids: WireIds, nowMs: number): WireTokenAnswer {
    const none = { id: ask.id, refreshAtMs: 0, expiresAtMs: 0, token: "" };
    if (!this.enabled) return { ...none, verdict: "off" };
    const key = spec.keys.find(({ sha256 }) => sha256.startsWith(ask.id));
    const consumer =
      ask.kind === "key"
        ? spec.consumers.find(({ id }) => id === key?.consumer)
        : spec.consumers.find(({ id }) => ids.of("consumer", id) === ask.consumer);
    const tier =
      ask.kind === "key"
        ? (key?.tier ?? consumer?.tier)
        : spec.tiers.find(({ id }) => ids.of("tier", id) === ask.tier)?.id;
    if (
      consumer === undefined ||
      tier === undefined ||
      consumer.suspended ||
      (ask.kind === "key" && key?.state !== "active")
    )
      return { ...none, verdict: "unknown" };
    const token = `${consumer.id}.${tier}.${(ask.scopes ?? ["all"]).join("+")}.${++this.#issued}${this.padding}`;
    if (token.length > 8192) return { ...none, verdict: "tooLarge" };
    return {
      id: ask.id,
      verdict: "granted",
      refreshAtMs: Math.floor(nowMs + this.lifetimeMs * this.refreshAfter),
      expiresAtMs: nowMs + this.lifetimeMs,
      token,
    };
  }
}
