import { type DestinationStream, type Logger, pino } from "pino";
import type { LogLevel } from "./config.ts";
import { maskSecrets } from "./secrets.ts";

/** Names under which a secret could reach the log by mistake, at the top and one level down. */
const secrets = ["authorization", "key", "token", "password", "cookie"];

/** A logger of JSON lines that can't show keys or tokens. */
export function createLogger(level: LogLevel, destination?: DestinationStream): Logger {
  const paths = [
    ...secrets,
    ...secrets.map((name) => `*.${name}`),
    "req.headers.authorization",
    "headers.authorization",
  ];
  const options = { level, base: null, redact: { paths, censor: "[redacted]" }, hooks: { streamWrite: maskSecrets } };
  return destination === undefined ? pino(options) : pino(options, destination);
}
