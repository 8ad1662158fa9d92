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
      serve: "run the control service until SIGTERM; its settings are environment variables",
      run: "run control, an Envoy with the filter and a demo upstream on this machine, until Ctrl-C",
      "envoy-config": "print an Envoy configuration for a file's APIs, with the filter, as YAML",
      snapshot: "look into snapshots and what control sends to gateways",
    },
    load: async () => (await import("./commands/local.ts")).addLocalCommands,
  },
  {
    commands: {
      validate: "check a file, without control",
      diff: "say what applying a file would change",
      apply: "make the environment as a file says, in one change",
      export: "print the environment as a tollgate.yaml, keys by digest only",
      compile: "print the plugin's configuration for a gateway without control, the snapshot inside",
    },
    load: async () => (await import("./commands/files.ts")).addFileCommands,
  },
  {
    commands: {
      import: "make a tollgate.yaml of what others describe",
    },
    load: async () => (await import("./commands/importOpenapi.ts")).addImportCommands,
  },
  {
    commands: {
      manifests: "write Kubernetes YAML for a file's APIs: control, the filter, routes and policies, for Istio's ingress gateway",
    },
    load: async () => (await import("./commands/manifests.ts")).addManifestsCommand,
  },
  {
    commands: {
      routes: "print who may call what: routes, scopes, tiers and consumers, limits and where they come from",
    },
    load: async () => (await import("./commands/routes.ts")).addRoutesCommand,
  },
  {
    commands: {
      simulate: "replay access logs against a file's limits: who would have been limited, when, by what",
    },
    load: async () => (await import("./commands/simulate.ts")).addSimulateCommand,
  },
  {
    commands: {
      keys: "issue, list, rotate, revoke, suspend and import keys",
    },
    load: async () => (await import("./commands/keys.ts")).addKeyCommands,
  },
  {
    commands: {
      apis: "list, get, put and delete APIs",
      tiers: "list, get, put and delete tiers",
      consumers: "list, get, put and delete consumers",
    },
    load: async () => (await import("./commands/records.ts")).addRecordCommands,
  },
  {
    commands: {
      usage: "what was admitted and refused",
    },
    load: async () => (await import("./commands/usage.ts")).addUsageCommand,
  },
  {
    commands: {
      quota: "show, reset and extend what limits count of a key or a consumer",
    },
    load: async () => (await import("./commands/quota.ts")).addQuotaCommands,
  },
  {
    commands: {
      environments: "list and create environments",
      "gateway-tokens": "create, list and delete gateway tokens, by which gateways reach the sync port",
      "admin-tokens": "create, list and delete admin tokens",
      gateways: "show each gateway with its version, lag and last contact",
      audit: "show who changed what, newest first; of every environment unless one is named",
    },
    load: async () => (await import("./commands/administration.ts")).addAdministrationCommands,
  },
  {
    commands: {
      doctor: "ask a gateway's Envoy and control, and say what is wrong and what to do; ends with 1 when there is a fault",
    },
    load: async () => (await import("./commands/doctor.ts")).addDoctorCommand,
  },
  {
    commands: {
      "signing-keys": "list and rotate the keys that sign internal tokens",
    },
    load: async () => (await import("./commands/signingKeys.ts")).addSigningKeyCommands,
  },
];
