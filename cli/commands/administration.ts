/** environments, gateway-tokens, admin-tokens, gateways, audit. */
import type { Command } from "commander";
import { clientOf, environmentOf, optionsOf, print, type Context } from "../context.ts";
import { table, words, type Column } from "../output.ts";
import { collect, expiry, momentHelp } from "../values.ts";
import { printList, withLimit } from "./records.ts";
import { listAll, type Listed } from "../../tools/client/listAll.ts";

interface Environment {
  id: string;
  epoch: string;
  version: number;
  createdAt: string;
}

interface Token {
  id: string;
  name: string;
  createdAt: string;
  expiresAt: string | null;
  lastUsedAt: string | null;
  group?: string;
  apis?: string[] | null;
}

interface Gateway {
  id: string;
  group: string;
  state: string;
  version: number;
  applied: number;
  lag: number;
  workers: number;
  lastContact: string;
}

interface AuditEntry {
  time: string;
  environment: string | null;
  actor: string;
  action: string;
  kind: string;
  id: string;
  version: number | null;
}

const environmentColumns: Column<Environment>[] = [
  { title: "ID", value: (environment) => environment.id },
  { title: "VERSION", value: (environment) => environment.version },
  { title: "EPOCH", value: (environment) => environment.epoch },
  { title: "CREATED", value: (environment) => environment.createdAt },
];

const tokenColumns: Column<Token>[] = [
  { title: "ID", value: (token) => token.id },
  { title: "NAME", value: (token) => token.name },
  { title: "CREATED", value: (token) => token.createdAt },
  { title: "EXPIRES", value: (token) => token.expiresAt },
  { title: "LAST USED", value: (token) => token.lastUsedAt },
];

const gatewayTokenColumns: Column<Token>[] = [
  ...tokenColumns.slice(0, 2),
  { title: "GROUP", value: (token) => token.group },
  { title: "APIS", value: (token) => (token.apis == null ? "all" : words(token.apis) || "none") },
  ...tokenColumns.slice(2),
];

const gatewayColumns: Column<Gateway>[] = [
  { title: "ID", value: (gateway) => gateway.id },
  { title: "GROUP", value: (gateway) => gateway.group },
  { title: "STATE", value: (gateway) => gateway.state },
  { title: "VERSION", value: (gateway) => gateway.version },
  { title: "APPLIED", value: (gateway) => gateway.applied },
  { title: "LAG", value: (gateway) => gateway.lag },
  { title: "WORKERS", value: (gateway) => gateway.workers },
  { title: "LAST CONTACT", value: (gateway) => gateway.lastContact },
];

const auditColumns: Column<AuditEntry>[] = [
  { title: "TIME", value: (entry) => entry.time },
  { title: "ACTOR", value: (entry) => entry.actor },
  { title: "ACTION", value: (entry) => entry.action },
  { title: "KIND", value: (entry) => entry.kind },
  { title: "ID", value: (entry) => entry.id },
  { title: "ENVIRONMENT", value: (entry) => entry.environment },
  { title: "VERSION", value: (entry) => entry.version },
];

export function addAdministrationCommands(program: Command, context: Context): void {
  addEnvironments(program, context);
  addGatewayTokens(program, context);
  addAdminTokens(program, context);

  program
    .command("gateways")
    .description("List gateways with their version, lag and last contact.")
    .action(async (_options, command: Command) => {
      const options = optionsOf(command);
      const answer = await clientOf(context, options).call<{ version: number; items: Gateway[] }>(
        "GET",
        "/v1/gateways",
        { query: { environment: environmentOf(context, options) } },
      );
      print(
        context,
        options,
        answer,
        ({ version, items }) => `${table(items, gatewayColumns)}The environment is at version ${version}.\n`,
      );
    });

  withLimit(program.command("audit"))
    .description("Show the audit log, newest entries first. Covers all environments unless you name one.")
    .option("--actor <name>", "Show only changes made with the admin token of this name")
    .option("--action <action>", "Show only this action: create, update, delete, apply, issue, rotate, revoke, …")
    .option(
      "--kind <kind>",
      "Show only this kind of record: api, tier, consumer, key, environment, gateway-token, admin-token, internal-token or token-key",
    )
    .option("--id <id>", "Show only the record with this ID")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ limit: number; actor?: string; action?: string; kind?: string; id?: string }>(
        command,
      );
      const { actor, action, kind, id } = options;
      const query = { environment: environmentOf(context, options), actor, action, kind, id };
      printList(
        context,
        options,
        await listAll<AuditEntry>(clientOf(context, options), "/v1/audit", query, options.limit),
        auditColumns,
      );
    });
}

