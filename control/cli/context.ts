import type { Command } from "commander";
import { AdminClient } from "./client.ts";
import { UsageError } from "./failure.ts";
import { json, type Streams } from "./output.ts";

/** What every command works with. */
export interface Context {
  env: NodeJS.ProcessEnv;
  streams: Streams;
  /** standard input to its end */
  readInput: () => Promise<string>;
  /** standard input as it comes */
  input?: () => AsyncIterable<Buffer>;
  /** standard error is a terminal */
  terminal?: boolean;
  /** the file that the running command works on, for messages */
  file?: string;
}

export interface GlobalOptions {
  url?: string;
  token?: string;
  environment?: string;
  json?: boolean;
}

/** A command's options together with the global ones. */
export function optionsOf<T extends object>(command: Command): T & GlobalOptions {
  return command.optsWithGlobals();
}

/** The client for the control that flags or variables name. Throws a UsageError without a token. */
export function clientOf(context: Context, options: GlobalOptions, timeoutMs?: number): AdminClient {
  const token = options.token ?? (context.env.TOLLGATE_ADMIN_TOKEN || undefined);
  if (token === undefined) throw new UsageError("No admin token: set TOLLGATE_ADMIN_TOKEN (npm start prints it), or give --token.");
  return new AdminClient({ url: options.url ?? (context.env.TOLLGATE_URL || "http://127.0.0.1:8090"), token, ...(timeoutMs === undefined ? {} : { timeoutMs }) });
}

/** The environment that flags or variables name, or undefined: then the file's, or control's default, holds. */
export function environmentOf(context: Context, options: GlobalOptions): string | undefined {
  return options.environment ?? (context.env.TOLLGATE_ENVIRONMENT || undefined);
}

/** Prints a result: for machines as it is, for people as `text` makes it. */
export function print<T>(context: Context, options: GlobalOptions, value: T, text: (value: T) => string): void {
  context.streams.out(options.json ? json(value) : text(value));
}
