/** One host call: the function without `proxy_`, its arguments decoded, and the status it gave. */
export interface HostCall {
  fn: string;
  args: readonly (string | number)[];
  status: number;
}

/** A host call on one line, e.g. `remove_header x-api-key` or `get_shared_data 1f00 -> NotFound`; bytes outside ASCII in hex. */
export function describe(call: HostCall): string {
  const args = call.args
    .map((arg) => (typeof arg === "string" ? printable(arg) : String(arg)))
    .filter((arg) => arg !== "");
  return [call.fn, ...args].join(" ") + (call.status === 0 ? "" : ` -> ${statusName(call.status)}`);
}

const statusNames: Record<number, string> = {
  1: "NotFound",
  2: "BadArgument",
  6: "InvalidMemoryAccess",
  7: "Empty",
  8: "CasMismatch",
  10: "InternalFailure",
  12: "Unimplemented",
};

function statusName(status: number): string {
  return statusNames[status] ?? String(status);
}

function printable(text: string): string {
  return /^[\x20-\x7e]*$/.test(text) ? text : Buffer.from(text, "latin1").toString("hex");
}
