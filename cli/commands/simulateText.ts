/** A simulation's report for people, and its callers as CSV. */
import { ownerText } from "../../control/domain/limitWords.ts";
import type { BadLine } from "../../tools/simulate/logFile.ts";
import { type CallerReport, type Report, type WindowReport } from "../../tools/simulate/report.ts";
import { table } from "../output.ts";

const number = (value: number) => value.toLocaleString("en-US");
const counted = (count: number, one: string, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
const barWidth = 30;

export function reportText(report: Report): string {
  return [
    heading(report),
    badLines(report),
    summary(report),
    limits(report),
    callers(report),
    timeline(report),
    warnings(report),
  ]
    .filter((part) => part !== "")
    .join("\n");
}

function heading({ environment, from, to, logs }: Report): string {
  const lines = logs.map(({ name, format, lines, noRequest, outside }) => {
    const left = [
      ...(noRequest > 0 ? [`${number(noRequest)} of no request`] : []),
      ...(outside > 0 ? [`${number(outside)} outside the time asked for`] : []),
    ];
    return `${name}: ${counted(lines, "line")}${format === undefined ? "" : `, ${format}`}${left.map((text) => `, ${text}`).join("")}\n`;
  });
  return `${lines.join("")}${from === undefined ? "" : `${from} to ${to}, `}environment ${environment}\n`;
}

function badLines({ logs }: Report): string {
  return logs
    .filter(({ badLines }) => badLines > 0)
    .map(({ name, badLines, bad }) => {
      const shown = badLineTexts(name, bad)
        .map((text) => `  ${text}\n`)
        .join("");
      return `${name}: ${counted(badLines, "line")} not understood${bad.length === 0 ? "" : badLines > bad.length ? ", the first:" : ":"}\n${shown}`;
    })
    .join("");
}

/** Each bad line with its place and why it is bad. */
export function badLineTexts(name: string, bad: readonly BadLine[]): string[] {
  return bad.map(
    ({ line, reason, text }) => `${name}:${line}: ${printable(reason)}${text === "" ? "" : `: ${printable(text)}`}`,
  );
}

function summary({ requests, callers }: Report): string {
  const all = requests.decided;
  const share = (count: number) =>
    all === 0 ? "" : `${((count / all) * 100).toFixed(count > 0 && count / all < 0.001 ? 3 : 1)} %`;
  const rows: { what: string; count: string; note: string }[] = [
    {
      what: "requests",
      count: number(all),
      note: `of ${callers.exact ? "" : "more than "}${counted(callers.count, "caller")}`,
    },
    {
      what: "would be limited",
      count: number(requests.limited),
      note: requests.limited === 0 ? "" : `${share(requests.limited)}, ${counted(callers.limited, "caller")}`,
    },
  ];
  const more = (what: string, count: number, note: string) => {
    if (count > 0) rows.push({ what, count: number(count), note });
  };
  more("shadow limits would limit", requests.shadowed, `${share(requests.shadowed)}, admitted`);
  more("without any limit", requests.unlimited, share(requests.unlimited));
  more("preflights", requests.preflights, "no limit counts them");
  for (const [reason, count] of Object.entries(requests.refused)) more("refused before limits", count, reason);
  for (const [reason, count] of Object.entries(requests.refusedThen)) more("refused at the time", count, reason);
  const widths = [
    Math.max(...rows.map(({ what }) => what.length)),
    Math.max(...rows.map(({ count }) => count.length)),
  ] as const;
  return (
    rows
      .map(({ what, count, note }) => `${what.padEnd(widths[0])}  ${count.padStart(widths[1])}  ${note}`.trimEnd())
      .join("\n") + "\n"
  );
}

function limits({ limits: rows }: Report): string {
  if (rows.length === 0) return "No limit applies to any of these requests.\n";
  const about = rows.some(({ enough }) => !enough.exact) ? "~" : "";
  return table(rows, [
    {
      title: "LIMIT",
      value: (row) => `${ownerText(row.owner)}: ${row.name}${row.mode === "shadow" ? " (shadow)" : ""}`,
    },
    { title: "IS", value: (row) => `${number(row.limit)} per ${row.per}` },
    { title: "COUNTS", value: ({ subject }) => subject },
    {
      title: "LIMITED",
      value: ({ refused, paced }) => `${number(refused)}${paced > 0 ? ` (${number(paced)} by pace)` : ""}`,
    },
    { title: "CALLERS", value: ({ callersRefused, callers }) => `${number(callersRefused)} of ${number(callers)}` },
    { title: "FIRST", value: ({ firstAt }) => firstAt },
    { title: "FOR 99 %", value: ({ enough }) => `${about}${number(enough.most)}${burst(enough.mostBurst)}` },
    { title: "FOR ALL", value: ({ enough }) => `${about}${number(enough.all)}${burst(enough.allBurst)}` },
    {
      title: "HIGHEST",
      value: ({ worst }) => (worst === undefined ? undefined : `${windowText(worst)}, ${worst.caller}`),
    },
  ]);
}

function burst(value: number | undefined): string {
  return value === undefined ? "" : `, burst ${number(value)}`;
}

function callers({ limitedCallers, limitedCallersTotal }: Report): string {
  if (limitedCallersTotal === 0) return "";
  const rest = limitedCallersTotal - limitedCallers.length;
  const rows = table(limitedCallers, [
    { title: "WHO", value: ({ caller }) => caller },
    { title: "BY", value: (row) => `${ownerText(row.owner)}: ${row.name}${row.mode === "shadow" ? " (shadow)" : ""}` },
    { title: "LIMITED", value: ({ refused }) => number(refused) },
    { title: "WINDOWS", value: ({ windows }) => number(windows) },
    { title: "FIRST", value: ({ firstAt }) => firstAt },
    { title: "LAST", value: ({ lastAt }) => lastAt },
    { title: "WORST WINDOW", value: ({ worst, limit }) => `${windowText(worst)} of ${number(limit)}` },
  ]);
  return `${rows}${rest > 0 ? `and ${number(rest)} more (--top)\n` : ""}`;
}

function windowText({ startAt, demand }: WindowReport): string {
  return `${startAt} ${number(demand)}`;
}

function timeline({ timeline: { seconds, slots }, requests }: Report): string {
  if (requests.limited + requests.shadowed === 0 || slots.length < 2) return "";
  const most = Math.max(...slots.map((slot) => slot.requests));
  return `${table(slots, [
    { title: `EACH ${lengthText(seconds)}`, value: ({ at }) => at },
    { title: "REQUESTS", value: (slot) => number(slot.requests) },
    { title: "LIMITED", value: (slot) => number(slot.limited) },
    ...(requests.shadowed > 0
      ? [{ title: "SHADOWED", value: (slot: { shadowed: number }) => number(slot.shadowed) }]
      : []),
    { title: "", value: (slot) => bar(slot, most) },
  ])}`;
}

/** `#` for what is admitted, `!` for what is limited. */
function bar({ requests, limited }: { requests: number; limited: number }, most: number): string {
  const whole = Math.max(1, Math.round((requests / most) * barWidth));
  const refused = limited === 0 ? 0 : Math.max(1, Math.round((limited / requests) * whole));
  return "#".repeat(whole - refused) + "!".repeat(refused);
}

function lengthText(seconds: number): string {
  for (const [unit, size] of [
    ["d", 86_400],
    ["h", 3600],
    ["min", 60],
  ] as const)
    if (seconds % size === 0) return `${seconds / size} ${unit}`;
  return `${seconds} s`;
}

function warnings({ warnings: texts }: Report): string {
  return texts.map((text) => `Note: ${text}\n`).join("");
}

function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

const columns: readonly [title: string, value: (row: CallerReport) => string | number | undefined][] = [
  ["limit", ({ name }) => name],
  ["owner", ({ owner }) => ownerText(owner)],
  ["mode", ({ mode }) => mode],
  ["amount", ({ limit }) => limit],
  ["per", ({ per }) => per],
  ["subject", ({ subject }) => subject],
  ["key", ({ key }) => key],
  ["consumer", ({ consumer }) => consumer],
  ["tier", ({ tier }) => tier],
  ["api", ({ api }) => api],
  ["address", ({ address }) => address],
  ["gateway", ({ gateway }) => gateway],
  ["limited", ({ refused }) => refused],
  ["byPace", ({ paced }) => paced],
  ["windows", ({ windows }) => windows],
  ["firstAt", ({ firstAt }) => firstAt],
  ["lastAt", ({ lastAt }) => lastAt],
  ["worstWindowStartAt", ({ worst }) => worst.startAt],
  ["worstWindowEndAt", ({ worst }) => worst.endAt],
  ["worstWindowDemand", ({ worst }) => worst.demand],
];

/** One line for each caller and limit by which it would have been limited (RFC 4180). */
export function reportCsv({ limitedCallers }: Report): string {
  const lines = limitedCallers.map((row) => columns.map(([, value]) => cell(value(row))).join(","));
  return [columns.map(([title]) => title).join(","), ...lines].map((line) => `${line}\r\n`).join("");
}

function cell(value: string | number | undefined): string {
  const text = String(value ?? "");
  // A spreadsheet takes a cell that begins so for a formula, and callers choose their names themselves.
  const safe = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
