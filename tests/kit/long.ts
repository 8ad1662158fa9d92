/** The long versions of tests: `npm run test:long`. */
const isLong = process.env["TOLLGATE_TEST_LONG"] === "1";

/** How often something is tried: short in `npm test`, long by command. */
export function runs(short: number, long: number): number {
  return isLong ? long : short;
}
