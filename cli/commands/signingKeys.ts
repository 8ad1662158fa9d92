/** signing-keys: the keys that sign internal tokens. */
import type { Command } from "commander";
import { clientOf, environmentOf, optionsOf, print, type Context } from "../context.ts";
import { table, type Column } from "../output.ts";
import { durationSeconds } from "../values.ts";
import type { Listed } from "./records.ts";

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
  const keys = program.command("signing-keys").description("list and rotate the keys that sign internal tokens");
  keys
    .command("list")
    .description("list the keys that services may see, without the private parts")
    .action(async (_options, command: Command) => {
      const options = optionsOf(command);
      const { items } = await clientOf(context, options).call<Listed<TokenKey>>("GET", "/v1/signing-keys", { query: { environment: environmentOf(context, options) } });
      print(context, options, items, () => table(items, columns));
    });
  keys
    .command("rotate")
    .description("publish a new key, and sign by it later; the one before verifies until its tokens are over")
    .option("--publish <length>", "so long it's published before it signs, such as 30m: longer than services keep a key set", durationSeconds)
    .option("--withdraw", "the present key has leaked: sign by the new one at once, and publish no other")
    .action(async (_options, command: Command) => {
      const options = optionsOf<{ publish?: number; withdraw?: boolean }>(command);
      const body = { publishSeconds: options.publish, withdraw: options.withdraw };
      const { items } = await clientOf(context, options).call<Listed<TokenKey>>("POST", "/v1/signing-keys/rotate", { query: { environment: environmentOf(context, options) }, body });
      print(context, options, items, () => table(items, columns));
    });
}
