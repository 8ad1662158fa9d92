/** What has to change for an environment to become another. */
import { isDeepStrictEqual } from "node:util";
import { limitChanges } from "./limitWords.ts";
import type { Api, Consumer, EnvironmentSpec, Key, Tier } from "./model.ts";

export interface Records {
  api: Api;
  tier: Tier;
  consumer: Consumer;
  key: Key;
}
export type Kind = keyof Records;
type Limited = Api | Tier | Key;
export const kinds: readonly Kind[] = ["api", "tier", "consumer", "key"];
export const sectionOf = { api: "apis", tier: "tiers", consumer: "consumers", key: "keys" } as const;

export interface Change {
  action: "create" | "update" | "delete";
  /** `internal-token` is the environment's, and has its id */
  kind: Kind | "internal-token";
  id: string;
  /** names of the top-level fields that differ; of an update only */
  fields?: string[];
  /** what becomes of its limits, in words; of an update that changes them */
  limits?: string[];
}

/**
 * The changes that make `desired` of `current`, in an order in which they can be made one by one: keys are deleted first, since a digest
 * may move to another id; then APIs, tiers, consumers and keys are written; then what they no longer refer to is deleted. Only kinds in
 * `prune` lose what `desired` doesn't name.
 */
export function diff(current: EnvironmentSpec, desired: EnvironmentSpec, prune: ReadonlySet<Kind>): Change[] {
  const deletions = (kind: Kind): Change[] => {
    if (!prune.has(kind)) return [];
    const kept = new Set(desired[sectionOf[kind]].map((record) => record.id));
    return current[sectionOf[kind]].filter(({ id }) => !kept.has(id)).map(({ id }) => ({ action: "delete", kind, id }));
  };
  return [
    ...internalTokenChanges(current, desired),
    ...deletions("key"),
    ...kinds.flatMap((kind) => writes(kind, current[sectionOf[kind]], desired[sectionOf[kind]])),
    ...deletions("consumer"),
    ...deletions("tier"),
    ...deletions("api"),
  ];
}

/** A file without it leaves it as it is. */
function internalTokenChanges(current: EnvironmentSpec, desired: EnvironmentSpec): Change[] {
  const [before, after] = [current.internalToken, desired.internalToken];
  if (after === undefined) return [];
  const what = { kind: "internal-token", id: desired.environment } as const;
  if (before === undefined) return [{ action: "create", ...what }];
  const fields = changedFields(before, after);
  return fields.length === 0 ? [] : [{ action: "update", ...what, fields }];
}

function writes(kind: Kind, current: readonly { id: string }[], desired: readonly { id: string }[]): Change[] {
  const before = new Map(current.map((record) => [record.id, record]));
  return desired.flatMap((record): Change[] => {
    const old = before.get(record.id);
    if (old === undefined) return [{ action: "create", kind, id: record.id }];
    const fields = changedFields(old, record);
    if (fields.length === 0) return [];
    const limits = kind === "consumer" ? [] : limitChanges(old as Limited, record as Limited);
    return [{ action: "update", kind, id: record.id, fields, ...(limits.length === 0 ? {} : { limits }) }];
  });
}

/** Names of the members in which two records differ, in order of the names. */
export function changedFields(a: object, b: object): string[] {
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  const names = [...new Set([...Object.keys(left), ...Object.keys(right)])].sort();
  return names.filter((name) => !isDeepStrictEqual(left[name], right[name]));
}
