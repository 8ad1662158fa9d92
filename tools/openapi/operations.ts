/** Reads a document's operations: where they are served, who may call them, what they cost. */
import { countsCaller } from "../../control/domain/subjects.ts";
import type { ProblemPath } from "../../control/domain/problem.ts";
import { documentExtension, extensionName, filledLimits, routeExtension, type RouteExtension } from "./extension.ts";
import type { ApiExtension, Operation, Origin, ReadApi } from "./model.ts";
import { type Access, Security, speaksOfSecurity } from "./security.ts";
import { originsOf } from "./servers.ts";
import { type Fields, printable, type Source } from "./source.ts";

export interface ReadOptions {
  /** in place of those of `servers` */
  hosts?: readonly string[];
  /** "" or "/v1", in place of the paths of `servers` */
  prefix?: string;
}

const methods = ["get", "put", "post", "delete", "options", "head", "patch", "trace", "query"];

export function readApi(source: Source, options: ReadOptions): ReadApi {
  return new Reader(source, options).read();
}

/** What an operation takes over where it doesn't say otherwise. */
interface Inherited {
  origins: readonly Origin[];
  extensions: readonly RouteExtension[];
}

class Reader {
  readonly #source: Source;
  readonly #options: ReadOptions;
  readonly #security: Security;
  readonly #extension: ApiExtension;
  readonly #documentAccess: Access;

  constructor(source: Source, options: ReadOptions) {
    this.#source = source;
    this.#options = options;
    this.#security = new Security(source);
    this.#extension = documentExtension(source);
    this.#documentAccess = this.#accessOfDocument();
  }

  read(): ReadApi {
    const { root } = this.#source;
    const info = this.#source.fields(root["info"], ["info"])?.fields ?? {};
    const { cost, failureMode, auth } = this.#extension;
    const inherited = {
      origins: this.#origins(root["servers"], ["servers"]),
      extensions: [pick({ cost, failureMode, auth })],
    };
    const paths = this.#source.fields(root["paths"], ["paths"]);
    const operations = Object.entries(paths?.fields ?? {}).flatMap(([template, item]) =>
      template.startsWith("x-") ? [] : this.#item(template, item, ["paths", template], inherited),
    );
    if (operations.length === 0)
      this.#source.refuse(["paths"], "The document has no operations.", "Webhooks and components alone make no API.");
    return {
      title: printable(info["title"] ?? ""),
      version: printable(info["version"] ?? ""),
      operations,
      extension: this.#extension,
      keySources: this.#security.keySources(),
    };
  }

  #item(template: string, value: unknown, path: ProblemPath, inherited: Inherited): Operation[] {
    if (!template.startsWith("/"))
      this.#source.refuse(
        path,
        `The path \`${template}\` doesn't begin with \`/\`.`,
        "OpenAPI's paths begin with one.",
      );
    const { fields: item, path: at } = this.#source.fields(value, path)!;
    const origins =
      item["servers"] === undefined ? inherited.origins : this.#origins(item["servers"], [...at, "servers"]);
    const own = {
      origins,
      extensions: [...inherited.extensions, routeExtension(this.#source, item[extensionName], at)],
    };
    const more = this.#source.fields(item["additionalOperations"], [...at, "additionalOperations"]);
    return [
      ...methods
        .filter((method) => item[method] !== undefined)
        .map((method) => this.#operation(template, method, item[method], [...at, method], own)),
      ...Object.entries(more?.fields ?? {}).map(([method, operation]) =>
        this.#operation(template, method, operation, [...more!.path, method], own),
      ),
    ];
  }

  #operation(template: string, method: string, value: unknown, path: ProblemPath, inherited: Inherited): Operation {
    const { fields: operation, path: at } = this.#source.fields(value, path)!;
    if (!/^[A-Za-z][A-Za-z0-9-]{0,31}$/.test(method))
      this.#source.refuse(at, `\`${method}\` is no HTTP method.`, "Correct its name.");
    const extensions = [...inherited.extensions, routeExtension(this.#source, operation[extensionName], at)];
    const merged: RouteExtension = Object.assign({}, ...extensions);
    const access = this.#access(operation, at, merged);
    const limits = [
      ...new Map(
        extensions.flatMap(({ limits: list }) => filledLimits(list)).map((limit) => [limit.name, limit]),
      ).values(),
    ];
    if (access.mode === "none") this.#checkKeyless(extensions, limits, at);
    return {
      at,
      template: printable(template),
      method: method.toUpperCase(),
      operationId: typeof operation["operationId"] === "string" ? printable(operation["operationId"]) : undefined,
      origins:
        operation["servers"] === undefined
          ? inherited.origins
          : this.#origins(operation["servers"], [...at, "servers"]),
      mode: access.mode,
      failureMode: merged.failureMode ?? "closed",
      scopes: [...new Set([...access.scopes, ...extensions.flatMap(({ scopes }) => scopes ?? [])])].sort(),
      cost: merged.cost ?? 1,
      limits,
    };
  }

  #access(operation: Fields, at: ProblemPath, extension: RouteExtension): Access {
    const access =
      operation["security"] === undefined
        ? this.#documentAccess
        : this.#security.access(operation["security"], [...at, "security"]);
    const mode = extension.auth?.mode ?? access.mode;
    return { mode, scopes: mode === "none" ? [] : access.scopes };
  }

  #checkKeyless(extensions: readonly RouteExtension[], limits: Operation["limits"], at: ProblemPath): void {
    if (extensions.some(({ scopes }) => (scopes ?? []).length > 0)) {
      this.#source.refuse(
        at,
        "Scopes are asked for where everybody may call.",
        "Give the operation a `security`, or remove the scopes from x-tollgate.",
      );
    }
    const counting = limits.find(({ subject }) => countsCaller(subject));
    if (counting !== undefined) {
      this.#source.refuse(
        at,
        `The limit \`${counting.name}\` counts each ${counting.subject} where everybody may call.`,
        "Set its `subject` to ip or api, or give the operation a `security`.",
      );
    }
  }

  #accessOfDocument(): Access {
    const { root } = this.#source;
    if (root["security"] !== undefined) return this.#security.access(root["security"], ["security"]);
    if (speaksOfSecurity(root)) return { mode: "none", scopes: [] };
    if (this.#extension.auth === undefined) {
      this.#source.note(
        [],
        "The document doesn't say who may call: a key is asked for.",
        "Add `security`, or `x-tollgate: {auth: {mode: none}}`.",
      );
    }
    return { mode: "key", scopes: [] };
  }

  #origins(servers: unknown, path: ProblemPath): Origin[] {
    const origins = originsOf(this.#source, servers, path, this.#options.hosts);
    const { prefix } = this.#options;
    return prefix === undefined
      ? origins
      : [...new Map(origins.map(({ host }) => [host, { host, basePath: prefix }])).values()];
  }
}

/** Without the members that are undefined, which would hide those of others when merged. */
function pick(extension: { [K in keyof RouteExtension]: RouteExtension[K] | undefined }): RouteExtension {
  return Object.fromEntries(Object.entries(extension).filter(([, value]) => value !== undefined)) as RouteExtension;
}
