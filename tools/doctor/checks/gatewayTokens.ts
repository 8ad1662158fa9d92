/** Are there valid gateway tokens, and for how long? */
import { reached, type ControlEnvironment } from "../evidence.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";

const soonMs = 14 * 86_400_000;

export const gatewayTokens: Check = {
  id: "gateway-tokens",
  look({ control, takenMs }) {
    if (!reached(control) || control.admin !== "accepted") return [skipped("Control wasn't asked for gateway tokens.")];
    const known = Object.entries(control.environments).filter(([, environment]) => environment.missing !== true);
    if (known.length === 0) return [skipped("There is no environment to look at.")];
    return known.flatMap(([name, environment]) => judge(name, environment, takenMs));
  },
};

const remedy =
  "`tollgate gateway-tokens create --group <group>` makes one; docs/operate/operations.md says how to rotate them.";

function judge(name: string, { gatewayTokens: tokens }: ControlEnvironment, nowMs: number): Said[] {
  const endsMs = ({ expiresAt }: { expiresAt: string | null }): number =>
    expiresAt === null ? Infinity : Date.parse(expiresAt);
  if (!tokens.some((token) => endsMs(token) > nowMs))
    return [fault(`${name} has no valid gateway token: no gateway can be in sync with it.`, remedy)];
  const groups = [...new Set(tokens.map(({ group }) => group))];
  const ending = groups.flatMap((group) => {
    const lastMs = Math.max(...tokens.filter((token) => token.group === group).map(endsMs));
    if (lastMs > nowMs + soonMs) return [];
    if (lastMs <= nowMs) return [warning(`The group ${group} of ${name} has expired tokens alone.`, remedy)];
    return [
      warning(`The last token of the group ${group} of ${name} expires at ${new Date(lastMs).toISOString()}.`, remedy),
    ];
  });
  return ending.length > 0
    ? ending
    : [ok(`Every group of ${name} (${groups.join(", ")}) has a token that is valid for two weeks at least.`)];
}
