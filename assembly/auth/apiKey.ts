/** The caller by its key: from the source that carries one to the record that is valid now. */
import { wallNs } from "../abi/host";
import { Config } from "../config/parse";
import { SOURCE_EMPTY, SOURCE_ONE, SOURCE_SEVERAL, source } from "../http/headerScan";
import { STATE_ACTIVE, STATE_REVOKED, STATE_SUSPENDED } from "../wire/enums";
import { expiresAtMs, notBeforeMs, openKey } from "../wire/keyFields";
import {
  KEY_EXPIRED,
  KEY_MALFORMED,
  KEY_NOT_YET_VALID,
  KEY_REVOKED,
  KEY_SUSPENDED,
  KEY_TOO_LONG,
  KEY_WRONG_ENVIRONMENT,
  MULTIPLE_KEYS,
  RECORD_UNSUPPORTED,
  UNKNOWN_KEY,
} from "../wire/reasons";
import { KEY_STATE, keyConsumer, keyFlags } from "../wire/records";
import { KEY_MALFORMED as FORM_MALFORMED, KEY_WELL_FORMED, checkKeyForm, keyEnvironmentBytes } from "./keyFormat";
import { sha256 } from "../lib/sha256";
import { holdsToken } from "../request/stripKeys";
import { Table } from "../snapshot/table";
import { setCaller } from "./caller";
import { NO_FAULT } from "./jwt";

const digest = memory.data(32);

/** The first source that carries a key, or -1. `tokens`: the API takes tokens, so that `Authorization` counts only with what is a key. */
export function keySource(config: Config, table: Table, tokens: bool): i32 {
  for (let i = 0; i < config.sources.length; i++) {
    if (source(i).state != SOURCE_EMPTY && !(tokens && holdsToken(config, i, table))) return i;
  }
  return -1;
}

/** Finds the caller by the key that a source carries. NO_FAULT, or why there is none. */
export function callerByKey(config: Config, table: Table, winner: i32): u32 {
  const held = source(winner);
  if (held.state != SOURCE_ONE) return held.state == SOURCE_SEVERAL ? MULTIPLE_KEYS : KEY_TOO_LONG;

  // ---- format, digest, table
  const form = checkKeyForm(held.at, held.bytes);
  if (form == FORM_MALFORMED) return KEY_MALFORMED;
  if (form == KEY_WELL_FORMED && !sameEnvironment(config.environment, held.at, held.bytes))
    return KEY_WRONG_ENVIRONMENT;
  sha256(held.at, held.bytes, digest);
  const key = table.keys.get(digest);
  if (key == 0) return UNKNOWN_KEY;
  const consumer = table.consumers.get(keyConsumer(key));
  setCaller(key, consumer);

  // ---- state and times
  const state = keyFlags(key) & KEY_STATE;
  if (state != STATE_ACTIVE)
    return state == STATE_REVOKED ? KEY_REVOKED : state == STATE_SUSPENDED ? KEY_SUSPENDED : RECORD_UNSUPPORTED;
  openKey(key);
  if ((notBeforeMs | expiresAtMs) != 0) {
    const nowMs = wallNs() / 1_000_000;
    if (nowMs < notBeforeMs) return KEY_NOT_YET_VALID;
    if (expiresAtMs != 0 && nowMs >= expiresAtMs) return KEY_EXPIRED;
  }
  return consumer == 0 ? UNKNOWN_KEY : NO_FAULT;
}

function sameEnvironment(environment: StaticArray<u8>, key: usize, bytes: u32): bool {
  const size = keyEnvironmentBytes(key, bytes);
  return size == <u32>environment.length && memory.compare(key + 3, changetype<usize>(environment), size) == 0;
}
