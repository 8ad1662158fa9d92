/** Which limits a request has: those of its tier, API, route and key; of one name, the most specific. */
import { Table } from "./table";
import { NO_ROUTE, OWNER_API, OWNER_KEY, OWNER_ROUTE, OWNER_TIER, SUBJECTS_OF_CALLERS } from "../wire/enums";
import {
  limitDigest,
  limitName,
  limitOwner,
  limitOwnerKind,
  limitRoute,
  limitSubject,
  nameBytes,
} from "../wire/records";
import { keyOwnerHash, ownerHash } from "./limitOwners";

/** 32 of each owner. */
const MOST: u32 = 128;
const list = memory.data(128 * 4, 4);
let count: u32 = 0;

/** The n-th limit of the request that was looked at last. */
// @ts-ignore: decorator
@inline
export function applicable(n: u32): usize {
  return <usize>load<u32>(list + ((<usize>n) << 2));
}

/** Sets `applicable` and gives how many there are. `tier` 0: a request without a caller; `digest` 0: its key has no limits of its own. */
export function findApplicable(table: Table, tier: u32, api: u32, route: i32, digest: usize): u32 {
  count = 0;
  const owners = table.limitOwners;
  if (owners.count == 0) return 0;
  if (tier != 0) {
    for (let r = owners.first(ownerHash(OWNER_TIER, tier, NO_ROUTE)); r != 0; r = owners.next()) {
      if (limitOwnerKind(r) == OWNER_TIER && limitOwner(r) == tier) add(r);
    }
  }
  for (let r = owners.first(ownerHash(OWNER_API, api, NO_ROUTE)); r != 0; r = owners.next()) {
    if (limitOwnerKind(r) == OWNER_API && limitOwner(r) == api) supersede(r);
  }
  if (route >= 0) {
    for (let r = owners.first(ownerHash(OWNER_ROUTE, api, <u32>route)); r != 0; r = owners.next()) {
      if (limitOwnerKind(r) == OWNER_ROUTE && limitOwner(r) == api && limitRoute(r) == <u32>route) supersede(r);
    }
  }
  if (digest != 0) {
    for (let r = owners.first(keyOwnerHash(digest)); r != 0; r = owners.next()) {
      if (
        limitOwnerKind(r) == OWNER_KEY &&
        load<u64>(limitDigest(r)) == load<u64>(digest) &&
        load<u64>(limitDigest(r), 8) == load<u64>(digest, 8)
      )
        supersede(r);
    }
  }
  if (tier == 0) dropCallers();
  return count;
}

// @ts-ignore: decorator
@inline
function add(record: usize): void {
  if (count < MOST) store<u32>(list + (usize(count++) << 2), <u32>record);
}

/** Puts a limit in place of one of the same name, or beside the others. */
function supersede(record: usize): void {
  const bytes = nameBytes(record);
  for (let i: u32 = 0; i < count; i++) {
    const other = applicable(i);
    if (nameBytes(other) == bytes && memory.compare(limitName(other), limitName(record), bytes) == 0) {
      store<u32>(list + ((<usize>i) << 2), <u32>record);
      return;
    }
  }
  add(record);
}

// @ts-ignore: decorator
@inline
function countsCaller(subject: u32): bool {
  return subject < 32 && ((SUBJECTS_OF_CALLERS >> subject) & 1) != 0;
}

/** Without a caller there is nobody for limits to count. */
function dropCallers(): void {
  let kept: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const r = applicable(i);
    if (!countsCaller(limitSubject(r))) store<u32>(list + (usize(kept++) << 2), <u32>r);
  }
  count = kept;
}
