/** Creates, replaces and deletes single records. */
import { checkIdentities } from "../../domain/authRules.ts";
import type { Kind, Records } from "../../domain/diff.ts";
import { type Problem, problemList } from "../../domain/problem.ts";
import { checkApi, checkApiPairs, checkConsumer, checkKey, checkTier, type KnownIds } from "../../domain/semantics.ts";
import type { Api, Consumer, Key, Tier } from "../../domain/model.ts";
import { ControlError } from "../../errors.ts";
import type { ChangeContext, RecordReader, Reference, Store, Stored } from "../../store/store.ts";
import { invalidRequest } from "../validation.ts";
import { changeIn } from "./environment.ts";

export interface Preconditions {
  ifMatch?: string | undefined;
  ifNoneMatch?: string | undefined;
}

/** The record's entity tag (RFC 9110 section 8.8.3). */
export function etagOf(version: number): string {
  return `"${version}"`;
}

/** Writes the record that `fill` makes of the stored one. Throws 409 on a taken id (`createOnly`), 412 on a failed precondition, 400 on faults. */
export async function putRecord<K extends Kind>(
  store: Store,
  environment: string,
  kind: K,
  id: string,
  fill: (stored: Records[K] | undefined) => Records[K],
  options: { createOnly?: boolean; preconditions?: Preconditions },
  context: ChangeContext,
): Promise<{ outcome: "created" | "updated" | "unchanged"; stored: Stored<Records[K]> }> {
  const { result } = await changeIn(store, environment, context, async (writer) => {
    const before = await writer.get(kind, id);
    if (options.createOnly === true && before !== undefined)
      throw new ControlError("record_exists", `There is a ${kind} \`${id}\` already.`);
    checkPreconditions(before, options.preconditions ?? {});
    const record = fill(before?.record);
    await checkRecord(writer, kind, record, before?.record);
    const outcome = await writer.put(kind, record);
    return { outcome, stored: { record, version: outcome === "unchanged" ? before!.version : writer.nextVersion } };
  });
  return result;
}

/** Deletes a record. Throws 404 when it's gone, 409 when others refer to it. */
export async function deleteRecord(
  store: Store,
  environment: string,
  kind: Kind,
  id: string,
  preconditions: Preconditions,
  context: ChangeContext,
): Promise<void> {
  await changeIn(store, environment, context, async (writer) => {
    const before = await writer.get(kind, id);
    if (before === undefined) throw notFound(kind, id);
    checkPreconditions(before, preconditions);
    refuseReferenced(kind, id, await writer.references(kind, id, referencesShown));
    await writer.delete(kind, id);
  });
}

/** How many of the records that refer to one are named when it can't be deleted. */
export const referencesShown = 10;

/** Throws 409 with the records that refer to one; none: it may go. */
export function refuseReferenced(kind: Kind, id: string, references: readonly Reference[]): void {
  if (references.length === 0) return;
  const names = references.map((reference) => `${reference.kind} \`${reference.id}\``).join(", ");
  throw new ControlError(
    "record_referenced",
    `The ${kind} \`${id}\` is used by ${names}${references.length === referencesShown ? " and perhaps more" : ""}.`,
    { references: [...references] },
  );
}

/** Changes one stored record by a function. Throws 404 when it's gone. */
export async function changeRecord<K extends Kind>(
  store: Store,
  environment: string,
  kind: K,
  id: string,
  action: string,
  edit: (record: Records[K]) => Records[K],
  context: ChangeContext,
): Promise<Stored<Records[K]>> {
  const { result } = await changeIn(store, environment, context, async (writer) => {
    const before = await writer.get(kind, id);
    if (before === undefined) throw notFound(kind, id);
    const record = edit(before.record);
    const outcome = await writer.put(kind, record, action);
    return { record, version: outcome === "unchanged" ? before.version : writer.nextVersion };
  });
  return result;
}

export function notFound(kind: Kind, id: string): ControlError {
  return new ControlError("record_not_found", `There is no ${kind} \`${id}\`.`);
}

/** Checks one record against the environment that it goes into. */
export async function checkRecord<K extends Kind>(
  reader: RecordReader,
  kind: K,
  record: Records[K],
  stored?: Records[K],
): Promise<void> {
  const { problems, report } = problemList();
  switch (kind) {
    case "api": {
      const api = record as Api;
      checkApi(api, report);
      refuse(problems);
      const pairs = problemList();
      const others = (await reader.all("api")).filter((other) => other.id !== api.id);
      checkApiPairs([...others, api], pairs.report, () => []);
      if (pairs.problems[0] !== undefined) throw new ControlError("api_ambiguous", pairs.problems[0].message);
      return;
    }
    case "tier":
      checkTier(record as Tier, await knownIds(reader, []), report);
      break;
    case "consumer": {
      const consumer = record as Consumer;
      checkConsumer(consumer, await knownIds(reader, []), report);
      if (consumer.identities !== undefined)
        checkIdentities(
          [consumer],
          (await reader.all("consumer")).filter(({ id }) => id !== consumer.id),
          report,
          () => [],
        );
      break;
    }
    default: {
      const key = record as Key;
      checkKey(key, await knownIds(reader, [key.consumer]), report, [], stored as Key | undefined);
      refuse(problems);
      const owner = await reader.keyIdByDigest(key.sha256);
      if (owner !== undefined && owner !== key.id)
        throw new ControlError("digest_in_use", `The digest is that of key \`${owner}\`.`);
    }
  }
  refuse(problems);
}

/** Every API and tier, and those of these consumers that exist. */
export async function knownIds(reader: RecordReader, consumers: readonly string[]): Promise<KnownIds> {
  const known = (ids: Iterable<string>) => {
    const set = new Set(ids);
    return { has: (id: string) => set.has(id), ids: () => set };
  };
  return {
    apis: known(await reader.ids("api")),
    tiers: known(await reader.ids("tier")),
    consumers: known(await reader.existing("consumer", consumers)),
  };
}

function refuse(problems: readonly Problem[]): void {
  const errors = problems.filter(({ severity }) => severity === "error");
  if (errors.length > 0) throw invalidRequest(errors);
}

function checkPreconditions(stored: Stored<unknown> | undefined, { ifMatch, ifNoneMatch }: Preconditions): void {
  const matches = (condition: string) =>
    stored !== undefined &&
    (condition.trim() === "*" || condition.split(",").some((tag) => tag.trim() === etagOf(stored.version)));
  if (ifMatch !== undefined && !matches(ifMatch)) {
    throw new ControlError(
      "version_mismatch",
      stored === undefined ? "The record doesn't exist." : `The record's ETag is ${etagOf(stored.version)}.`,
    );
  }
  if (ifNoneMatch !== undefined && matches(ifNoneMatch))
    throw new ControlError("version_mismatch", "The record exists.");
}
