/** The commands by what their files define: help lists them without loading any of the files. */
import type { Command } from "commander";
import type { Context } from "./context.ts";

export interface CommandGroup {
  /** the names of its commands with their descriptions, in order of the help */
  commands: Readonly<Record<string, string>>;
  /** Loads the group's file; its function adds the commands to the program. */
  load: () => Promise<(program: Command, context: Context) => void>;
}

export const commandGroups: readonly CommandGroup[] = [
  {
    commands: {
      serve: "Run the control plane until SIGTERM. Environment variables configure it.",
      run: "Run a control plane, an Envoy with the filter and a demo upstream on this machine until Ctrl-C.",
      "envoy-config": "Print an Envoy configuration with the filter for the APIs of a file, as YAML.",
      snapshot: "Inspect snapshots and other messages that the control plane sends to gateways.",
    },
    load: async () => (await import("./commands/local.ts")).addLocalCommands,
  },
  {
    commands: {
      validate: "Validate a configuration file without a control plane.",
      diff: "Preview what applying a configuration file would change.",
      apply: "Apply a configuration file atomically.",
      export: "Export the environment as a configuration file. Keys are exported as digests only.",
      compile: "Print the plugin configuration, with a snapshot, for a gateway without a control plane.",
    },
    load: async () => (await import("./commands/files.ts")).addFileCommands,
  },
  {
    commands: {
      import: "Create a configuration file from another format.",
    },
    load: async () => (await import("./commands/importOpenapi.ts")).addImportCommands,
  },
  {
    commands: {
      manifests:
        "Write Kubernetes manifests for an Istio ingress gateway: the control plane, the filter, routes and policies.",
    },
    load: async () => (await import("./commands/manifests.ts")).addManifestsCommand,
  },
  {
    commands: {
      routes: "Show who may call which routes: scopes, tiers and consumers, limits and where they are defined.",
    },
    load: async () => (await import("./commands/routes.ts")).addRoutesCommand,
  },
  {
    commands: {
      simulate:
        "Replay access logs against the limits of a file. Shows which callers would have been limited, when, and by which limit.",
    },
    load: async () => (await import("./commands/simulate.ts")).addSimulateCommand,
  },
  {
    commands: {
      keys: "Create, list, rotate, revoke, suspend and import API keys.",
    },
    load: async () => (await import("./commands/keys.ts")).addKeyCommands,
  },
  {
    commands: {
      apis: "List, get, put and delete APIs.",
      tiers: "List, get, put and delete tiers.",
      consumers: "List, get, put and delete consumers.",
    },
    load: async () => (await import("./commands/records.ts")).addRecordCommands,
  },
  {
    commands: {
      usage: "Show how many requests were allowed and denied.",
    },
    load: async () => (await import("./commands/usage.ts")).addUsageCommand,
  },
  {
    commands: {
      quota: "Show, reset and extend the quotas of a key or a consumer.",
    },
    load: async () => (await import("./commands/quota.ts")).addQuotaCommands,
  },
  {
    commands: {
      environments: "List and create environments.",
      "gateway-tokens": "Create, list and delete gateway tokens, which authenticate gateways to the control plane.",
      "admin-tokens": "Create, list and delete admin tokens.",
      gateways: "List gateways with their version, lag and last contact.",
      audit: "Show the audit log, newest entries first. Covers all environments unless you name one.",
    },
    load: async () => (await import("./commands/administration.ts")).addAdministrationCommands,
  },
  {
    commands: {
      doctor: "Diagnose a gateway and its control plane, and suggest fixes. Exits with 1 if it finds a fault.",
    },
    load: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  },
  {
    commands: {
      "signing-keys": "List and rotate the keys that sign internal tokens.",
    },
    load: async () => (await import("./commands/signingKeys.ts")).addSigningKeyCommands,
  },
  {
    commands: {
      completion: "Print a completion script for bash, zsh or fish.",
    },
    load: async () => {
      const { addCompletionCommand } = await import("./commands/completion.ts");
      return (program, context) => addCompletionCommand(program, context, () => everyCommand(program, context));
    },
  },
];

/** A program like this one, with the commands of every group. */
async function everyCommand(like: Command, context: Context): Promise<Command> {
  const program = like.createCommand("tollgate");
  for (const option of like.options) program.addOption(option);
  for (const { load } of commandGroups) (await load())(program, context);
  return program;
}
