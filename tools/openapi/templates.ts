/** Path templates. A gateway's paths are prefixes on segment borders, so a template counts up to its first parameter. */
import { pathFault } from "../../control/domain/hostsAndPaths.ts";

/** A segment of a template: a text, or what a parameter lets it be. */
type Segment = { text: string } | { pattern: RegExp; rest: boolean };

export interface Template {
  segments: readonly Segment[];
  /** how many segments come before the first parameter */
  literals: number;
  /** "/" or "/a/b": the template up to the first parameter */
  prefix: string;
  /** what is wrong with it as a path, where it was cut for that */
  fault: string | undefined;
}

const pathMax = 512;

/** Reads base path and template together. The template begins with `/`. */
export function readTemplate(path: string): Template {
  const [plain] = path.split(/[?#]/, 1);
  const raw = plain!.replace(/\/+$/, "").split("/").slice(1);
  const segments: Segment[] = [];
  let fault = plain === path ? undefined : "a query or a fragment is no part of a path";
  for (const segment of raw) {
    const wrong = segment.includes("{") ? undefined : segmentFault(segment);
    if (wrong !== undefined) fault ??= wrong;
    segments.push(segment.includes("{") || wrong !== undefined ? parameter(segment) : { text: segment });
  }
  const literals = segments.findIndex((segment) => !("text" in segment));
  const template = { segments, literals: literals < 0 ? segments.length : literals };
  let prefix = prefixOf(template.segments.slice(0, template.literals));
  while (prefix.length > pathMax) {
    fault ??= `it has more than ${pathMax} characters`;
    template.literals--;
    prefix = prefixOf(segments.slice(0, template.literals));
  }
  return { ...template, prefix, fault };
}

function prefixOf(segments: readonly Segment[]): string {
  return `/${segments.map((segment) => ("text" in segment ? segment.text : "")).join("/")}`;
}

export function segmentsOf(prefix: string): string[] {
  return prefix === "/" ? [] : prefix.slice(1).split("/");
}

/**
 * The prefix under which a template is also served, given a longer prefix that others use: `/users/{id}/orders` is served at
 * `/users/me/orders` too, which a route for `/users/me` would otherwise take. `undefined`: nothing of the template is below it.
 */
export function instance(template: Template, below: string): string | undefined {
  const fixed = segmentsOf(below);
  const { segments, literals } = template;
  if (fixed.length <= literals) return undefined;
  for (const [index, text] of fixed.entries()) {
    const segment = segments[index];
    if (segment === undefined) return undefined;
    if ("text" in segment ? segment.text !== text : !segment.pattern.test(text)) return undefined;
    if (!("text" in segment) && segment.rest) return below;
  }
  const next = segments.slice(fixed.length);
  const cut = next.findIndex((segment) => !("text" in segment));
  const more = prefixOf(cut < 0 ? next : next.slice(0, cut));
  const longer = more === "/" ? below : below === "/" ? more : `${below}${more}`;
  return longer.length > pathMax ? below : longer;
}

/** Is the prefix just one of the template's paths, without more segments to come? */
export function endsAt(template: Template, prefix: string): boolean {
  return segmentsOf(prefix).length === template.segments.length;
}

function parameter(segment: string): Segment {
  const parts = segment.split(/(\{[^{}]*\})/);
  const pattern = parts
    .map((part) => (/^\{.*\}$/.test(part) ? "[^/]+" : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")))
    .join("");
  // Some generators write {path+} or {*path} for all the rest of a path.
  return { pattern: new RegExp(`^${pattern}$`), rest: /\{[^{}]*\+\}|\{\*[^{}]*\}/.test(segment) };
}

function segmentFault(segment: string): string | undefined {
  if (segment === "") return "it holds `//`";
  const fault = pathFault(`/${segment}`);
  return fault === undefined ? undefined : `\`${segment}\` can't stand in a path of the gateway`;
}
