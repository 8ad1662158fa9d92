/** Reads the plugin's configuration: parse, check, fill in defaults. Nothing of a configuration that has a mistake is used. */
import { base64Decode } from "../lib/base64";
import { completeClaims, readClaims } from "./claims";
import { Config } from "./model";
export { Config, KeySource, Rename } from "./model";
import { isEnvironment, isVariable, isVisible, isUrlBase } from "./rules";
import { addDefaultSources, checkSources, readSources } from "./keySources";
import { FieldReader, Members } from "./fieldReader";
import { JsonReader } from "./json";
import { ascii } from "../lib/text";

const ROOT_FIELDS: StaticArray<string> = [
  "control",
  "environment",
  "keySources",
  "claims",
  "unknownApi",
  "failureMode",
  "snapshotWaitTimeoutMs",
  "maxSnapshotWaiters",
  "maxSnapshotAgeSeconds",
  "mode",
  "observe",
  "snapshot",
  "limitWaitTimeoutMs",
  "maxLimitWaiters",
  "maxCounters",
  "responseSamplesPerSecond",
  "peer",
  "pathCase",
  "problemTypeBase",
];
const CONTROL: i32 = 0;
const ENVIRONMENT: i32 = 1;
const KEY_SOURCES: i32 = 2;
const CLAIMS: i32 = 3;
const UNKNOWN_API: i32 = 4;
const FAILURE_MODE: i32 = 5;
const LOAD_HOLD_MS: i32 = 6;
const LOAD_HOLD_REQUESTS: i32 = 7;
const MAX_SNAPSHOT_AGE_SECONDS: i32 = 8;
const MODE: i32 = 9;
const OBSERVE: i32 = 10;
const SNAPSHOT: i32 = 11;
const LIMIT_HOLD_MS: i32 = 12;
const LIMIT_HOLD_REQUESTS: i32 = 13;
const MAX_COUNTERS: i32 = 14;
const EXACT_RESPONSES_PER_SECOND: i32 = 15;
const PEER: i32 = 16;
const PATH_CASE: i32 = 17;
const PROBLEM_TYPE_BASE: i32 = 18;

const CONTROL_FIELDS: StaticArray<string> = ["cluster", "authority", "tokenEnv", "timeoutMs", "waitMs"];
const CLUSTER: i32 = 0;
const AUTHORITY: i32 = 1;
const TOKEN_ENV: i32 = 2;
const TIMEOUT_MS: i32 = 3;

const PEER_FIELDS: StaticArray<string> = ["source"];
const PEER_SOURCES: StaticArray<string> = ["connection", "waypoint"];
const OBSERVE_FIELDS: StaticArray<string> = ["key"];
const OBSERVE_KEY: StaticArray<string> = ["strip", "keep"];
const UNKNOWN_API_CHOICES: StaticArray<string> = ["deny", "allow"];
const PATH_CASES: StaticArray<string> = ["insensitive", "sensitive"];
const FAILURE_MODES: StaticArray<string> = ["closed", "open"];
const MODES: StaticArray<string> = ["enforce", "observe"];

const MAX_SNAPSHOT_BYTES: i32 = 128 * 1024;
const MAX_AGE_SECONDS: i64 = 10 * 366 * 86400;

let lastError: string = "";

/** Reads a configuration of len bytes of JSON; null when it can't be used, and configError says why. */
export function parseConfig(ptr: usize, len: u32): Config | null {
  const fields = new FieldReader(new JsonReader(ptr, len));
  const config = new Config();
  config.tokenEnv = ascii("TOLLGATE_GATEWAY_TOKEN");
  if (fields.json.atEnd(false)) {
    config.empty = true;
  } else {
    readRoot(fields, config);
    if (!fields.failed) fields.json.atEnd(true);
  }
  if (!config.sources.length) addDefaultSources(config);
  if (!config.empty) checkOrigin(fields, config);
  completeClaims(fields, config);
  checkSources(fields, config);
  lastError = fields.error;
  return fields.failed ? null : config;
}

/** Why the last parseConfig gave null, as `field path: reason` or `line n, column n: reason`; empty when it didn't. */
export function configError(): string {
  return lastError;
}

