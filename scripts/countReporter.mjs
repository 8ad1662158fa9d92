/** A reporter for node:test: one JSON line of counts and the names of skipped tests, when all is over. Suites (`describe`) aren't counted. */
export default async function* countReporter(source) {
  const counts = { passed: 0, failed: 0, skipped: [] };
  for await (const { type, data } of source) {
    if (type !== "test:pass" && type !== "test:fail") continue;
    // A suite that was left out counts: none of its tests is reported.
    if (data.skip !== undefined || data.todo !== undefined) counts.skipped.push(`${data.name}: ${reason(data.skip) ?? reason(data.todo) ?? "no reason given"}`);
    else if (data.details?.type === "suite") continue;
    else if (type === "test:pass") counts.passed++;
    else counts.failed++;
  }
  yield `${JSON.stringify(counts)}\n`;
}

/** `skip: true` gives no reason, `skip: "no network"` one. */
function reason(given) {
  return typeof given === "string" && given !== "" ? given : undefined;
}
