import assert from "node:assert/strict";
import { it } from "node:test";
import { heldRequests } from "../../bench/limits.ts";

it("takes those for held that were longest on their way through the filters, once the run has begun", () => {
  const log = "1000 90000 90500\n2000 60 700\n2001 12000 12600\n2002 80 30000\n2003 4000 5000\n";
  assert.deepEqual(heldRequests(log, 2000, 2), [12.6, 5]);
  assert.deepEqual(heldRequests(log, 2000, 0), []);
});