function readRoot(fields: FieldReader, config: Config): void {
  let keepsKey = false;
  const members = new Members(fields, "", ROOT_FIELDS);
  while (members.next()) {
    const path = members.path;
    switch (members.index) {
      case CONTROL:
        readControl(fields, path, config);
        break;
      case ENVIRONMENT:
        config.environment = fields.text(path);
        if (!isEnvironment(config.environment)) fields.refuse(path, "1 to 32 of a-z, 0-9 and - are required");
        break;
      case KEY_SOURCES:
        readSources(fields, path, config);
        break;
      case CLAIMS:
        readClaims(fields, path, config);
        break;
      case UNKNOWN_API:
        config.unknownApiAllow = fields.choice(path, UNKNOWN_API_CHOICES) == 1;
        break;
      case FAILURE_MODE:
        // `local` is refused: only an API can have it.
        config.failOpen = fields.choice(path, FAILURE_MODES) == 1;
        break;
      case LOAD_HOLD_MS:
        config.snapshotWaitTimeoutMs = <u32>fields.integer(path, 0, 60000);
        break;
      case LOAD_HOLD_REQUESTS:
        config.maxSnapshotWaiters = <u32>fields.integer(path, 0, 8192);
        break;
      case MAX_SNAPSHOT_AGE_SECONDS:
        config.maxSnapshotAgeSeconds = <u64>fields.integer(path, 0, MAX_AGE_SECONDS);
        break;
      case MODE:
        config.observe = fields.choice(path, MODES) == 1;
        break;
      case OBSERVE:
        keepsKey = readObserve(fields, path);
        break;
      case LIMIT_HOLD_MS:
        config.limitWaitTimeoutMs = <u32>fields.integer(path, 0, 10000);
        break;
      case LIMIT_HOLD_REQUESTS:
        config.maxLimitWaiters = <u32>fields.integer(path, 0, 8192);
        break;
      case MAX_COUNTERS:
        config.maxCounters = <u32>fields.integer(path, 1024, 1048576);
        break;
      case EXACT_RESPONSES_PER_SECOND:
        config.responseSamplesPerSecond = <u32>fields.integer(path, 0, 1000000);
        break;
      case PATH_CASE:
        config.pathCaseSensitive = fields.choice(path, PATH_CASES) == 1;
        break;
      case PROBLEM_TYPE_BASE:
        config.problemTypeBase = fields.text(path);
        if (!isUrlBase(config.problemTypeBase))
          fields.refuse(path, "a URL of 9 to 200 characters that begins with http:// or https:// is required");
        break;
      case PEER:
        config.peerAtWaypoint = readPeer(fields, path);
        break;
      case SNAPSHOT:
        config.snapshot = readSnapshot(fields, path);
        break;
    }
  }
  config.empty = members.count == 0;
  config.observeKeepsKey = config.observe && keepsKey;
}

function readControl(fields: FieldReader, path: string, config: Config): void {
  config.hasControl = true;
  const members = new Members(fields, path, CONTROL_FIELDS);
  while (members.next()) {
    switch (members.index) {
      case CLUSTER:
        config.cluster = visibleText(fields, members.path);
        break;
      case AUTHORITY:
        config.authority = visibleText(fields, members.path);
        break;
      case TOKEN_ENV:
        config.tokenEnv = fields.text(members.path);
        if (!isVariable(config.tokenEnv))
          fields.refuse(members.path, "the name of an environment variable is required, not the token itself");
        break;
      case TIMEOUT_MS:
        config.timeoutMs = <u32>fields.integer(members.path, 100, 60000);
        break;
      default:
        config.waitMs = <u32>fields.integer(members.path, 100, 55000);
    }
  }
  if (!members.has(CLUSTER)) fields.refuse(`${path}.cluster`, "a non-empty string is required");
  if (!members.has(AUTHORITY)) fields.refuse(`${path}.authority`, "a non-empty string is required");
}

function visibleText(fields: FieldReader, path: string): StaticArray<u8> {
  const text = fields.text(path);
  if (!isVisible(text)) fields.refuse(path, "visible ASCII without blanks is required");
  return text;
}

/** Whether the key goes on to the upstream. */
function readObserve(fields: FieldReader, path: string): bool {
  let forwards = false;
  const members = new Members(fields, path, OBSERVE_FIELDS);
  while (members.next()) forwards = fields.choice(members.path, OBSERVE_KEY) == 1;
  return forwards;
}

/** Whether identities come from a waypoint's filter state. */
function readPeer(fields: FieldReader, path: string): bool {
  let waypoint = false;
  const members = new Members(fields, path, PEER_FIELDS);
  while (members.next()) waypoint = fields.choice(members.path, PEER_SOURCES) == 1;
  return waypoint;
}

function readSnapshot(fields: FieldReader, path: string): StaticArray<u8> | null {
  const text = fields.text(path);
  if (fields.failed) return null;
  const start = changetype<usize>(text);
  const bytes = base64Decode(start, text.length, start);
  if (bytes < 0) {
    fields.refuse(path, `not base64 at character ${-bytes}`);
    return null;
  }
  if (bytes > MAX_SNAPSHOT_BYTES) {
    fields.refuse(path, `${bytes} bytes, more than ${MAX_SNAPSHOT_BYTES}: use control`);
    return null;
  }
  return text.slice<StaticArray<u8>>(0, bytes);
}

/** Keys must come from somewhere, from one place, and for one environment. */
function checkOrigin(fields: FieldReader, config: Config): void {
  if (!config.hasControl && !config.snapshot) fields.refuse("control", "required, or else snapshot");
  if (config.hasControl && config.snapshot)
    fields.refuse("snapshot", "not together with control: keys come from one of them");
  if (config.snapshot && config.tokenHeader.length)
    fields.refuse("claims.token", "not with snapshot: control signs the tokens");
  if (!config.environment.length) fields.refuse("environment", "1 to 32 of a-z, 0-9 and - are required");
}
