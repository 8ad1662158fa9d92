/** From a line of a log to a request that limits decide, or to the reason why they don't: the ladder of `assembly/request/decide.ts` as far as a log tells. */
import { type ApiRouter, byteText, type Place } from "../matching.ts";
import { type Api, type EnvironmentSpec, isClosed, takesKeys } from "../../control/domain/model.ts";
import { reasons } from "../../protocol/reasons.ts";
import { addressSubject, addressWithin, bareAddress, forwardedAddress } from "./addresses.ts";
import type { Caller, Callers } from "./callers.ts";
import { Interned } from "./interned.ts";
import { type LogEntry, slotIndex } from "./fields.ts";

export interface LoggedRequest {
  timeMs: number;
  place: Place;
  caller: Caller;
  /** what limits per `ip` count by */
  address: string | undefined;
  /** which gateway served it, if the log tells */
  gateway: string;
}

export interface RequestOptions {
  /** of lines that name no host */
  host: string;
  /** proxies before Envoy whose X-Forwarded-For is believed */
  trustedHops: number;
  /** requests to APIs that take keys, without key and consumer: told apart by address, or refused as the filter would */
  withoutKey: "address" | "refuse";
}

/** Why a line leads to no decision of limits. `refused`: by a reason of reasons.ts. */
export type NotDecided =
  /** it's no HTTP request */
  | { what: "no-request" }
  /** by this file */
  | { what: "refused"; reason: string }
  /** the log says so */
  | { what: "refused-then"; reason: string }
  /** a limit refused it then, and the line doesn't say whom */
  | { what: "limited-then" }
  | { what: "preflight" };

/** What lines lacked, so that something had to be assumed. */
export interface Lacks {
  method: number;
  host: number;
  address: number;
  /** to APIs that take keys */
  identity: number;
  tier: number;
}

const s = slotIndex;
const limitReasons = new Set(["rate_limited", "quota_exceeded", "limit_unavailable"]);
const reasonOf = new Map(reasons.map(({ code }) => [`tollgate_${code}`, code]));
const noRequest: NotDecided = { what: "no-request" };
const preflight: NotDecided = { what: "preflight" };
const limitedThen: NotDecided = { what: "limited-then" };

export class RequestReader {
  readonly lacks: Lacks = { method: 0, host: 0, address: 0, identity: 0, tier: 0 };
  readonly #router: ApiRouter;
  readonly #callers: Callers;
  readonly #options: RequestOptions;
  readonly #namedHosts: boolean;
  readonly #subjects = new Interned((address) => addressSubject(address));
  readonly #gateways = new Interned((name) => name);

  constructor(spec: EnvironmentSpec, router: ApiRouter, callers: Callers, options: RequestOptions) {
    this.#router = router;
    this.#callers = callers;
    this.#options = options;
    this.#namedHosts = spec.apis.some(({ hosts }) => hosts.some((host) => host !== "*"));
  }

  /** `standardPath`: of a log that has none in any line. */
  read(entry: LogEntry, timeMs: number, standardPath: string | undefined): LoggedRequest | NotDecided {
    let method = entry.get(s.method);
    let target = entry.get(s.path);
    const line = entry.get(s.request);
    if (line !== undefined && (method === undefined || target === undefined)) {
      const [first, second] = line.split(" ", 2);
      if (second === undefined) target ??= first;
      else {
        method ??= first;
        target ??= second;
      }
    }
    target ??= standardPath;
    if (target === undefined) return noRequest;
    if (method === undefined) {
      this.lacks.method++;
      method = "GET";
    }
    let host = entry.get(s.host);
    if (!target.startsWith("/")) {
      const url = /^https?:\/\/([^/?#]*)(.*)$/is.exec(target);
      if (url !== null) {
        host ??= url[1]!;
        target = url[2]!.startsWith("/") ? url[2]! : `/${url[2]!}`;
      }
    }
    if (host === undefined) {
      host = this.#options.host;
      if (this.#namedHosts && host === "") this.lacks.host++;
    }
    return this.#place(entry, timeMs, byteText(host), byteText(target), method);
  }

  #place(entry: LogEntry, timeMs: number, host: string, target: string, method: string): LoggedRequest | NotDecided {
    const details = entry.get(s.details);
    const then = details === undefined ? undefined : reasonOf.get(details);
    if (then !== undefined && !limitReasons.has(then)) return { what: "refused-then", reason: then };
    const keyText = entry.get(s.key);
    const secret = entry.get(s.secret);
    const consumerText = entry.get(s.consumer);
    const named = keyText !== undefined || secret !== undefined || consumerText !== undefined;
    if (method === "OPTIONS" && this.#isPreflight(entry, host, target, named)) return preflight;
    const place = this.#router.match(host, target, method);
    if (typeof place === "string") return { what: "refused", reason: place };
    const { mode } = place.api.auth;
    if (isClosed(place.api)) return { what: "refused", reason: "auth_mode_unsupported" };
    const bare = this.#bareAddress(entry);
    const address = bare === undefined ? undefined : this.#subjects.of(bare);
    if (address === undefined) this.lacks.address++;
    const gateway = this.#gateways.of(entry.get(s.gateway) ?? "")!;
    if (mode === "none") {
      const caller = this.#callers.of({
        key: undefined,
        secret: undefined,
        consumer: undefined,
        tier: undefined,
        address,
      });
      return { timeMs, place, caller, address, gateway };
    }
    // Where keys don't count, a line's key says nothing of its caller.
    const byKey = takesKeys(mode);
    if (byKey ? !named : consumerText === undefined) {
      if (then !== undefined) return limitedThen;
      if (this.#options.withoutKey === "refuse") return { what: "refused", reason: missingReason(place.api) };
      this.lacks.identity++;
    }
    const caller = this.#callers.of({
      key: byKey ? keyText : undefined,
      secret: byKey ? secret : undefined,
      consumer: consumerText,
      tier: entry.get(s.tier),
      address,
    });
    const reason = refusalOf(caller, place, timeMs, bare);
    if (reason !== undefined) return { what: "refused", reason };
    if (caller.tier === undefined) this.lacks.tier++;
    return { timeMs, place, caller, address, gateway };
  }

