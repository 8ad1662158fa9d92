/** Are Envoy's certificates valid? Without them it reaches nothing in the mesh, control included. */
import { reached, type JsonObject } from "../evidence.ts";
import { list, text } from "../json.ts";
import { fault, ok, skipped, warning, type Check, type Said } from "../model.ts";

/** Workload certificates live for a day and are renewed halfway: what is left says more than days do. */
const leftShare = 0.1;

export const certificates: Check = {
  id: "certificates",
  look({ envoy, takenMs }) {
    if (!reached(envoy)) return [skipped("Envoy didn't answer.")];
    const all = list(envoy.certs["certificates"]).flatMap((entry) => [
      ...list(entry["ca_cert"]),
      ...list(entry["cert_chain"]),
    ]);
    if (all.length === 0) return [ok("Envoy uses no certificates.")];
    const wrong = all.flatMap((certificate) => judge(certificate, takenMs));
    return wrong.length > 0 ? wrong : [ok(`Envoy's ${all.length} certificates are valid.`)];
  },
};

const remedy =
  "In a mesh istiod issues them: it must be reachable (`istioctl proxy-status`), and clocks must be right. A gateway's own (credentialName) is its Secret's.";

function judge(certificate: JsonObject, nowMs: number): Said[] {
  const fromMs = Date.parse(text(certificate["valid_from"]));
  const untilMs = Date.parse(text(certificate["expiration_time"]));
  const name =
    text(certificate["path"]) ||
    text(list(certificate["subject_alt_names"])[0]?.["uri"]) ||
    text(list(certificate["subject_alt_names"])[0]?.["dns"]) ||
    text(certificate["serial_number"]);
  if (Number.isNaN(untilMs)) return [];
  if (untilMs <= nowMs)
    return [fault(`The certificate ${name} expired at ${new Date(untilMs).toISOString()}.`, remedy)];
  if (fromMs > nowMs)
    return [fault(`The certificate ${name} isn't valid before ${new Date(fromMs).toISOString()}.`, remedy)];
  if (untilMs - nowMs < (untilMs - fromMs) * leftShare)
    return [
      warning(`The certificate ${name} expires at ${new Date(untilMs).toISOString()} and hasn't been renewed.`, remedy),
    ];
  return [];
}
