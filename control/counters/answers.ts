/** How a lane's last answer is kept, so that a resend is told the very same. Numbers only: compact, and safe inside any JSON. */
import type { CallAnswer, LeaseAnswer, Verdict } from "./model.ts";

type Answered = Extract<CallAnswer, { kind: "answered" }>;
type Packed = [timeMs: number, ...answers: number[][]];

export function encodeAnswer({ timeMs, answers }: Answered): string {
  const packed: Packed = [
    timeMs,
    ...answers.map((one) => [
      one.verdict,
      one.generation,
      one.granted,
      one.windowStartMs,
      one.windowEndMs,
      one.leaseEndMs,
      one.remaining,
      one.untilMs,
      one.share,
      one.shareUntilMs,
    ]),
  ];
  return JSON.stringify(packed);
}

export function decodeAnswer(text: string): Answered {
  const [timeMs, ...answers] = JSON.parse(text) as Packed;
  return { kind: "answered", timeMs, answers: answers.map(unpack) };
}

function unpack(fields: number[]): LeaseAnswer {
  const [kind, generation, granted, windowStartMs, windowEndMs, leaseEndMs, remaining, untilMs, share, shareUntilMs] =
    fields as [Verdict, number, number, number, number, number, number, number, number, number];
  return {
    verdict: kind,
    generation,
    granted,
    windowStartMs,
    windowEndMs,
    leaseEndMs,
    remaining,
    untilMs,
    share,
    shareUntilMs,
  };
}
