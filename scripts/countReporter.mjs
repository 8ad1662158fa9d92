/**
 * A reporter for node:test: one JSON line of counts, the names of skipped tests and what failed with why, when all is over. Suites
 * (`describe`) aren't counted.
 */
export default async function* countReporter(source) {
  const counts = { passed: 0, failed: 0, skipped: [], failures: [] };
  for await (const { type, data } of source) {
    // What comes after a test's end fails its file, which gives no reason: this is it.
    if (type === "test:diagnostic" && data.message.startsWith("Error: ")) counts.failures.push({ name: "after its end", error: data.message });
    if (type !== "test:pass" && type !== "test:fail") continue;
    // A suite that was left out counts: none of its tests is reported.
    if (data.skip !== undefined || data.todo !== undefined) counts.skipped.push(`${data.name}: ${reason(data.skip) ?? reason(data.todo) ?? "no reason given"}`);
    else if (data.details?.type === "suite") continue;
    else if (type === "test:pass") counts.passed++;
    else {
      counts.failed++;
      counts.failures.push({ name: data.name, file: data.file, error: why(data.details?.error) });
    }
  }
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
