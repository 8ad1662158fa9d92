/** What every benchmark sends and what every system has to know: the APIs, the consumers, the request. */

export const environment = "bench";
export const host = "api.example.com";
/** Ten APIs, each a first path segment, so that finding the API is some work; the requests go to the last but two. */
export const apiSegments = Array.from({ length: 10 }, (_, index) => `service-${index}`);
export const path = "/service-7/items/4711?expand=lines";

/** A short request of a program; Envoy adds its own headers to it. */
export const headers: Record<string, string> = {
  host,
  "user-agent": "shop-backend/3.2",
  accept: "application/json",
  "accept-encoding": "gzip",
};

export const claimPrefix = "x-tollgate-";

/** Ten keys belong to one consumer: a million keys have 100,000 consumers. */
export function consumerOf(keyIndex: number): string {
  return `c${Math.floor(keyIndex / 10)}`;
}

/** Spread over the whole table, so that a rotation over 10,000 of a million keys does not stay in a corner of it. */
export function rotation(keyCount: number, size: number): number[] {
  const stride = Math.floor(keyCount / size);
  return Array.from({ length: size }, (_, index) => index * stride);
}

/** What a key may use where limits are enforced: never reached. The most that every system can be told. */
export const minuteLimit = 100_000_000;
export const dayLimit = 4_000_000_000;
