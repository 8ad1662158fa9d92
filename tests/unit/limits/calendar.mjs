// Makes calendar.ts: times and the windows that JavaScript's Date gives for them.  node tests/unit/limits/calendar.mjs
import { writeFileSync } from "node:fs";

let state = 20261101;
/** xorshift32, so that the file is the same each time. */
function random() {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return (state >>> 0) / 2 ** 32;
}

const dayMs = 86_400_000;
const borders = [
  "1970-01-01T00:00:00Z", "1970-01-31T23:59:59.999Z", "2000-02-29T12:00:00Z", "2000-03-01T00:00:00Z", "2026-11-01T00:00:00Z", "2026-11-30T23:59:59.999Z",
  "2026-12-31T23:59:59.999Z", "2027-01-01T00:00:00Z", "2028-02-28T23:59:59.999Z", "2028-02-29T00:00:00Z", "2100-02-28T23:59:59.999Z", "2100-03-01T00:00:00Z",
].map((text) => Date.parse(text));
const times = [...borders, ...Array.from({ length: 300 }, () => Math.floor(random() * Date.UTC(2200, 0)))];

const rows = times.map((ms) => {
  const date = new Date(ms);
  const [year, month, day] = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
  const monday = Date.UTC(year, month, day - ((date.getUTCDay() + 6) % 7));
  return [ms, Date.UTC(year, month, day), Date.UTC(year, month, day + 1), Math.max(0, monday), monday + 7 * dayMs, Date.UTC(year, month), Date.UTC(year, month + 1)];
});
const text = `/** Made by calendar.mjs: a time, then start and end of its day, its week (from Monday) and its month, in UTC, by JavaScript's Date. */
export const CALENDAR: StaticArray<u64> = [
${rows.map((row) => `  ${row.join(", ")},`).join("\n")}
];
`;
writeFileSync(new URL("calendar.ts", import.meta.url), text);
