/** Security requirements: who may call an operation, and which scopes it takes. */
import type { AuthMode } from "../../control/domain/model.ts";
import { nearest } from "../../control/domain/nearest.ts";
import type { ProblemPath } from "../../control/domain/problem.ts";
import type { KeySource } from "./model.ts";
import { type Fields, isFields, type Source } from "./source.ts";

/** What a scheme asks callers for; `other`: what can't be checked at the gateway. */
type Credential = "key" | "jwt" | "either" | "other";

export interface Access {
  mode: AuthMode;
  scopes: string[];
}

const scopePattern = /^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/;

export class Security {
  readonly #source: Source;
  readonly #schemes: Fields;
  readonly #keySources = new Map<string, KeySource>();

  constructor(source: Source) {
    this.#source = source;
    const components = source.fields(source.root["components"], ["components"]);
    this.#schemes =
      source.fields(components?.fields["securitySchemes"], ["components", "securitySchemes"])?.fields ?? {};
  }

  /** Where the keys come from that operations read so far ask for. */
  keySources(): KeySource[] {
    return [...this.#keySources.values()];
  }

  /** `security` of an operation, or of the document: alternatives, each of which may ask for several credentials. */
  access(requirements: unknown, path: ProblemPath): Access {
    const alternatives = this.#source
      .list(requirements, path)!
      .map((value, index) => this.#alternative(value, [...path, index]));
    const asking = alternatives.filter(({ credential }) => credential !== undefined);
    if (asking.length === 0) return { mode: "none", scopes: [] };
    if (asking.length < alternatives.length) {
      this.#source.note(
        path,
        "Credentials are optional here, which can't be expressed: callers without any are refused.",
        "Set `x-tollgate: {auth: {mode: none}}` where everybody may call.",
      );
    }
    const scoped = new Set(
      asking.filter(({ scopes }) => scopes.length > 0).map(({ scopes }) => [...scopes].sort().join(" ")),
    );
    const scopes = [...new Set(asking.flatMap((alternative) => alternative.scopes))].sort();
    if (scoped.size > 1)
      this.#source.note(
        path,
        `Alternatives ask for different scopes, which can't be expressed: all of them are asked for, ${scopes.join(", ")}.`,
        "Set `scopes` by hand.",
      );
    const credentials = new Set(asking.map(({ credential }) => credential!));
    return {
      mode: credentials.size > 1 || credentials.has("either") ? "key-or-jwt" : credentials.has("jwt") ? "jwt" : "key",
      scopes,
    };
  }

  /** One alternative; without a credential: anybody may call. */
  #alternative(
    value: unknown,
    path: ProblemPath,
  ): { credential: Exclude<Credential, "other"> | undefined; scopes: string[] } {
    const requirement = this.#source.fields(value, path)!.fields;
    const schemes = Object.entries(requirement).map(([name, roles]) => ({
      name,
      credential: this.#credential(name, [...path, name]),
      scopes: this.#scopes(roles, [...path, name]),
    }));
    const scopes = schemes.flatMap((scheme) => scheme.scopes);
    if (schemes.length === 0) return { credential: undefined, scopes };
    const unchecked = schemes.filter(({ credential }) => credential === "other").map(({ name }) => `\`${name}\``);
    const credentials = new Set(schemes.map(({ credential }) => credential));
    credentials.delete("other");
    const list = unchecked.join(", ");
    if (credentials.size === 0)
      this.#source.note(
        path,
        `${list} can't be checked at the gateway: a key is asked for.`,
        "Set `x-tollgate: {auth: {mode: …}}` to decide otherwise.",
      );
    else if (unchecked.length > 0)
      this.#source.note(path, `${list} can't be checked at the gateway: the service has to.`);
    if (credentials.size > 1) {
      this.#source.note(
        path,
        `Several credentials at once (${schemes.map(({ name }) => name).join(", ")}) can't be asked for: the key is checked, the token is left to the service.`,
      );
    }
    return {
      credential: credentials.has("key") || credentials.size === 0 ? "key" : credentials.has("jwt") ? "jwt" : "either",
      scopes,
    };
  }

  #credential(name: string, path: ProblemPath): Credential {
    if (!Object.hasOwn(this.#schemes, name)) {
      const near = nearest(name, Object.keys(this.#schemes));
      return this.#source.refuse(
        path,
        `There is no security scheme \`${name}\`.`,
        near === undefined ? "Define it under components.securitySchemes." : `Did you mean \`${near}\`?`,
      );
    }
    const { fields, path: at } = this.#source.fields(this.#schemes[name], ["components", "securitySchemes", name])!;
    switch (fields["type"]) {
      case "apiKey":
        return this.#key(
          keySourceOf(fields) ??
            this.#source.refuse(at, "An apiKey scheme needs `name`, and `in`: header, query or cookie.", "Add them."),
        );
      case "oauth2":
      case "openIdConnect":
        return "jwt";
      case "http":
        return this.#http(fields, name, at);
      case "mutualTLS":
        return "other";
      default:
        return this.#source.refuse(
          [...at, "type"],
          `\`${String(fields["type"])}\` is no type of security scheme.`,
          "Use apiKey, http, oauth2, openIdConnect or mutualTLS.",
        );
    }
  }

  #http(scheme: Fields, name: string, at: ProblemPath): Credential {
    if (String(scheme["scheme"]).toLowerCase() !== "bearer") return "other";
    const format = scheme["bearerFormat"];
    if (typeof format === "string") return /jwt/i.test(format) ? "jwt" : this.#key({ bearer: true });
    this.#source.note(
      at,
      `\`${name}\` doesn't say what its bearer tokens are: keys and JWTs are taken.`,
      "Say `bearerFormat: JWT`, or another one for keys.",
    );
    this.#key({ bearer: true });
    return "either";
  }

  #key(source: KeySource): "key" {
    this.#keySources.set(JSON.stringify(source).toLowerCase(), source);
    return "key";
  }

  #scopes(roles: unknown, path: ProblemPath): string[] {
    const words = (this.#source.list(roles, path) ?? [])
      .flatMap((role) => String(role).split(/\s+/))
      .filter((word) => word !== "");
    for (const word of words)
      if (!scopePattern.test(word))
        this.#source.refuse(
          path,
          `\`${word}\` is not a scope.`,
          'Scopes have 1 to 128 printable ASCII characters without `"` and `\\`.',
        );
    return words;
  }
}

function keySourceOf({ in: place, name }: Fields): KeySource | undefined {
  if (typeof name !== "string" || name === "") return undefined;
  if (place === "header") return { header: name };
  if (place === "query") return { query: name };
  return place === "cookie" ? { cookie: name } : undefined;
}

/** Does the document say anywhere who may call? One that says nothing leaves it to the gateway; that isn't the same as open to all. */
export function speaksOfSecurity(root: Fields): boolean {
  if (root["security"] !== undefined) return true;
  const items = Object.values(isFields(root["paths"]) ? root["paths"] : {});
  return items.some(
    (item) =>
      isFields(item) &&
      Object.values(item).some((operation) => isFields(operation) && operation["security"] !== undefined),
  );
}
