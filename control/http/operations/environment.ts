import { ControlError } from "../../errors.ts";
import type { ChangeContext, RecordReader, RecordWriter, Store } from "../../store/store.ts";

function missing(environment: string): ControlError {
  return new ControlError("environment_not_found", `There is no environment \`${environment}\`.`);
}

/** `Store.change`, with an error when there is no such environment. */
export async function changeIn<T>(
  store: Store,
  environment: string,
  context: ChangeContext,
  edit: (writer: RecordWriter) => Promise<T>,
): Promise<{ version: number; result: T }> {
  const done = await store.change(environment, context, edit);
  if (done === undefined) throw missing(environment);
  return done;
}

/** `Store.read`, with an error when there is no such environment. */
export async function readIn<T>(
  store: Store,
  environment: string,
  use: (reader: RecordReader) => Promise<{ value: T }>,
): Promise<T> {
  const done = await store.read(environment, use);
  if (done === undefined) throw missing(environment);
  return done.value;
}

/** Throws when there is no such environment. */
export async function requireEnvironment(store: Store, environment: string): Promise<{ version: bigint }> {
  const state = await store.environment(environment);
  if (state === undefined) throw missing(environment);
  return state;
}
