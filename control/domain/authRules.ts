/** The rules of `auth` and of identities that a schema can't say. */
import { type Api, type Consumer, takesTokens } from "./model.ts";
import type { ProblemPath, Report } from "./problem.ts";

/** Checks what an API says of its callers. */
export function checkAuth({ auth }: Pick<Api, "auth">, report: Report, path: ProblemPath): void {
  const { mode, jwt } = auth;
  if (!takesTokens(mode)) {
    if (jwt !== undefined)
      report(
        [...path, "jwt"],
        `An API with \`auth.mode: ${mode}\` takes no tokens.`,
        "Remove `jwt`, or set `mode` to jwt, key-or-jwt or both.",
      );
    return;
  }
  if (jwt === undefined) {
    const what = mode === "key-or-jwt" ? "it takes only keys" : "it is closed (503 auth_mode_unsupported)";
    return report(
      path,
      `\`auth.mode: ${mode}\` needs \`jwt\`: until the API says whose tokens it takes, ${what}.`,
      "Add `jwt: {issuers: [{issuer: …, jwksUri: …, audiences: […]}]}`.",
      "warning",
    );
  }
  const at = [...path, "jwt"];
  const seen = new Set<string>();
  jwt.issuers.forEach(({ issuer, jwksUri, jwks }, index) => {
    const here = [...at, "issuers", index];
    if (seen.has(issuer))
      report(
        [...here, "issuer"],
        `Issuer \`${issuer}\` is named twice.`,
        "Remove one; an issuer may have several audiences.",
      );
    seen.add(issuer);
    if ((jwksUri === undefined) === (jwks === undefined))
      report(
        here,
        "An issuer has its keys at `jwksUri` or in `jwks`, one of the two.",
        jwks === undefined ? "Add `jwksUri`." : "Remove one.",
      );
    if (jwksUri !== undefined && !URL.canParse(jwksUri))
      report(
        [...here, "jwksUri"],
        `\`${jwksUri}\` is no address.`,
        "Write it whole, such as https://login.example.com/keys.",
      );
    if (jwks !== undefined && !isKeySet(jwks))
      report([...here, "jwks"], "This is no JSON Web Key Set.", 'It looks like {"keys": [{"kty": "EC", …}]}.');
  });
  if (new Set(jwt.consumerClaims).size < jwt.consumerClaims.length)
    report([...at, "consumerClaims"], "A claim is named twice.", "Remove one.");
  if (mode === "key-and-jwt") {
    const idle = (["tierClaim", "scopeClaim"] as const).filter((name) => jwt[name] !== undefined);
    if (jwt.unknownConsumers === "allow")
      report(
        [...at, "unknownConsumers"],
        "With `key-and-jwt` the key says who calls, so that nobody is unknown.",
        "Remove `unknownConsumers`.",
      );
    for (const name of idle)
      report(
        [...at, name],
        `\`${name}\` has no effect with \`key-and-jwt\`: tier and scopes are the key's.`,
        `Remove \`${name}\`.`,
        "warning",
      );
  } else if (jwt.unknownConsumers === "allow" && jwt.tierClaim === undefined) {
    report(
      [...at, "unknownConsumers"],
      "Unknown callers have no record, and so no tier.",
      "Add `tierClaim`, or set `unknownConsumers` to deny.",
    );
  }
}

function isKeySet(text: string): boolean {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    return (
      Array.isArray(keys) &&
      keys.length > 0 &&
      keys.every((key) => typeof key === "object" && key !== null && "kty" in key)
    );
  } catch {
    return false;
  }
}

/** A SPIFFE id as the standard has it: a trust domain in lower case, then a path without empty and dot segments. */
const spiffeId = /^spiffe:\/\/[a-z0-9._-]{1,255}(\/(?!\.{1,2}(\/|$))[A-Za-z0-9._-]+)+$/;

/** Checks the identities of consumers: each is one, and belongs to one of them. `others` are consumers that are there too. */
export function checkIdentities(
  consumers: readonly Consumer[],
  others: readonly Consumer[],
  report: Report,
  pathOf: (index: number) => ProblemPath,
): void {
  if (consumers.every(({ identities }) => identities === undefined)) return;
  const owners = new Map(others.flatMap(({ id, identities }) => (identities ?? []).map((identity) => [identity, id])));
  consumers.forEach(({ id, identities }, place) => {
    identities?.forEach((identity, index) => {
      const at = [...pathOf(place), "identities", index];
      const owner = owners.get(identity);
      if (!spiffeId.test(identity))
        report(
          at,
          `\`${identity}\` is no SPIFFE id.`,
          "Write it as spiffe://<trust domain>/ns/<namespace>/sa/<service account>.",
        );
      else if (owner !== undefined)
        report(
          at,
          owner === id ? `\`${identity}\` is named twice.` : `\`${identity}\` is consumer \`${owner}\` already.`,
          "An identity is one consumer: remove one.",
        );
      owners.set(identity, id);
    });
  });
}
