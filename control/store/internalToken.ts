import type { EnvironmentSpec } from "../domain/model.ts";
import type { RecordReader } from "./store.ts";

/** The member of a spec, where the environment has one. */
export async function internalTokenOf(reader: RecordReader): Promise<Pick<EnvironmentSpec, "internalToken">> {
  const internalToken = await reader.internalToken();
  return internalToken === undefined ? {} : { internalToken };
}
