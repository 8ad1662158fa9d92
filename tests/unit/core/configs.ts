import { Config, configError, parseConfig } from "../../../assembly/config/parse";
import { rawBytes } from "../helpers";

/** A standalone configuration of the environment `default` with these further members, such as `,"mode":"observe"`. */
export function configWith(members: string = ""): Config {
  const text = rawBytes('{"environment":"default","snapshot":"AA=="' + members + "}");
  const config = parseConfig(changetype<usize>(text), text.length);
  if (config == null) throw new Error(configError());
  return config;
}
