/**
 * From host, path and method to the API and its route, as the filter finds them (`assembly/routes.ts`; tests/simulate compares the two).
 *
 * Hosts: exact, then the longest `*.suffix`, then `*`. Paths: by whole segments, the longest first; the decision belongs to the longest
 * path that an API of the host has: when no API there takes the method, shorter paths are not asked. Among routes of an API the longest
 * that takes the method counts.
 */
import type { Api, Route } from "./model.ts";
import { readPath } from "./requestPath.ts";

/** Where a request belongs. One object for each API and route, so that two places can be compared. */
export interface Place {
  readonly api: Api;
  readonly route: Route | undefined;
  /** the route's index in the API */
  readonly routeIndex: number | undefined;
}

/** Why a request belongs nowhere, by the codes of reasons.ts. */
export type Misplaced = "path_invalid" | "path_ambiguous" | "unknown_api" | "method_not_allowed";

interface Taker {
  place: Place;
  /** empty: any */
  methods: ReadonlySet<string>;
  /** of an API without routes: none */
  routes: ReadonlyMap<string, readonly Taker[]> | undefined;
}

type Prefixes = Map<string, Taker[]>;

export class ApiRouter {
  readonly #hosts = new Map<string, Prefixes>();
  readonly #anyHost: Prefixes | undefined;
  #deepest = 0;
  /** the path's lengths at its segment borders; that of the last request */
  readonly #borders: number[] = [];
  #lastHost = "";
  #lastName = "";

  constructor(apis: readonly Api[]) {
    for (const api of apis) {
      const taker = this.#taker(api);
      for (const host of api.hosts) {
        const prefixes = this.#hosts.get(host) ?? new Map<string, Taker[]>();
        this.#hosts.set(host, prefixes);
        for (const path of api.paths) this.#add(prefixes, path, taker);
      }
    }
    this.#anyHost = this.#hosts.get("*");
  }

  /** The place of a request. The host may have a port and capitals, the target a query; both are bytes (`byteText`). */
  match(host: string, target: string, method: string): Place | Misplaced {
    const read = readPath(target);
    if (read === undefined) return "path_invalid";
    const found = this.#find(host, read.path, method);
    if (read.decoded === undefined) return found;
    return this.#find(host, read.decoded, method) === found ? found : "path_ambiguous";
  }

  #taker(api: Api): Taker {
    const routes: Prefixes = new Map();
    api.routes.forEach((route, routeIndex) => {
      this.#add(routes, route.path, { place: { api, route, routeIndex }, methods: methodSet(route.methods), routes: undefined });
    });
    return { place: { api, route: undefined, routeIndex: undefined }, methods: methodSet(api.methods), routes: routes.size === 0 ? undefined : routes };
  }

  #add(prefixes: Prefixes, path: string, taker: Taker): void {
    // The root counts as an empty prefix.
    const prefix = path === "/" ? "" : path;
    this.#deepest = Math.max(this.#deepest, prefix.split("/").length - 1);
    const takers = prefixes.get(prefix);
    if (takers === undefined) prefixes.set(prefix, [taker]);
    else takers.push(taker);
  }

  #find(host: string, path: string, method: string): Place | Misplaced {
    this.#noteBorders(path);
    if (this.#hosts.size > (this.#anyHost === undefined ? 0 : 1)) {
      const name = this.#nameOf(host);
      if (name !== "") {
        const found = this.#findByHost(name, path, method);
        if (found !== "unknown_api") return found;
      }
    }
    return this.#anyHost === undefined ? "unknown_api" : this.#findByPath(this.#anyHost, path, method);
  }

  /** Most requests in a row name the same host. */
  #nameOf(host: string): string {
    if (host !== this.#lastHost) {
      this.#lastHost = host;
      this.#lastName = normalHost(host);
    }
    return this.#lastName;
  }

  /** The exact host, then `*` in place of ever more of its labels. */
  #findByHost(name: string, path: string, method: string): Place | Misplaced {
    let text = name;
    let dot = -1;
    for (;;) {
      const prefixes = this.#hosts.get(text);
      if (prefixes !== undefined) {
        const found = this.#findByPath(prefixes, path, method);
        if (found !== "unknown_api") return found;
      }
      dot = name.indexOf(".", dot + 1);
      if (dot < 0) return "unknown_api";
      text = `*${name.slice(dot)}`;
    }
  }

  #noteBorders(path: string): void {
    this.#borders.length = 0;
    this.#borders.push(0);
    for (let at = 1; at <= path.length && this.#borders.length <= this.#deepest; at++) {
      const slash = path.indexOf("/", at);
      at = slash < 0 ? path.length : slash;
      this.#borders.push(at);
    }
  }

  #findByPath(prefixes: Prefixes, path: string, method: string): Place | Misplaced {
    for (let depth = this.#borders.length - 1; depth >= 0; depth--) {
      const takers = prefixes.get(path.slice(0, this.#borders[depth]));
      if (takers === undefined) continue;
      for (const taker of takers) if (takes(taker.methods, method)) return this.#route(taker, path, method);
      return "method_not_allowed";
    }
    return "unknown_api";
  }

  #route(taker: Taker, path: string, method: string): Place {
    if (taker.routes === undefined) return taker.place;
    for (let depth = this.#borders.length - 1; depth >= 0; depth--) {
      for (const route of taker.routes.get(path.slice(0, this.#borders[depth])) ?? []) if (takes(route.methods, method)) return route.place;
    }
    return taker.place;
  }
}

/** The host in lower case, without what follows the last colon, as Envoy's routes read it; empty when it's no host. Of one longer than any API's only the end counts. */
function normalHost(host: string): string {
  const colon = host.lastIndexOf(":");
  const name = colon > host.lastIndexOf("]") ? host.slice(0, colon) : host;
  return name.slice(-255).toLowerCase();
}

function methodSet(methods: readonly string[]): ReadonlySet<string> {
  // RFC 9110, 9.3.2: what takes GET takes HEAD.
  return new Set(methods.includes("GET") ? [...methods, "HEAD"] : methods);
}

function takes(methods: ReadonlySet<string>, method: string): boolean {
  return methods.size === 0 || methods.has(method);
}
