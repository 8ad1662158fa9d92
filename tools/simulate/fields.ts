/** What the simulation wants to know of a request, and how logs name it. */

/** `secret`: a field that may hold keys themselves; what it says is digested and never shown. `request`: method and path in one. */
export const slots = [
  "time",
  "method",
  "path",
  "request",
  "host",
  "address",
  "forwarded",
  "key",
  "secret",
  "consumer",
  "tier",
  "details",
  "origin",
  "askedMethod",
  "gateway",
] as const;
export type Slot = (typeof slots)[number];

/** What `--columns` may map. */
export const mappable: readonly Slot[] = slots.filter((slot) => slot !== "secret");

/** Field names chosen by the user; a slot that is named here is looked for nowhere else. */
export type FieldNames = Partial<Record<Slot, string>>;

/** The names that Envoy, Istio, Envoy Gateway and common log shippers give, as `normalName` makes them; the first that a line has counts. */
const usualNames: Record<Slot, readonly string[]> = {
  time: ["start_time", "timestamp", "time", "ts", "datetime", "date", "time_iso8601", "time_local", "emit_time"],
  method: ["method", "request_method", "http_method", "http_request_method", "verb"],
  path: [
    "x_envoy_original_path",
    "x_envoy_origin_path",
    "original_path",
    "path",
    "request_path",
    "http_path",
    "request_uri",
    "uri",
    "uri_path",
    "url_path",
    "url",
    "request_url",
  ],
  request: ["request", "request_line"],
  host: ["authority", "host", "http_host", "request_host", "domain", "url_domain"],
  address: [
    "downstream_remote_address",
    "downstream_remote_address_without_port",
    "client_address",
    "client_ip",
    "client",
    "remote_address",
    "remote_addr",
    "remote_ip",
    "source_ip",
    "ip",
    "downstream_direct_remote_address",
    "downstream_direct_remote_address_without_port",
  ],
  forwarded: ["x_forwarded_for", "forwarded_for", "xff"],
  key: ["x_tollgate_key_id", "tollgate_key_id", "key_id", "api_key_id", "apikey_id", "credential_id"],
  secret: ["x_api_key", "api_key", "apikey", "key"],
  consumer: [
    "x_tollgate_consumer",
    "tollgate_consumer",
    "consumer",
    "consumer_id",
    "x_consumer_username",
    "consumer_username",
    "x_consumer_id",
  ],
  tier: ["x_tollgate_tier", "tollgate_tier", "tier"],
  details: ["response_code_details", "details"],
  origin: ["origin"],
  askedMethod: ["access_control_request_method"],
  gateway: [],
};

/** Objects in a JSON line whose fields are not of the request. */
const foreignObject = /resp|upstream|cluster|route|destination|trailer/;
const foundNamesMax = 20_000;

/** Lower case, words joined by `_`: `:path`, `X-Envoy-Original-Path` and `originalPath` in one spelling. */
export function normalName(name: string): string {
  return name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "");
}

/** Where a field's value belongs; of several fields for one slot the lowest rank wins. */
export interface FieldUse {
  slot: number;
  rank: number;
  name: string;
}

/** Tells which fields of a log are used, and remembers it. */
export class FieldMap {
  readonly #chosen = new Map<string, number>();
  readonly #chosenSlots = new Set<number>();
  readonly #usual = new Map<string, { slot: number; rank: number }>();
  readonly #found = new Map<string, FieldUse | null>();

  constructor(names: FieldNames = {}) {
    for (const [slot, name] of Object.entries(names) as [Slot, string][]) this.#choose(slot, name);
    slots.forEach((slot, index) =>
      usualNames[slot].forEach((name, rank) => this.#usual.set(name, { slot: index, rank })),
    );
  }

  #choose(slot: Slot, name: string): void {
    let index = slots.indexOf(slot);
    if (slot === "key") {
      // Of another name one can't tell whether keys themselves are in it.
      this.#chosenSlots.add(slots.indexOf("key")).add(slots.indexOf("secret"));
      if (!/(?:^|_)(?:id|name|label|alias)$/.test(normalName(name))) index = slots.indexOf("secret");
    }
    if (slot === "path" || slot === "method") this.#chosenSlots.add(slots.indexOf("request"));
    this.#chosenSlots.add(index);
    this.#chosen.set(name, index).set(normalName(name), index);
  }

  /** The use of a field, given its name, and in JSON the names of the objects around it. `null`: none. */
  use(name: string, around = ""): FieldUse | null {
    const whole = around === "" ? name : `${around}.${name}`;
    const known = this.#found.get(whole);
    if (known !== undefined) return known;
    const found = this.#look(name, whole, around);
    // A log whose field names never end is remembered in part.
    if (this.#found.size < foundNamesMax) this.#found.set(whole, found);
    return found;
  }

  #look(name: string, whole: string, around: string): FieldUse | null {
    const normal = normalName(name);
    const chosen =
      this.#chosen.get(whole) ??
      this.#chosen.get(normalName(whole)) ??
      this.#chosen.get(name) ??
      this.#chosen.get(normal);
    const depth = around === "" ? 0 : 100;
    if (chosen !== undefined) return { slot: chosen, rank: depth, name: whole };
    if (around !== "" && foreignObject.test(around.toLowerCase())) return null;
    const usual = this.#usual.get(normal) ?? this.#usual.get(normalName(whole));
    if (usual === undefined || this.#chosenSlots.has(usual.slot)) return null;
    return { slot: usual.slot, rank: usual.rank + depth, name: whole };
  }
}

const unset = 1000;

/** What one line says, slot by slot; used again for the next line. */
export class LogEntry {
  readonly #values: (string | undefined)[] = new Array<string | undefined>(slots.length).fill(undefined);
  readonly #ranks: number[] = new Array<number>(slots.length).fill(unset);

  clear(): void {
    for (let index = 0; index < slots.length; index++) {
      this.#values[index] = undefined;
      this.#ranks[index] = unset;
    }
  }

  /** Envoy writes `-` for what isn't there. */
  set(use: FieldUse, value: string): void {
    if (value === "" || value === "-" || use.rank >= this.#ranks[use.slot]!) return;
    this.#ranks[use.slot] = use.rank;
    this.#values[use.slot] = value;
  }

  /** Becomes what another entry is. */
  take(other: LogEntry): void {
    for (let index = 0; index < slots.length; index++) {
      this.#values[index] = other.#values[index];
      this.#ranks[index] = other.#ranks[index]!;
    }
  }

  get(slot: number): string | undefined {
    return this.#values[slot];
  }
}

export const slotIndex = Object.fromEntries(slots.map((slot, index) => [slot, index])) as Record<Slot, number>;