  /** A preflight passes an API with CORS. Few logs hold the headers that tell: without them, one that names no caller counts as one. */
  #isPreflight(entry: LogEntry, host: string, target: string, named: boolean): boolean {
    const origin = entry.get(s.origin);
    const asked = entry.get(s.askedMethod);
    if (asked === undefined) {
      const place = this.#router.match(host, target, "OPTIONS");
      return !named && typeof place !== "string" && place.api.cors !== undefined;
    }
    const place = this.#router.match(host, target, asked);
    if (origin === undefined || typeof place === "string" || place.api.cors === undefined) return false;
    const { allowOrigins, allowMethods } = place.api.cors;
    const allowed =
      allowMethods.length === 0 || allowMethods.includes(asked) || (asked === "HEAD" && allowMethods.includes("GET"));
    return allowed && allowOrigins.some((rule) => originMatches(rule, origin));
  }

  #bareAddress(entry: LogEntry): string | undefined {
    const address = entry.get(s.address);
    if (address !== undefined) return bareAddress(address);
    const forwarded = entry.get(s.forwarded);
    const hop = forwarded === undefined ? undefined : forwardedAddress(forwarded, this.#options.trustedHops);
    return hop === undefined ? undefined : bareAddress(hop);
  }
}

/** What a request without any identity is refused by. */
function missingReason({ auth: { mode, jwt } }: Api): string {
  if (mode === "mtls") return "peer_missing";
  return jwt !== undefined && mode !== "key-and-jwt" ? "token_missing" : "key_missing";
}

/** `*`, the very origin, or `https://*.suffix` for any host below the suffix. */
function originMatches(rule: string, origin: string): boolean {
  const star = rule.indexOf("*");
  if (rule === "*" || star < 0) return rule === "*" || rule === origin;
  const [head, tail] = [rule.slice(0, star), rule.slice(star + 1)];
  if (origin.length <= head.length + tail.length || !origin.startsWith(head) || !origin.endsWith(tail)) return false;
  return /^[A-Za-z0-9._-]+$/.test(origin.slice(head.length, origin.length - tail.length));
}

/** Why the caller may not call there at all, by what the file says of it. A caller that the file doesn't know is taken to be in order. */
function refusalOf(caller: Caller, place: Place, timeMs: number, address: string | undefined): string | undefined {
  const { key: facts, consumer, tier } = caller;
  if (facts !== undefined) {
    if (facts.key.state === "revoked") return "key_revoked";
    if (facts.key.state === "suspended") return "key_suspended";
    if (timeMs < facts.notBeforeMs) return "key_not_yet_valid";
    if (timeMs >= facts.expiresAtMs) return "key_expired";
  }
  if (consumer?.suspended === true) return "consumer_suspended";
  if (tier === undefined) return consumer === undefined ? undefined : "tier_missing";
  const { api, route } = place;
  if (tier.apis !== undefined && !tier.apis.includes(api.id)) return "api_not_allowed";
  if (facts?.key.apis !== undefined && !facts.key.apis.includes(api.id)) return "api_not_allowed";
  if (!hasScopes(caller, api.scopes) || (route !== undefined && !hasScopes(caller, route.scopes)))
    return "scope_missing";
  if (
    facts !== undefined &&
    facts.networks.length > 0 &&
    (address === undefined || !addressWithin(address, facts.networks))
  )
    return "ip_not_allowed";
  return undefined;
}

function hasScopes({ tier, key }: Caller, required: readonly string[]): boolean {
  return required.every(
    (scope) => has(tier!.scopes, scope) && (key?.key.scopes === undefined || has(key.key.scopes, scope)),
  );
}

function has(list: readonly string[], scope: string): boolean {
  return list.includes(scope) || list.includes("*");
}
