/**
 * A reporter for node:test: one JSON line of counts, the names of skipped tests, what failed with why, how long each file ran, and the coverage of
 * lines when it was measured, when all is over. Suites (`describe`) aren't counted.
 */
export default async function* countReporter(source) {
  const counts = { passed: 0, failed: 0, skipped: [], failures: [], files: [] };
  const seconds = new Map();
  for await (const { type, data } of source) {
    // What comes after a test's end fails its file, which gives no reason: this is it.
    if (type === "test:diagnostic" && data.message.startsWith("Error: "))
      counts.failures.push({ name: "after its end", error: data.message });
    if (type === "test:coverage")
      counts.coverage = { covered: data.summary.totals.coveredLineCount, lines: data.summary.totals.totalLineCount };
    if (type !== "test:pass" && type !== "test:fail") continue;
    if (data.nesting === 0 && data.file !== undefined)
      seconds.set(data.file, (seconds.get(data.file) ?? 0) + data.details.duration_ms / 1000);
    // A suite that was left out counts: none of its tests is reported.
    if (data.skip !== undefined || data.todo !== undefined)
      counts.skipped.push(`${data.name}: ${reason(data.skip) ?? reason(data.todo) ?? "no reason given"}`);
    else if (data.details?.type === "suite") continue;
    else if (type === "test:pass") counts.passed++;
    else {
      counts.failed++;
      counts.failures.push({ name: data.name, file: data.file, error: why(data.details?.error) });
    }
  }
  counts.files = [...seconds].map(([file, took]) => ({ file, seconds: took }));
  yield `${JSON.stringify(counts)}\n`;
}

/** `skip: true` gives no reason, `skip: "no network"` one. */
function reason(given) {
  return typeof given === "string" && given !== "" ? given : undefined;
}

/** node:test wraps what was thrown. */
function why(error) {
  const thrown = error?.cause ?? error;
  return String(thrown?.stack ?? thrown ?? "no error given");
}
