import type { Command } from "commander";
import { AdminClient } from "../tools/client/adminClient.ts";
import { variable } from "../control/settings.ts";
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
  const token = adminTokenOf(context, options);
  if (token === undefined)
    throw new UsageError("No admin token: set TOLLGATE_ADMIN_TOKEN (npm start prints it), or give --token.");
  return new AdminClient({
    url: urlOf(context, options) ?? "http://127.0.0.1:8090",
    token,
    ...(timeoutMs === undefined ? {} : { timeoutMs }),
  });
}

/** The admin token that a flag or a variable gives. Throws a UsageError that names the one whose value is no token. */
export function adminTokenOf(context: Context, options: GlobalOptions): string | undefined {
  const token = options.token?.trim() ?? variable(context.env, "TOLLGATE_ADMIN_TOKEN");
  if (token !== undefined && !/^[\x21-\x7e]+$/.test(token))
    throw new UsageError(
      `${options.token === undefined ? "TOLLGATE_ADMIN_TOKEN" : "--token"} isn't a token: tokens are printable ASCII without blanks.`,
    );
  return token;
}

/** Where control is, if a flag or a variable says so. */
export function urlOf(context: Context, options: GlobalOptions): string | undefined {
  return options.url?.trim() ?? variable(context.env, "TOLLGATE_URL");
}

/** The environment that flags or variables name, or undefined: then the file's, or control's default, holds. */
export function environmentOf(context: Context, options: GlobalOptions): string | undefined {
  return options.environment ?? variable(context.env, "TOLLGATE_ENVIRONMENT");
}

/** Prints a result: for machines as it is, for people as `text` makes it. */
export function print<T>(context: Context, options: GlobalOptions, value: T, text: (value: T) => string): void {
  context.streams.out(options.json ? json(value) : text(value));
}
