/** What control knows of this gateway: heard of, of which group, how far behind. */
import { reached, type ControlEnvironment } from "../evidence.ts";
import { at, text } from "../json.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";
import { callersOf, environmentOf, installed } from "../plugins.ts";

export const gatewayKnown: Check = {
  id: "gateway-known",
  look(evidence) {
    const callers = callersOf(installed(evidence)?.plugins ?? []);
    const { envoy, control } = evidence;
    if (callers.length === 0 || !reached(envoy)) return [skipped("No plugin calls a control.")];
    if (!reached(control) || control.admin !== "accepted")
      return [skipped("Control wasn't asked which gateways it knows.")];
    const node = text(at(envoy.serverInfo, "node", "id"));
    return [...new Set(callers.map(environmentOf))].map((name) => judge(name, control.environments[name], node));
  },
};

function judge(name: string, environment: ControlEnvironment | undefined, node: string): Said {
  if (environment === undefined) return skipped(`Control wasn't asked for ${name}.`);
  if (environment.missing === true)
    return fault(
      `Control has no environment ${name}.`,
      `Correct the plugin's \`environment\`, or make it: \`tollgate environments create ${name}\`.`,
    );
  const ours = environment.gateways.filter(({ id }) => id.startsWith(`${node}~`));
  const [gateway] = ours
    .filter(({ state }) => state === "connected")
    .sort((a, b) => Date.parse(b.lastContact) - Date.parse(a.lastContact));
  if (gateway === undefined) {
    const [lost] = ours.sort((a, b) => Date.parse(b.lastContact) - Date.parse(a.lastContact));
    const when = lost === undefined ? "has never heard of it" : `heard of it last at ${lost.lastContact}`;
    return fault(
      `This gateway (${node}) isn't connected to this control: it ${when}.`,
      "See what is wrong with the cluster, the gateway token and the calls. When all of those are good, the gateway is connected to another control than the one that was asked.",
    );
  }
  if (gateway.lag > 0)
    return warning(
      `The gateway is ${gateway.lag} ${gateway.lag === 1 ? "version" : "versions"} behind version ${environment.version} of ${name}.`,
      "Look again: for a moment after a change this is normal. If it stays, Envoy's log has the reason (no memory for the snapshot, a broken answer).",
    );
  return ok(
    `Control knows the gateway as ${gateway.id}, group ${gateway.group}, up to date with version ${environment.version} of ${name}.`,
  );
}
