/** Hosts, paths and origins as the filter compares them: each check gives what is wrong, or `undefined`. */

const label = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?";
const hostName = new RegExp(`^${label}(?:\\.${label})*$`);
const ipv6Literal = /^\[[0-9a-f:.]+\]$/;

export interface Fault {
  message: string;
  remedy: string;
}

/** Checks `*`, `*.suffix` or an exact host, lower case, without port. */
export function hostFault(host: string): Fault | undefined {
  if (host === "*") return undefined;
  const name = host.startsWith("*.") ? host.slice(2) : host;
  if (hostName.test(name) || (name === host && ipv6Literal.test(name))) return undefined;
  if (/:\d*$/.test(name))
    return { message: `Host \`${host}\` has a port.`, remedy: "Leave the port out: hosts are compared without it." };
  if (name.includes("*"))
    return { message: `Host \`${host}\` has \`*\` at an unsupported place.`, remedy: 'Use "*" or "*.example.com".' };
  if (name.includes("/"))
    return {
      message: `Host \`${host}\` holds a path or a scheme.`,
      remedy: "Give the host alone; paths go into `paths`.",
    };
  return {
    message: `Host \`${host}\` is not a host name.`,
    remedy: 'Use "*", "*.example.com" or a name such as api.example.com (international names in their xn-- form).',
  };
}

/** Checks a normalized path prefix: what two readers could read in two ways is refused. */
export function pathFault(path: string): Fault | undefined {
  const fault = (message: string, remedy: string): Fault => ({ message: `Path \`${path}\` ${message}.`, remedy });
  if (!path.startsWith("/")) return fault("doesn't begin with `/`", `Write \`/${path}\`.`);
  if (!/^[\x21-\x7e]+$/.test(path)) return fault("holds a space or a character outside ASCII", "Use printable ASCII.");
  const special = /[%;\\?#*{}]/.exec(path)?.[0];
  if (special === "?" || special === "#")
    return fault(`holds \`${special}\``, "Give the path alone, without a query or a fragment.");
  if (special === "*") return fault("holds `*`", "Paths are prefixes already: leave the `*` out.");
  // A template taken to the letter would match no request; Istio's policies refuse braces besides.
  if (special === "{" || special === "}")
    return fault(`holds \`${special}\``, "Paths are prefixes, not templates: give what comes before the parameter.");
  if (special !== undefined)
    return fault(
      `holds \`${special}\``,
      "Escapes, parameters and backslashes aren't taken in paths; choose a prefix without them.",
    );
  if (path.includes("//")) return fault("holds `//`", "Write one `/`.");
  if (path.split("/").some((segment) => segment === "." || segment === ".."))
    return fault("has a `.` or `..` segment", "Write the path that it means.");
  if (path.length > 1 && path.endsWith("/"))
    return fault("ends with `/`", `Write \`${path.replace(/\/+$/, "")}\`: a prefix ends on a segment's border anyway.`);
  return undefined;
}

/** Is `path` the prefix itself, or below it on a segment's border? */
export function pathWithin(path: string, prefix: string): boolean {
  return prefix === "/" || path === prefix || path.startsWith(`${prefix}/`);
}

/** Checks a CORS origin: `*`, `scheme://host[:port]`, `https://*.suffix` (RFC 6454 section 6.2, lower case). */
export function originFault(origin: string): Fault | undefined {
  if (origin === "*" || origin === "null") {
    return origin === "*"
      ? undefined
      : { message: "Origin `null` would admit every sandboxed page.", remedy: "Name real origins." };
  }
  const match = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?(\[[0-9a-f:.]+\]|[^/:@?#\s]+)(?::(\d{1,5}))?$/.exec(origin);
  if (match === null || (!hostName.test(match[3]!) && !ipv6Literal.test(match[3]!)) || Number(match[4] ?? 0) > 65_535) {
    return {
      message: `Origin \`${origin}\` is not an origin.`,
      remedy: 'Use https://app.example.com (scheme, host and port only, lower case), https://*.example.com or "*".',
    };
  }
  return undefined;
}
