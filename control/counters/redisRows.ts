/**
 * Counter rows in Redis. All keys of a slot group carry one hash tag, so that they lie on one node of a cluster and one script may touch
 * them together.
 *
 * ```
 * tg:{tgN}:l:<environment>/<lane>                    "<seq>,<lastMs>;<answer>"    the lane's last call as far as it concerned this group
 * tg:{tgN}:c:<environment>/<limit>/<subject>         "<generation>,<pendingExtra>,<shares>;"
 * tg:{tgN}:w:<environment>/<limit>/<subject>/<span>  "<startMs>,<endMs>,<used>,<extra>,<holders>,<silentAskedMs>;"
 * tg:{tgN}:h:<environment>/<limit>/<subject>/<span>  hash: lane → "<startMs>,<endMs>,<amount>"
 * tg:{tgN}:s:<environment>/<limit>/<subject>         "<lane>,<amount>,<fromMs>,<untilMs>,<keepMs> …;"
 * tg:{tgc}:t:<environment>                           sorted set: lane → its last call, in any group
 * tg:{tgc}:g:<environment>                           hash: lane → gateway
 * ```
 *
 * What a decision has read must still be so when it's written. The strings say that by themselves: each is compared up to its `;`. A
 * holding needs no comparison, since only its own lane's calls change it, whose row is compared.
 */
import type { CounterId, HeadRow, HoldingRow, LaneId, LaneRow, ShareRow, WindowId, WindowRow } from "./facts.ts";

/** Never to be changed: it says where everything is kept. */
export const slotGroups = 16;
/** A counter's generation is forgotten when nobody has changed it for longer than any window lasts. */
const headKeptMs = 400 * 86_400_000;

/** A counter's group. All limits of a subject are in one, since a request asks for them together. */
export function groupOf(environment: string, subject: string): number {
  let hash = 0x811c9dc5;
  for (const text of [environment, subject])
    for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  // The low bits of this hash are its weakest.
  return ((hash ^ (hash >>> 16)) >>> 0) % slotGroups;
}

export const laneName = (group: number, id: LaneId): string => `tg:{tg${group}}:l:${id.key}`;
export const headName = (group: number, id: CounterId): string => `tg:{tg${group}}:c:${id.key}`;
export const windowName = (group: number, id: WindowId): string => `tg:{tg${group}}:w:${id.key}`;
export const holdingsName = (group: number, id: WindowId): string => `tg:{tg${group}}:h:${id.key}`;
export const sharesName = (group: number, id: CounterId): string => `tg:{tg${group}}:s:${id.key}`;
export const contactsName = (environment: string): string => `tg:{tgc}:t:${environment}`;
export const gatewaysName = (environment: string): string => `tg:{tgc}:g:${environment}`;

/** Stands for a string that isn't there where strings are compared. */
export const absent = "-";

/** The part of a string that is compared. */
export function compared(value: string): string {
  return value.slice(0, value.indexOf(";") + 1);
}

export function packLane(row: LaneRow): string {
  return `${row.seq},${row.lastMs};${row.answer}`;
}

/** The gateway is kept elsewhere. `value` may end with the `;`, and the answer then isn't loaded. */
export function unpackLane(id: LaneId, value: string): LaneRow {
  const end = value.indexOf(";");
  const comma = value.indexOf(",");
  const answer = end + 1 === value.length ? null : value.slice(end + 1);
  return { id, gateway: "", seq: BigInt(value.slice(0, comma)), lastMs: Number(value.slice(comma + 1, end)), answer };
}

export function packHead(row: HeadRow): string {
  return `${row.generation},${row.pendingExtra},${row.shares};`;
}

export function unpackHead(id: CounterId, value: string): HeadRow {
  const [generation, pendingExtra, shares] = numbers(value.slice(0, -1)) as [number, number, number];
  return { id, generation, pendingExtra, shares };
}

export function headTtlMs(): number {
  return headKeptMs;
}

export function packWindow(row: WindowRow): string {
  return `${row.startMs},${row.endMs},${row.used},${row.extra},${row.holders},${row.silentAskedMs};`;
}

export function unpackWindow(id: WindowId, value: string): WindowRow {
  const [startMs, endMs, used, extra, holders, silentAskedMs] = numbers(value.slice(0, -1)) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
  return { id, startMs, endMs, used, extra, holders, silentAskedMs };
}

export function packHolding(row: HoldingRow): string {
  return `${row.startMs},${row.endMs},${row.amount}`;
}

export function unpackHolding(window: WindowId, lane: string, value: string): HoldingRow {
  const [startMs, endMs, amount] = numbers(value) as [number, number, number];
  return { window, lane, startMs, endMs, amount };
}

export function packShares(rows: readonly ShareRow[]): string {
  return `${rows.map(({ lane, amount, fromMs, untilMs, keepMs }) => `${lane},${amount},${fromMs},${untilMs},${keepMs}`).join(" ")};`;
}

export function unpackShares(counter: CounterId, value: string): ShareRow[] {
  const texts = value
    .slice(0, -1)
    .split(" ")
    .filter((text) => text !== "");
  return texts.map((text) => {
    const [lane, ...rest] = text.split(",") as [string, ...string[]];
    const [amount, fromMs, untilMs, keepMs] = rest.map(Number) as [number, number, number, number];
    return { counter, lane, amount, fromMs, untilMs, keepMs };
  });
}

function numbers(value: string): number[] {
  return value.split(",").map(Number);
}
