/** The `tollgate` program. */
import { text } from "node:stream/consumers";
import { runCli } from "./program.ts";

process.exitCode = await runCli(process.argv.slice(2), {
  env: process.env,
  streams: {
    out: (chunk) => void process.stdout.write(chunk),
    err: (chunk) => void process.stderr.write(chunk),
  },
  readInput: () => text(process.stdin),
  input: () => process.stdin,
  terminal: process.stderr.isTTY,
});
