/**
 * Which counters a lane may ask for: those that requests at the APIs of its token's group can meet. A counter is a limit applied to a
 * subject; the subjects are those of docs/internals/protocol.md.
 */
import { leaseAction, type LeaseOp } from "../counters/model.ts";
import { routeSubject, subjectParts } from "../domain/subjects.ts";
import type { Catalog, KnownLimit, Places } from "./catalog.ts";
import type { View } from "./view.ts";

/** No limit has this wire id: an op of it is answered `unknown`. */
const noLimit = 0;

export interface ScopedOps {
  /** one for each op of the call: as it was, or one that is answered `unknown` */
  ops: LeaseOp[];
  refused: { limit: number; subject: number };
}

/** A subject that counts a consumer or an API by their wire ids. Undefined: it counts something else. */
interface NumberedSubject {
  consumer: number;
  api: number;
}

/** The ops as far as the view allows them. Throws when the store can't be read. */
export async function scopedOps(catalog: Catalog, view: View, ops: readonly LeaseOp[]): Promise<ScopedOps> {
  const scoped: ScopedOps = { ops: [...ops], refused: { limit: 0, subject: 0 } };
  // Who sees every API meets every counter.
  if (view.seesAll) return scoped;
  const asks = ops.filter(({ actions }) => (actions & leaseAction.ask) !== 0);
  await catalog.loadCallers(...callersOf(catalog, asks));
  ops.forEach((op, index) => {
    const limit = catalog.limit(op.wireId);
    if (limit === undefined) return;
    const places = catalog.places(limit, view);
    if (places.apis.size === 0) {
      scoped.refused.limit++;
      scoped.ops[index] = { ...op, wireId: noLimit };
    } else if ((op.actions & leaseAction.ask) === 0) {
      // A return only gives back what this lane holds: it's taken whatever has become of the caller.
    } else if (!countsThere(catalog, limit, places, op.subject)) {
      scoped.refused.subject++;
      scoped.ops[index] = { ...op, wireId: noLimit };
    } else if (!places.local && (op.actions & leaseAction.local) !== 0) {
      scoped.ops[index] = { ...op, actions: op.actions & ~leaseAction.local };
    }
  });
  return scoped;
}

/** Digests and consumers that the ops' counters are about. */
function callersOf(catalog: Catalog, ops: readonly LeaseOp[]): [digests: string[], consumers: number[]] {
  const digests: string[] = [];
  const consumers: number[] = [];
  for (const { wireId, subject } of ops) {
    const limit = catalog.limit(wireId);
    if (limit === undefined || limit.owner.kind === "api") continue;
    if (limit.owner.kind === "key") digests.push(limit.owner.digest);
    else if (limit.subject === "key") digests.push(subject);
    else if (limit.subject === "consumer" || limit.subject === "consumer+api") {
      const numbered = numberedSubject(subject);
      if (numbered !== undefined) consumers.push(numbered.consumer);
    }
  }
  return [digests, consumers];
}

/** Whether a request at one of the places can count this subject by the limit. */
function countsThere(catalog: Catalog, limit: KnownLimit, places: Places, subject: string): boolean {
  const { owner } = limit;
  if (subjectParts(limit.subject).includes("route")) {
    // Only requests at that API meet the counter, whoever sends them.
    const { api, digestStart } = routeSubject(subject);
    return (
      places.apis.has(api) &&
      (owner.kind !== "key" || (owner.digest.startsWith(digestStart) && keyCallsAt(catalog, owner.digest, places)))
    );
  }
  const numbered = numberedSubject(subject);
  if (limit.subject === "api" || limit.subject === "consumer+api") {
    // Of a caller without a record, the API is mixed into what tells the caller apart.
    if (numbered === undefined)
      return limit.subject === "consumer+api" && (places.keylessCallers || owner.kind === "api");
    if (!places.apis.has(numbered.api)) return false;
  }
  if (owner.kind === "api") return true;
  if (owner.kind === "key")
    return (limit.subject !== "key" || subject === owner.digest) && keyCallsAt(catalog, owner.digest, places);
  if (limit.subject === "key")
    return catalog.key(subject) === undefined
      ? places.keylessCallers
      : meets(catalog.key(subject)!.apiWireIds, places.apis);
  if (limit.subject !== "consumer" && limit.subject !== "consumer+api") return true;
  if (numbered === undefined) return places.keylessCallers;
  const consumer = catalog.consumer(numbered.consumer);
  if (consumer === undefined) return false;
  const at = limit.subject === "consumer" ? places.apis : new Set([numbered.api]);
  return places.keylessCallers || consumer.keyApis.some((apis) => meets(apis, at));
}

/** Whether a key can call at one of the places, by its own restriction and its tier's. */
function keyCallsAt(catalog: Catalog, digest: string, places: Places): boolean {
  const key = catalog.key(digest);
  if (key === undefined) return false;
  const tier = key.tierWireId ?? catalog.consumer(key.consumerWireId)?.tierWireId ?? 0;
  const ofTier = catalog.tierApis(tier);
  const allowed = ofTier === undefined ? places.apis : new Set([...places.apis].filter((api) => ofTier.has(api)));
  return allowed.size > 0 && meets(key.apiWireIds, allowed);
}

function meets(apis: readonly number[] | undefined, places: ReadonlySet<number>): boolean {
  return apis === undefined || apis.some((api) => places.has(api));
}

/** The second half of such a subject is empty; a digest's hardly ever is. */
function numberedSubject(subject: string): NumberedSubject | undefined {
  if (!subject.endsWith("0000000000000000")) return undefined;
  const bytes = Buffer.from(subject, "hex");
  return { consumer: bytes.readUInt32LE(0), api: bytes.readUInt32LE(4) };
}
