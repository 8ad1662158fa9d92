/** The results as a bar chart: CPU per request as a multiple of bare, with its 95% interval. */
import type { Result } from "./report.ts";

const rowHeight = 26;
/** of a character, on the average */
const characterWidth = 6.6;
const plotWidth = 420;
const top = 58;

/** Gives a whole SVG document that reads on a light and on a dark page. */
export function chart(results: readonly Result[]): string {
  const largest = Math.max(
    1.2,
    ...results.map((result) => (Number.isFinite(result.ratioHigh) ? result.ratioHigh : result.ratioToBare)),
  );
  const step = largest > 3 ? 1 : largest > 1.6 ? 0.25 : 0.1;
  const end = Math.ceil(largest / step) * step;
  const labelWidth = Math.ceil(Math.max(...results.map(({ name }) => name.length)) * characterWidth) + 16;
  const x = (ratio: number): number => labelWidth + (ratio / end) * plotWidth;
  const height = top + results.length * rowHeight + 16;
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${labelWidth + plotWidth + 130} ${height}" font-family="system-ui, sans-serif" font-size="13" role="img">`,
    "<title>Envoy's CPU time per request, of bare Envoy</title>",
    "<style>.page{fill:#fff}text{fill:#24292f}.grid{stroke:#d0d7de}.bare{stroke:#57606a;stroke-dasharray:3 3}.error{stroke:#24292f}",
    ".own{fill:#0969da}.other{fill:#8c959f}@media(prefers-color-scheme:dark){.page{fill:#0d1117}text{fill:#e6edf3}.grid{stroke:#30363d}",
    ".bare{stroke:#8b949e}.error{stroke:#e6edf3}.own{fill:#388bfd}.other{fill:#6e7681}}</style>",
    `<rect class="page" width="100%" height="100%"/>`,
    `<text x="12" y="24" font-size="15" font-weight="600">Envoy's CPU time per request, of bare Envoy (lower is better; whiskers: 95% interval)</text>`,
  ];
  for (let i = 0; i * step <= end + 1e-9; i++) {
    const at = x(i * step).toFixed(1);
    parts.push(`<line class="grid" x1="${at}" x2="${at}" y1="${top - 6}" y2="${height - 14}"/>`);
    if (step >= 0.25 || i % 2 === 0)
      parts.push(
        `<text x="${at}" y="${top - 10}" text-anchor="middle" font-size="11">${(i * step).toFixed(step < 1 ? 2 : 0)}</text>`,
      );
  }
  results.forEach((result, row) => parts.push(bar(result, top + row * rowHeight, labelWidth, x)));
  parts.push(
    `<line class="bare" x1="${x(1).toFixed(1)}" x2="${x(1).toFixed(1)}" y1="${top - 6}" y2="${height - 14}"/>`,
    "</svg>",
  );
  return parts.join("\n") + "\n";
}

function bar(result: Result, y: number, labelWidth: number, x: (ratio: number) => number): string {
  const middle = y + rowHeight / 2;
  const end = x(result.ratioToBare);
  const high = Number.isFinite(result.ratioHigh) ? result.ratioHigh : result.ratioToBare;
  const low = result.ratioLow > 0 ? result.ratioLow : result.ratioToBare;
  return [
    `<text x="${labelWidth - 8}" y="${middle + 4}" text-anchor="end">${escapeXml(result.name)}</text>`,
    `<rect class="${result.name.startsWith("Tollgate") ? "own" : "other"}" x="${labelWidth}" y="${y + 5}" width="${(end - labelWidth).toFixed(1)}" height="${rowHeight - 10}"/>`,
    `<line class="error" x1="${x(low).toFixed(1)}" x2="${x(high).toFixed(1)}" y1="${middle}" y2="${middle}"/>`,
    `<text x="${(x(high) + 6).toFixed(1)}" y="${middle + 4}">${result.ratioToBare.toFixed(2)} (${result.cpuMicrosPerRequest.toFixed(1)} us)</text>`,
  ].join("\n");
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
