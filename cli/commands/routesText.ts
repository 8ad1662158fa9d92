/** `tollgate routes` for people. */
import { type CallersHere, type LimitHere, type RouteAccess } from "./routesAccess.ts";
import { wrap, wrappedTable, type WrappedRow } from "./routesTable.ts";

const width = 120;
/** As many names of one tier as are shown. */
const namesShown = 6;

const columns = [
  { title: "HOST", leastWidth: 14 },
  { title: "PATH", leastWidth: 14 },
  { title: "METHODS", leastWidth: 8 },
  { title: "API", leastWidth: 8 },
  { title: "AUTH", leastWidth: 10 },
  { title: "SCOPES", leastWidth: 8 },
  { title: "COST", leastWidth: 4 },
  { title: "WHO MAY", leastWidth: 14 },
  { title: "LIMITS", leastWidth: 20 },
];

/** The table, then what the one that was asked about may not call. */
export function routesText(lines: readonly RouteAccess[], asked: boolean): string {
  const shown = lines.filter(({ refused }) => refused === undefined);
  const table = shown.length === 0 ? "None.\n" : wrappedTable(columns, shown.map(row), width);
  const refused = asked ? lines.filter((line) => line.refused !== undefined) : [];
  if (refused.length === 0) return table;
  const sentences = refused.flatMap((line) =>
    wrap(`  ${methodsText(line)} ${line.path} (${line.api}): ${line.refused!.message}`, width),
  );
  return printable(`${table}\nMay not call:\n${sentences.join("\n")}\n`);
}

function row(line: RouteAccess): WrappedRow {
  const { hosts, path, auth, scopes, cost, callers, hiddenBy } = line;
  const who =
    hiddenBy !== undefined
      ? [[hiddenText(hiddenBy)]]
      : callers.length === 0
        ? [["nobody"]]
        : callers.map((caller) => [callerText(caller)]);
  const limits =
    hiddenBy === undefined
      ? callers.map((caller) =>
          cost === 0
            ? ["not counted"]
            : caller.limits.length === 0
              ? ["unlimited"]
              : caller.limits.map((limit) => limitText(limit)),
        )
      : [];
  return [
    [hosts],
    [[path]],
    [[methodsText(line)]],
    [[line.api]],
    [[auth]],
    [[scopes.length === 0 ? "-" : scopes.join(", ")]],
    [[cost === 0 ? "free" : String(cost)]],
    who,
    limits,
  ].map((cell) => cell.map((block) => block.map(printable)));
}

function hiddenText(by: string): string {
  return by === "405" ? "no request gets here: 405 by another API" : `no request gets here: ${by} takes them`;
}

function methodsText({ methods, otherMethods }: Pick<RouteAccess, "methods" | "otherMethods">): string {
  if (methods.length > 0) return methods.join(", ");
  return otherMethods ? "others" : "any";
}

function callerText({ tier, consumers, keys }: CallersHere): string {
  if (tier === undefined) return "everybody";
  const names = [...consumers, ...keys.map((key) => `key ${key}`)];
  const more = names.length - namesShown;
  const shown = more > 1 ? [...names.slice(0, namesShown), `${more} more`] : names;
  return shown.length === 0 ? `${tier} (no one)` : `${tier}: ${shown.join(", ")}`;
}

/** `minute 60/60s per key (tier bronze)` */
export function limitText({
  name,
  limit,
  windowSeconds,
  period,
  subject,
  enforcement,
  mode,
  smoothing,
  from,
}: LimitHere): string {
  const per = period ?? `${windowSeconds}s`;
  const more = [
    ...(smoothing === undefined ? [] : [`${smoothing.perSecond}/s, burst ${smoothing.burst}`]),
    ...(enforcement === "gateway" ? ["each gateway"] : []),
    ...(mode === "shadow" ? ["shadow"] : []),
    from,
  ];
  return `${name} ${limit}/${per} per ${subject} (${more.join("; ")})`;
}

/** What others named must not move the cursor of the terminal that shows it. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/g, "?");
}
