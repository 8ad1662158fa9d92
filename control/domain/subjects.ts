/** What limits count apart: the parts of a subject, and the 16 bytes that name it on the wire (docs/internals/protocol.md). */
import { crc32 } from "node:zlib";
import { isCaller, subject as subjects, type Subject, type SubjectPart } from "../../protocol/enums.ts";
import type { Route } from "./model.ts";

export function subjectParts(subject: Subject): readonly SubjectPart[] {
  return subjects.values[subject].parts;
}

/** Does a limit of this subject need to know who calls? */
export function countsCaller(subject: Subject): boolean {
  return subjectParts(subject).some(isCaller);
}

/** Does a limit of this subject count each key apart, rather than a consumer with all its keys? */
export function countsKey(subject: Subject): boolean {
  return subjectParts(subject).includes("key");
}

export interface SubjectFacts {
  /** of the key */
  digest?: Buffer | undefined;
  /** wire ids */
  consumer: number;
  api: number;
  /** as `routeKeys` gives it; 0: no route of the API */
  routeKey: number;
}

/** The subject of a caller at an API, 32 hex digits. `ip` is not for this function: it needs an address. */
export function subjectText(
  subject: Exclude<Subject, "ip">,
  { digest, consumer, api, routeKey }: SubjectFacts,
): string {
  const bytes = Buffer.alloc(16);
  switch (subject) {
    case "key":
      digest!.copy(bytes, 0, 0, 16);
      break;
    case "consumer":
      bytes.writeUInt32LE(consumer, 0);
      break;
    case "api":
      bytes.writeUInt32LE(api, 4);
      break;
    case "consumer+api":
      bytes.writeUInt32LE(consumer, 0);
      bytes.writeUInt32LE(api, 4);
      break;
    case "route":
      bytes.writeUInt32LE(api, 0);
      bytes.writeUInt32LE(routeKey, 4);
      digest!.copy(bytes, 8, 0, 8);
      break;
  }
  return bytes.toString("hex");
}

/** What a subject that counts by key and route begins with, and the first 8 bytes of the digest as hex. */
export function routeSubject(text: string): { api: number; digestStart: string } {
  const bytes = Buffer.from(text, "hex");
  return { api: bytes.readUInt32LE(0), digestStart: text.slice(16) };
}

/**
 * Numbers that tell the routes of an API apart, in their order; never 0. They don't depend on where a route stands, so that its counters stay
 * its own when routes are added or moved: each is the CRC-32 of methods and path, or the next number that is free.
 */
export function routeKeys(routes: readonly Pick<Route, "methods" | "path">[]): number[] {
  const names = routes.map(({ methods, path }) => `${[...methods].sort().join(",")} ${path}`);
  const keys = new Map<string, number>();
  const taken = new Set([0]);
  for (const name of [...new Set(names)].sort()) {
    let key = crc32(name);
    while (taken.has(key)) key = (key + 1) >>> 0;
    taken.add(key);
    keys.set(name, key);
  }
  return names.map((name) => keys.get(name)!);
}
