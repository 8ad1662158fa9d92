/** Asks Envoy and control, and puts together what the checks judge. */
import { askControl } from "./askControl.ts";
import { askEnvoy } from "./askEnvoy.ts";
import { reached, type Evidence } from "./evidence.ts";
import { readDump } from "./dump.ts";
import { environmentOf, pluginsOf } from "./plugins.ts";

export interface Questions {
  /** undefined: don't ask */
  envoyAdmin: string | undefined;
  /** undefined: don't ask */
  control: { url: string; token: string | undefined; mayBeSilent: boolean } | undefined;
  expectedSha256: string[];
  waitMs: number;
  /** beside those that the gateway's plugins name */
  environment: string | undefined;
}

export async function gather(questions: Questions): Promise<Evidence> {
  const envoy = questions.envoyAdmin === undefined ? notAsked : await askEnvoy(questions.envoyAdmin, questions.waitMs);
  const named = reached(envoy) ? readDump(envoy.configDump).chains.flatMap(pluginsOf).map(environmentOf) : [];
  const environments = [
    ...new Set([...named, ...(questions.environment === undefined ? [] : [questions.environment])]),
  ].filter((name) => name !== "");
  const asked =
    questions.control === undefined
      ? notAsked
      : await askControl(questions.control.url, questions.control.token, environments);
  const control = !reached(asked) && questions.control?.mayBeSilent === true ? { ...asked, notAsked: true } : asked;
  return { version: 1, takenMs: Date.now(), envoy, control, expectedSha256: questions.expectedSha256 };
}

const notAsked = { url: "", unreached: "it was not asked", notAsked: true };
