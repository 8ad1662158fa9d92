/** Do two plugins work on one request? The second would remove, as forged, what the first has set. */
import { at, object, text } from "../json.ts";
import { fault, ok, skipped, warning, type Check } from "../model.ts";
import { installed, pluginsOf, type Plugin } from "../plugins.ts";

export const sharedNames: Check = {
  id: "plugins-share-names",
  look(evidence) {
    const found = installed(evidence);
    if (found === undefined || found.plugins.length === 0) return [skipped("No plugin was found.")];
    const wrong = found.dump.chains.flatMap((chain) => {
      const plugins = pluginsOf(chain);
      return plugins.flatMap((later, index) => plugins.slice(0, index).map((earlier) => judge(earlier, later)));
    });
    return wrong.length > 0 ? wrong : [ok("No request passes two plugins.")];
  },
};

const remedy =
  "Keep one of them: one plugin per gateway. WasmPlugin and TrafficExtension are two ways to say the same: apply one. For a canary use a gateway of its own (docs/get-started/istio.md).";

function judge(earlier: Plugin, later: Plugin) {
  const names = common(earlier, later);
  if (names.length > 0)
    return fault(
      `${later.place}: ${earlier.name} and ${later.name} both work on every request with the same claim headers (${names.join(", ")}): the second removes as forged what the first has set, and finds no key any more.`,
      remedy,
    );
  return warning(
    `${later.place}: ${earlier.name} and ${later.name} both work on every request. Their claims have different names, but the first removes the key that the second would look for, unless their key sources differ.`,
    remedy,
  );
}

/** The prefixes and headers that one sets and the other removes. */
function common(a: Plugin, b: Plugin): string[] {
  const ours = namesOf(a);
  const theirs = namesOf(b);
  const removes = (by: Names, name: string): boolean => name.startsWith(by.prefix) || by.headers.includes(name);
  const prefix = ours.prefix.startsWith(theirs.prefix)
    ? [ours.prefix]
    : theirs.prefix.startsWith(ours.prefix)
      ? [theirs.prefix]
      : [];
  return [
    ...new Set([
      ...prefix.map((one) => `${one}*`),
      ...ours.headers.filter((name) => removes(theirs, name)),
      ...theirs.headers.filter((name) => removes(ours, name)),
    ]),
  ];
}

interface Names {
  prefix: string;
  headers: string[];
}

function namesOf({ configuration }: Plugin): Names {
  const claims = configuration?.["claims"];
  const token = text(at(claims, "token"));
  return {
    prefix: folded(text(at(claims, "prefix")) || "x-tollgate-"),
    headers: [...Object.values(object(at(claims, "names"))).map(text), ...(token === "" ? [] : [token])].map(folded),
  };
}

/** Names that a backend could take for one another are one. */
function folded(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]/g, "-");
}
