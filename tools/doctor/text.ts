/** Findings for people: faults first, each with what to do. */
import { statuses, type Finding, type Status } from "./model.ts";

const width = 76;

export function findingsText(findings: readonly Finding[], all: boolean): string {
  const shown = statuses.flatMap((status) =>
    all || status === "fault" || status === "warning" ? findings.filter((finding) => finding.status === status) : [],
  );
  const blocks = shown.map(
    ({ id, status, words, remedy }) =>
      `${status.padEnd(8)} ${id}\n${wrapped(words)}${remedy === undefined ? "" : wrapped(remedy, "→ ")}`,
  );
  return `${blocks.join("\n")}${blocks.length > 0 ? "\n" : ""}${summary(findings)}\n`;
}

function summary(findings: readonly Finding[]): string {
  const count = (status: Status): number => findings.filter((finding) => finding.status === status).length;
  const several = (number: number, one: string): string => `${number} ${one}${number === 1 ? "" : "s"}`;
  const good = `${count("ok")} ok, ${count("skipped")} skipped`;
  return count("fault") + count("warning") === 0
    ? `Nothing is wrong: ${good}.`
    : `${several(count("fault"), "fault")}, ${several(count("warning"), "warning")}; ${good}.`;
}

function wrapped(sentence: string, mark = ""): string {
  const indent = " ".repeat(9);
  const lines: string[] = [];
  let line = mark;
  for (const word of printable(sentence).split(" ")) {
    if (line.trim() !== "" && line.trim() !== mark.trim() && line.length + word.length > width) {
      lines.push(line);
      line = " ".repeat(mark.length);
    }
    line += line.trim() === "" || line === mark ? word : ` ${word}`;
  }
  return [...lines, line].map((one) => `${indent}${one}\n`).join("");
}

/** What others named must not move the cursor of the terminal that shows it. */
function printable(sentence: string): string {
  return sentence.replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}
