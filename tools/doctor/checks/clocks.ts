/** Do the clocks of gateway, control and this machine agree? Keys begin and end by the gateway's. */
import { reached, type ClockReading } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";

const warningMs = 3000;
const faultMs = 30_000;

export const clocks: Check = {
  id: "clocks",
  look({ envoy, control }) {
    const gateway = reached(envoy) ? envoy.clock : undefined;
    const controls = reached(control) ? control.clock : undefined;
    if (gateway === undefined && controls === undefined) return [skipped("Nobody told the time.")];
    // Two that agree with each other and not with this machine show that it's this machine's clock.
    if (gateway !== undefined && controls !== undefined) {
      const apart = offBy(gateway) - offBy(controls);
      if (Math.abs(apart) <= warningMs && Math.abs(offBy(gateway)) > warningMs)
        return [
          warning(
            `Gateway and control agree; this machine's clock is ${inWords(-offBy(gateway))} both.`,
            "Set this machine's clock (NTP). Times that you give to commands, such as --expires 1h, are reckoned by it.",
          ),
        ];
    }
    const wrong = (
      [
        ["The gateway", gateway],
        ["Control", controls],
      ] as const
    ).flatMap(([who, reading]) => {
      if (reading === undefined || Math.abs(offBy(reading)) <= warningMs) return [];
      const say = Math.abs(offBy(reading)) > faultMs ? fault : warning;
      return [
        say(
          `${who}'s clock is ${inWords(offBy(reading))} this machine's.`,
          who === "Control"
            ? "Keep it right by NTP: quotas begin and end by the counter store's clock, and expiry dates are set by control's."
            : "Keep it right by NTP: keys and tokens begin and end by the gateway's clock.",
        ),
      ];
    });
    return wrong.length > 0 ? wrong : [ok("The clocks agree within 3 s.")];
  },
};

function offBy({ theirMs, hereMs }: ClockReading): number {
  return theirMs - hereMs;
}

function inWords(ms: number): string {
  const seconds = Math.round(Math.abs(ms) / 1000);
  const length =
    seconds < 120
      ? `${seconds} s`
      : seconds < 7200
        ? `${Math.round(seconds / 60)} min`
        : `${Math.round(seconds / 3600)} h`;
  return `${length} ${ms > 0 ? "ahead of" : "behind"}`;
}
