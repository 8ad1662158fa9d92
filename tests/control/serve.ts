/** Control as a process of its own, for tests that stop or kill it. */
import { runControl } from "../../control/main.ts";

process.exitCode = await runControl(process.env, (text) => console.error(text));
