/** tiers, apis, consumers: list, get, put, delete; and what listing has in common with keys. */
import type { Command } from "commander";
import type { Api, Consumer, Tier } from "../../control/domain/model.ts";
import { clientOf, environmentOf, optionsOf, print, type Context } from "../context.ts";
import { RefusedError } from "../failure.ts";
import { readYaml, withFile } from "../input.ts";
import { table, words, type Column } from "../output.ts";
import { recordText } from "../recordText.ts";
import { wholeNumber } from "../values.ts";
import { listAll } from "../../tools/client/listAll.ts";

const standardLimit = 100;

/** Adds `--limit`. */
export function withLimit(command: Command): Command {
  return command.option("--limit <number>", "Maximum number of rows; 0 shows all", wholeNumber(0), standardLimit);
}

/** Prints what `listAll` gave, and on standard error that there is more. */
export function printList<T>(
  context: Context,
  options: { json?: boolean },
  list: { items: T[]; more: boolean },
  columns: readonly Column<T>[],
): void {
  print(context, options, list.items, (items) => table(items, columns));
  if (list.more) context.streams.err(`There are more: --limit 0 shows all.\n`);
}

const apiColumns: Column<Api>[] = [
  { title: "ID", value: (api) => api.id },
  { title: "HOSTS", value: (api) => words(api.hosts) },
  { title: "PATHS", value: (api) => words(api.paths) },
  { title: "METHODS", value: (api) => words(api.methods) },
  { title: "AUTH", value: (api) => api.auth.mode },
  { title: "SCOPES", value: (api) => words(api.scopes) },
  { title: "UPSTREAM", value: (api) => `${api.upstream.service}:${api.upstream.port}` },
];

const tierColumns: Column<Tier>[] = [
  { title: "ID", value: (tier) => tier.id },
  { title: "SCOPES", value: (tier) => words(tier.scopes) },
  { title: "APIS", value: (tier) => (tier.apis === undefined ? "all" : words(tier.apis) || "none") },
  {
    title: "LIMITS",
    value: (tier) =>
      words(tier.limits.map((limit) => `${limit.name}:${limit.limit}/${limit.period ?? `${limit.windowSeconds}s`}`)),
  },
];

const consumerColumns: Column<Consumer>[] = [
  { title: "ID", value: (consumer) => consumer.id },
  { title: "NAME", value: (consumer) => consumer.name },
  { title: "TIER", value: (consumer) => consumer.tier },
  { title: "STATE", value: (consumer) => (consumer.suspended ? "suspended" : "active") },
  {
    title: "CLAIMS",
    value: (consumer) => words(Object.entries(consumer.claims).map(([name, value]) => `${name}=${value}`)),
  },
];

export function addRecordCommands(program: Command, context: Context): void {
  addKind(program, context, "apis", "APIs", apiColumns);
  addKind(program, context, "tiers", "tiers", tierColumns);
  const consumers = addKind(program, context, "consumers", "consumers", consumerColumns);
  addAction(
    consumers,
    context,
    "consumers",
    "suspend",
    "Suspend a consumer: deny all of its keys and tokens until you resume it.",
    "suspended",
  );
  addAction(consumers, context, "consumers", "resume", "Resume a suspended consumer.", "active again");
}

/** Adds a command that posts to `/v1/<section>/<id>/<action>`. */
export function addAction(
  parent: Command,
  context: Context,
  section: string,
  action: string,
  description: string,
  done: string,
): void {
  parent
    .command(`${action} <id>`)
    .description(description)
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      const path = `/v1/${section}/${encodeURIComponent(id)}/${action}`;
      const answer = await clientOf(context, options).call<object>("POST", path, {
        query: { environment: environmentOf(context, options) },
      });
      print(context, options, answer, () => `${id} is ${done}.\n`);
    });
}

/** Adds get and delete, the same for every section. */
export function addGetAndDelete(parent: Command, context: Context, section: string): void {
  parent
    .command("get <id>")
    .description("Show one record.")
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      const found = await clientOf(context, options).call<object>("GET", `/v1/${section}/${encodeURIComponent(id)}`, {
        query: { environment: environmentOf(context, options) },
      });
      print(context, options, found, recordText);
    });
  parent
    .command("delete <id>")
    .description("Delete one record.")
    .action(async (id: string, _options, command: Command) => {
      const options = optionsOf(command);
      await clientOf(context, options).call("DELETE", `/v1/${section}/${encodeURIComponent(id)}`, {
        query: { environment: environmentOf(context, options) },
      });
      print(context, options, { id, deleted: true }, () => `${id} is deleted.\n`);
    });
}

function addKind<T extends { id: string }>(
  program: Command,
  context: Context,
  section: string,
  title: string,
  columns: readonly Column<T>[],
): Command {
  const parent = program.command(section).description(`List, get, put and delete ${title}.`);
  withLimit(parent.command("list"))
    .description(`List ${title}.`)
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ limit: number }>(command);
      printList(
        context,
        options,
        await listAll<T>(
          clientOf(context, options),
          `/v1/${section}`,
          { environment: environmentOf(context, options) },
          options.limit,
        ),
        columns,
      );
    });
  addGetAndDelete(parent, context, section);
  withFile(parent.command("put"))
    .description("Create or replace one record, or each of a list, from YAML or JSON. Every record needs an `id`.")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ file: string }>(command);
      const client = clientOf(context, options);
      const content = await readYaml(context, options.file);
      const results: unknown[] = [];
      for (const item of Array.isArray(content) ? content : [content]) {
        const id = (item as { id?: unknown } | null)?.id;
        if (typeof id !== "string") {
          const why =
            id === undefined || id === null
              ? "every record needs an `id`"
              : `the id ${JSON.stringify(id)} is a ${typeof id}: write it in quotes, such as id: "00123"`;
          throw new RefusedError(`${context.file}: ${why}; ${results.length} were put before this one.`);
        }
        results.push(
          await client.call("PUT", `/v1/${section}/${encodeURIComponent(id)}`, {
            query: { environment: environmentOf(context, options) },
            body: item,
          }),
        );
        if (!options.json) context.streams.out(`${id} is put.\n`);
      }
      if (options.json) print(context, options, Array.isArray(content) ? results : results[0], () => "");
    });
  return parent;
}