function addEnvironments(program: Command, context: Context): void {
  const environments = program.command("environments").description("List and create environments.");
  environments
    .command("list")
    .description("List environments with their versions.")
    .action(async (_options, command: Command) => {
      const options = optionsOf(command);
      const { items } = await clientOf(context, options).call<Listed<Environment>>("GET", "/v1/environments");
      print(context, options, items, () => table(items, environmentColumns));
    });
  environments
    .command("create <id>")
    .description("Create an environment.")
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      const made = await clientOf(context, options).call<Environment>("POST", "/v1/environments", { body: { id } });
      print(context, options, made, () => `${id} is created.\n`);
    });
  environments
    .command("renew-epoch <id>")
    .description(
      "Renew the epoch, so that every gateway loads a full snapshot. Do this after you restore the database from a backup.",
    )
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      const renewed = await clientOf(context, options).call<Environment>(
        "POST",
        `/v1/environments/${encodeURIComponent(id)}/renew-epoch`,
      );
      print(context, options, renewed, () => `${id} has the epoch ${renewed.epoch}.\n`);
    });
}

function addGatewayTokens(program: Command, context: Context): void {
  const tokens = addTokens(
    program,
    context,
    "gateway-tokens",
    "gateway tokens, which authenticate gateways to the control plane",
    gatewayTokenColumns,
  );
  tokens
    .command("create")
    .description("Create a gateway token. The token is shown only once. A gateway group has at most two valid tokens.")
    .requiredOption("--group <name>", "Gateway group")
    .option("--name <name>", "Display name")
    .option("--api <id>", "ID of an API that the group receives; repeatable (default: all)", collect)
    .option("--expires <time>", `When the token expires: ${momentHelp}`, (text) => expiry(text))
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ group: string; name?: string; api?: string[]; expires?: string }>(command);
      const body = { group: options.group, name: options.name, apis: options.api, expiresAt: options.expires };
      const made = await clientOf(context, options).call<Token & { token: string }>("POST", "/v1/gateway-tokens", {
        query: { environment: environmentOf(context, options) },
        body,
      });
      print(context, options, made, tokenText);
    });
}

function addAdminTokens(program: Command, context: Context): void {
  const tokens = addTokens(program, context, "admin-tokens", "admin tokens", tokenColumns);
  tokens
    .command("create")
    .description("Create an admin token. The token is shown only once.")
    .requiredOption("--name <name>", "Name of the owner, as the audit log shows it")
    .option("--expires <time>", `When the token expires: ${momentHelp}`, (text) => expiry(text))
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ name: string; expires?: string }>(command);
      const made = await clientOf(context, options).call<Token & { token: string }>("POST", "/v1/admin-tokens", {
        body: { name: options.name, expiresAt: options.expires },
      });
      print(context, options, made, tokenText);
    });
}

/** A command with list and delete; admin tokens belong to no environment. */
function addTokens(
  program: Command,
  context: Context,
  section: "gateway-tokens" | "admin-tokens",
  title: string,
  columns: readonly Column<Token>[],
): Command {
  const parent = program.command(section).description(`Create, list and delete ${title}.`);
  const query = (options: object): Record<string, string | undefined> =>
    section === "gateway-tokens" ? { environment: environmentOf(context, options) } : {};
  parent
    .command("list")
    .description("List tokens without their secrets.")
    .action(async (_options, command: Command) => {
      const options = optionsOf(command);
      const { items } = await clientOf(context, options).call<Listed<Token>>("GET", `/v1/${section}`, {
        query: query(options),
      });
      print(context, options, items, () => table(items, columns));
    });
  parent
    .command("delete <id>")
    .description("Delete a token. Requests that use it are rejected from now on.")
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      await clientOf(context, options).call("DELETE", `/v1/${section}/${encodeURIComponent(id)}`, {
        query: query(options),
      });
      print(context, options, { id, deleted: true }, () => `${id} is deleted.\n`);
    });
  return parent;
}

function tokenText(made: Token & { token: string }): string {
  return `token ${made.token}\nid    ${made.id}\nSave the token now. It is not stored and can't be shown again.\n`;
}
