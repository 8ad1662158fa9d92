/** The query parameters of the sync calls. */
import { type Static, Type } from "@sinclair/typebox";

const maxWaitMs = 55_000;

const environment = Type.String({ pattern: "^[a-z0-9-]{1,32}$" });
/** `<node id>~<boot id>`; Envoy may have no node id, and it may hold `~` itself. */
const gateway = Type.String({ maxLength: 512, pattern: "^[^\\u0000-\\u001f\\u007f]*~[^\\u0000-\\u001f\\u007f~]+$" });
const epoch = Type.String({ pattern: "^[0-9a-fA-F]{16}$" });
/** Versions are counted from 1: they stay below 2^53, as the store's do. */
const version = Type.String({ pattern: "^[0-9]{1,15}$" });
const workers = Type.Integer({ minimum: 0, maximum: 65_535, default: 0 });

const identity = { environment, gateway, epoch, version };
export const watchQuery = Type.Object({
  ...identity,
  waitMs: Type.Integer({ minimum: 0, maximum: maxWaitMs, default: 25_000 }),
  applied: Type.Optional(version),
  workers,
});
export const pageQuery = Type.Object(identity);
export const pageParams = Type.Object({ index: Type.Integer({ minimum: 0, maximum: 0xffffffff }) });
export const reportQuery = Type.Object({ ...identity, applied: version, workers });

export const jwksParams = Type.Object({ environment });

export const exchangeQuery = Type.Object({ environment, gateway, epoch });

export type JwksParams = Static<typeof jwksParams>;
export type ExchangeQuery = Static<typeof exchangeQuery>;
export type WatchQuery = Static<typeof watchQuery>;
export type PageQuery = Static<typeof pageQuery>;
export type PageParams = Static<typeof pageParams>;
export type ReportQuery = Static<typeof reportQuery>;

/** 16 hex digits. */
export function epochOf(text: string): bigint {
  return BigInt(`0x${text}`);
}
