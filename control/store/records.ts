/** Between rows and records. */
import type { Selectable } from "kysely";
import type { Kind, Records } from "../domain/diff.ts";
import type { Api, KeyState, Limit } from "../domain/model.ts";
import { keyStates, type KeysTable } from "./tables.ts";

export type StoredLimit = Limit & { wireId: number };

/** Databases give blobs as Buffer or ArrayBuffer. */
export function bufferOf(blob: Buffer | ArrayBuffer | Uint8Array): Buffer {
  if (Buffer.isBuffer(blob)) return blob;
  return blob instanceof ArrayBuffer ? Buffer.from(blob) : Buffer.from(blob.buffer, blob.byteOffset, blob.byteLength);
}

export function parseList<T>(json: string | null): T[] | undefined {
  return json === null ? undefined : (JSON.parse(json) as T[]);
}

/** A stored record; what older versions didn't write has its default. */
export function specOf<K extends Kind>(kind: K, json: string): Records[K] {
  const record = JSON.parse(json) as Records[K];
  if (kind !== "api") return record;
  const api = record as Api;
  return {
    ...api,
    rateLimitHeaders: api.rateLimitHeaders ?? true,
    legacyHeaders: api.legacyHeaders ?? "off",
  } as Records[K];
}

/** JSON, or null for what is absent. */
export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

export function keyStateOf(index: number): KeyState {
  const state = keyStates[index];
  if (state === undefined) throw new Error(`The database holds an unknown key state ${index}.`);
  return state;
}

/** A stored limit as the record has it. */
export function plainLimit({ wireId: _wireId, ...limit }: StoredLimit): Limit {
  return limit;
}

/** Members are dropped, not undefined, so that records compare deeply. */
export function withoutUndefined<T extends object>(value: { [K in keyof T]: T[K] | undefined }): T {
  for (const name of Object.keys(value) as (keyof T)[]) if (value[name] === undefined) delete value[name];
  return value as T;
}

export type KeyRow = Selectable<KeysTable>;

/** Splits a list so that a query stays under every database's bound on parameters. */
export function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let start = 0; start < items.length; start += size) yield items.slice(start, start + size);
}
