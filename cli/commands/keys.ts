import { createReadStream } from "node:fs";
import { access } from "node:fs/promises";
import type { Readable } from "node:stream";
import type { Command } from "commander";
import type { Key } from "../../control/domain/model.ts";
import { parseTime } from "../../control/domain/time.ts";
import { clientOf, environmentOf, optionsOf, print, type Context, type GlobalOptions } from "../context.ts";
import { RefusedError } from "../failure.ts";
import { withFile } from "../input.ts";
import { words, type Column } from "../output.ts";
import { collect, durationSeconds, expiry, momentHelp, timeOrLength } from "../values.ts";
import { addAction, addGetAndDelete, printList, withLimit } from "./records.ts";
import { listAll } from "../../tools/client/listAll.ts";

const importTimeoutMs = 3_600_000;

const columns: Column<Key>[] = [
  { title: "ID", value: (key) => key.id },
  { title: "PREFIX", value: (key) => key.prefix },
  { title: "CONSUMER", value: (key) => key.consumer },
  { title: "TIER", value: (key) => key.tier },
  { title: "STATE", value: (key) => shownState(key, Date.now()) },
  { title: "EXPIRES", value: (key) => key.expiresAt },
  { title: "NAME", value: (key) => key.name },
];

interface CreateOptions {
  consumer: string;
  id?: string;
  name?: string;
  tier?: string;
  expires?: string;
  notBefore?: string;
  cidr?: string[];
  api?: string[];
  scope?: string[];
}

interface ImportResult {
  created: number;
  unchanged: number;
  failed: number;
  errors: { line: number; path: string; message: string; remedy: string }[];
}

type Issued = Key & { key: string; warning?: string };

export function addKeyCommands(program: Command, context: Context): void {
  const keys = program.command("keys").description("Create, list, rotate, revoke, suspend and import API keys.");

  keys
    .command("create")
    .description("Create an API key. The key is shown only once.")
    .requiredOption("--consumer <id>", "ID of the consumer that owns the key")
    .option("--id <id>", "ID of the key (default: generated)")
    .option("--name <name>", "Display name")
    .option("--tier <id>", "Tier of the key (default: the tier of the consumer)")
    .option("--expires <time>", `When the key expires: ${momentHelp}`, (text) => expiry(text))
    .option("--not-before <time>", `When the key becomes valid: ${momentHelp}`, (text) => timeOrLength(text))
    .option("--cidr <network>", "Network that callers must call from; repeatable", collect)
    .option("--api <id>", "Allow only this API; repeatable", collect)
    .option("--scope <scope>", "Allow only this scope of the tier; repeatable", collect)
    .action(async (_options, command: Command) => {
      const options = optionsOf<CreateOptions>(command);
      const { consumer, id, name, tier, expires, notBefore, cidr, api, scope } = options;
      const body = {
        consumer,
        id,
        name,
        tier,
        expiresAt: expires,
        notBefore,
        allowedCidrs: cidr,
        apis: api,
        scopes: scope,
      };
      const issued = await clientOf(context, options).call<Issued>("POST", "/v1/keys", {
        query: { environment: environmentOf(context, options) },
        body,
      });
      print(context, options, issued, () => issuedText(issued));
      warn(context, options, issued);
    });

  withLimit(keys.command("list"))
    .description("List API keys without their secrets.")
    .option("--consumer <id>", "Show only keys of this consumer")
    .option("--state <state>", "Show only keys in this state: active, suspended or revoked")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ limit: number; consumer?: string; state?: string }>(command);
      const query = { environment: environmentOf(context, options), consumer: options.consumer, state: options.state };
      printList(
        context,
        options,
        await listAll<Key>(clientOf(context, options), "/v1/keys", query, options.limit),
        columns,
      );
    });

  addGetAndDelete(keys, context, "keys");

  keys
    .command("rotate <id>")
    .description(
      "Create a successor with the same permissions. The old key stays valid for a grace period, but never beyond its own expiry.",
    )
    .option(
      "--grace <length>",
      "How long the old key stays valid, such as 24h; 0 revokes it immediately (default: 24h)",
      durationSeconds,
    )
    .option("--new-id <id>", "ID of the new key (default: generated)")
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf<{ grace?: number; newId?: string }>(command);
      const path = `/v1/keys/${encodeURIComponent(id)}/rotate`;
      const rotated = await clientOf(context, options).call<Issued & { previous: Key }>("POST", path, {
        query: { environment: environmentOf(context, options) },
        body: { graceSeconds: options.grace, id: options.newId },
      });
      const { previous } = rotated;
      const fate = previous.state === "revoked" ? "is revoked" : `is valid until ${previous.expiresAt}`;
      print(context, options, rotated, () => `${issuedText(rotated)}The old key ${previous.id} ${fate}.\n`);
      warn(context, options, rotated);
    });

  addAction(keys, context, "keys", "revoke", "Revoke an API key permanently.", "revoked");
  addAction(keys, context, "keys", "suspend", "Suspend an API key until you resume it.", "suspended");
  addAction(keys, context, "keys", "resume", "Resume a suspended API key.", "active again");

  withFile(keys.command("import"))
    .description(
      "Import API keys from JSON lines with `consumer` and either `sha256` or `key`. The control plane hashes each `key` and stores only the digest.",
    )
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string }>(command);
      const client = clientOf(context, options, importTimeoutMs);
      const body = await lineStream(options.file);
      const result = await client.call<ImportResult>("POST", "/v1/keys/import", {
        query: { environment: environmentOf(context, options) },
        raw: { contentType: "application/x-ndjson", body },
      });
      print(
        context,
        options,
        result,
        () => `${result.created} created, ${result.unchanged} unchanged, ${result.failed} failed.\n`,
      );
      if (result.failed === 0) return;
      if (!options.json)
        for (const { line, path, message, remedy } of result.errors)
          context.streams.err(`${options.file}:${line}: ${path === "" ? "" : `${path}: `}${message} ${remedy}\n`);
      throw new RefusedError("");
    });
}

/** The state, with what an active key's times and rotation make of it. */
function shownState(key: Key, nowMs: number): string {
  if (key.state !== "active") return key.state;
  if (key.expiresAt !== undefined && parseTime(key.expiresAt)! <= nowMs) return "expired";
  if (key.notBefore !== undefined && parseTime(key.notBefore)! > nowMs) return "not yet";
  return key.rotatedTo === undefined ? "active" : "rotated";
}

function warn(context: Context, { json }: GlobalOptions, { warning }: Issued): void {
  if (warning !== undefined && json !== true) context.streams.err(`warning: ${warning}\n`);
}

function issuedText(issued: Issued): string {
  const lines = [`key      ${issued.key}`, `id       ${issued.id}`, `consumer ${issued.consumer}`];
  if (issued.tier !== undefined) lines.push(`tier     ${issued.tier}`);
  if (issued.expiresAt !== undefined) lines.push(`expires  ${issued.expiresAt}`);
  const scopes = words(issued.scopes);
  if (scopes !== undefined) lines.push(`scopes   ${scopes}`);
  return `${lines.join("\n")}\nSave the key now. It is not stored and can't be shown again.\n`;
}

/** A file, or standard input for `-`, as a stream: an import may be larger than memory. */
async function lineStream(path: string): Promise<Readable> {
  if (path === "-") return process.stdin;
  await access(path).catch((error: Error) => {
    throw new RefusedError(`${path} can't be read: ${error.message}`);
  });
  return createReadStream(path);
}
