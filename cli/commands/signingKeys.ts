/** signing-keys: the keys that sign internal tokens. */
import type { Command } from "commander";
import { clientOf, environmentOf, optionsOf, print, type Context } from "../context.ts";
import { table, type Column } from "../output.ts";
import { durationSeconds } from "../values.ts";
import type { Listed } from "../../tools/client/listAll.ts";

interface TokenKey {
  kid: string;
  state: "coming" | "signing" | "verifying";
  createdAt: string;
  signsFrom: string;
  endsAt: string | null;
}

const columns: Column<TokenKey>[] = [
  { title: "KID", value: (key) => key.kid },
  { title: "STATE", value: (key) => key.state },
  { title: "CREATED", value: (key) => key.createdAt },
  { title: "SIGNS FROM", value: (key) => key.signsFrom },
  { title: "ENDS", value: (key) => key.endsAt },
];

export function addSigningKeyCommands(program: Command, context: Context): void {
  const keys = program.command("signing-keys").description("List and rotate the keys that sign internal tokens.");
  keys
    .command("list")
    .description("List the published keys without their private parts.")
    .action(async (_options, command: Command) => {
      const options = optionsOf(command);
      const { items } = await clientOf(context, options).call<Listed<TokenKey>>("GET", "/v1/signing-keys", {
        query: { environment: environmentOf(context, options) },
      });
      print(context, options, items, () => table(items, columns));
    });
  keys
    .command("rotate")
    .description("Publish a new key that signs later. The previous key verifies until its tokens have expired.")
    .option(
      "--publish <length>",
      "How long the key is published before it signs, such as 30m; choose more than services cache a key set",
      durationSeconds,
    )
    .option("--withdraw", "Sign with the new key immediately and stop publishing all others; for a key that has leaked")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ publish?: number; withdraw?: boolean }>(command);
      const body = { publishSeconds: options.publish, withdraw: options.withdraw };
      const { items } = await clientOf(context, options).call<Listed<TokenKey>>("POST", "/v1/signing-keys/rotate", {
        query: { environment: environmentOf(context, options) },
        body,
      });
      print(context, options, items, () => table(items, columns));
    });
}
