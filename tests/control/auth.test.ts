/** `auth` and `identities`: what a file may say, what is stored, and what comes out again. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fillApi, fillEnvironment } from "../../control/domain/defaults.ts";
import { exportYaml } from "../../control/domain/exportYaml.ts";
import { problemLine } from "../../control/domain/problem.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";
import { apiRecords, consumerRecord } from "../../control/sync/fromFeed.ts";
import { expect, seed, startApi } from "./support.ts";

const jwks = '{"keys":[{"kty":"EC","crv":"P-256","x":"x","y":"y"}]}';
const issuer = { issuer: "https://login.example.com/", jwksUri: "https://login.example.com/keys" };
const identity = (name: string): string => `spiffe://cluster.local/ns/shop/sa/${name}`;

/** What is wrong with a file whose only API has this `auth`, and whose consumers are these. */
function problems(auth: unknown, consumers: unknown[] = []): string[] {
  const api = { id: "a", hosts: ["*"], paths: ["/"], upstream: { service: "up", port: 80 }, auth };
  return loadFile(JSON.stringify({ version: 1, apis: [api], consumers })).problems.map((problem) =>
    problemLine("f", problem).replace(/^f:\d+:\d+: /, ""),
  );
}

describe("auth", () => {
  const good: [what: string, auth: unknown][] = [
    ["a key", { mode: "key" }],
    ["a token by its issuer's address", { mode: "jwt", jwt: { issuers: [issuer] } }],
    ["a token by its issuer's keys", { mode: "jwt", jwt: { issuers: [{ issuer: "i", jwks, audiences: ["a", "b"] }] } }],
    [
      "a key or a token, with claims",
      {
        mode: "key-or-jwt",
        jwt: {
          issuers: [issuer],
          consumerClaims: ["https://example.com/app", "app.id"],
          tierClaim: "plan",
          scopeClaim: "scp",
          unknownConsumers: "allow",
          forwardToken: false,
        },
      },
    ],
    ["both", { mode: "key-and-jwt", jwt: { issuers: [issuer] } }],
    ["a certificate", { mode: "mtls" }],
  ];
  for (const [what, auth] of good) it(`takes ${what}`, () => assert.deepEqual(problems(auth), []));

  const bad: [what: string, auth: unknown, problem: RegExp][] = [
    [
      "tokens on an API that takes none",
      { mode: "mtls", jwt: { issuers: [issuer] } },
      /^apis\[0\]\.auth\.jwt: An API with `auth\.mode: mtls` takes no tokens\./,
    ],
    [
      "an API of tokens without issuers",
      { mode: "key-and-jwt" },
      /^warning: apis\[0\]\.auth: `auth\.mode: key-and-jwt` needs `jwt`: .*closed \(503 auth_mode_unsupported\)/,
    ],
    ["no issuers", { mode: "jwt", jwt: { issuers: [] } }, /^apis\[0\]\.auth\.jwt\.issuers: /],
    [
      "eleven issuers",
      { mode: "jwt", jwt: { issuers: Array.from({ length: 11 }, (_, i) => ({ ...issuer, issuer: `i${i}` })) } },
      /^apis\[0\]\.auth\.jwt\.issuers: /,
    ],
    [
      "an issuer twice",
      { mode: "jwt", jwt: { issuers: [issuer, { ...issuer, audiences: ["a"] }] } },
      /^apis\[0\]\.auth\.jwt\.issuers\[1\]\.issuer: Issuer `https:\/\/login\.example\.com\/` is named twice\./,
    ],
    [
      "an issuer without keys",
      { mode: "jwt", jwt: { issuers: [{ issuer: "i" }] } },
      /issuers\[0\]: An issuer has its keys at `jwksUri` or in `jwks`, one of the two\. Add `jwksUri`\./,
    ],
    [
      "an issuer with keys twice",
      { mode: "jwt", jwt: { issuers: [{ ...issuer, jwks }] } },
      /issuers\[0\]: An issuer has its keys at .* Remove one\./,
    ],
    [
      "keys that are none",
      { mode: "jwt", jwt: { issuers: [{ issuer: "i", jwks: '{"keys":[]}' }] } },
      /issuers\[0\]\.jwks: This is no JSON Web Key Set\./,
    ],
    [
      "an address that is none",
      { mode: "jwt", jwt: { issuers: [{ issuer: "i", jwksUri: "https://[" }] } },
      /issuers\[0\]\.jwksUri: `https:\/\/\[` is no address\./,
    ],
    [
      "an address of another kind",
      { mode: "jwt", jwt: { issuers: [{ issuer: "i", jwksUri: "ftp://keys" }] } },
      /issuers\[0\]\.jwksUri: "ftp:\/\/keys" is not valid\./,
    ],
    [
      "a claim twice",
      { mode: "jwt", jwt: { issuers: [issuer], consumerClaims: ["sub", "sub"] } },
      /consumerClaims: A claim is named twice\./,
    ],
    [
      "a claim with a blank",
      { mode: "jwt", jwt: { issuers: [issuer], tierClaim: "a plan" } },
      /tierClaim: "a plan" is not valid\./,
    ],
    [
      "unknown callers without a tier",
      { mode: "jwt", jwt: { issuers: [issuer], unknownConsumers: "allow" } },
      /unknownConsumers: Unknown callers have no record, and so no tier\./,
    ],
    [
      "unknown callers who have a key",
      { mode: "key-and-jwt", jwt: { issuers: [issuer], unknownConsumers: "allow" } },
      /unknownConsumers: With `key-and-jwt` the key says who calls/,
    ],
    [
      "a tier's claim that the key overrules",
      { mode: "key-and-jwt", jwt: { issuers: [issuer], tierClaim: "plan" } },
      /^warning: .*tierClaim: `tierClaim` has no effect with `key-and-jwt`/,
    ],
    ["a mode that there isn't", { mode: "both" }, /^apis\[0\]\.auth\.mode: "both" is not allowed here\./],
  ];
  for (const [what, auth, problem] of bad) {
    it(`finds ${what}`, () => {
      const [first, ...more] = problems(auth);
      assert.match(first ?? "", problem);
      assert.deepEqual(more, []);
    });
  }

  it("has defaults, and an export leaves them out again", () => {
    const file = {
      version: 1 as const,
      apis: [
        {
          id: "a",
          hosts: ["*"],
          paths: ["/"],
          upstream: { service: "up", port: 80 },
          auth: { mode: "jwt" as const, jwt: { issuers: [issuer] } },
        },
      ],
    };
    const spec = fillEnvironment(file, "default");
    assert.deepEqual(spec.apis[0]!.auth, {
      mode: "jwt",
      jwt: {
        issuers: [{ ...issuer, audiences: [] }],
        consumerClaims: ["client_id", "azp", "sub"],
        unknownConsumers: "deny",
        forwardToken: true,
      },
    });
    assert.doesNotMatch(exportYaml(spec), /consumerClaims|unknownConsumers|forwardToken|audiences/);
    for (const [, auth] of good) {
      const one = fillEnvironment(
        {
          version: 1,
          apis: [{ ...file.apis[0]!, auth: auth as never }],
          consumers: [{ id: "c", identities: [identity("a")] }],
        },
        "default",
      );
      assert.deepEqual(loadFile(exportYaml(one)).spec, one);
    }
  });

  it("goes to gateways without what is Envoy's alone", () => {
    const api = fillApi({
      id: "a",
      hosts: ["*"],
      paths: ["/"],
      upstream: { service: "up", port: 80 },
      auth: { mode: "jwt", jwt: { issuers: [{ issuer: "i", jwks, audiences: ["x"] }], tierClaim: "plan" } },
    });
    const [record] = apiRecords({ wireId: 1, api, limits: [] });
    assert.deepEqual(record?.type === "api" && record.jwt, {
      issuers: [{ issuer: "i", audiences: ["x"] }],
      consumerClaims: ["client_id", "azp", "sub"],
      tierClaim: "plan",
      scopeClaim: "",
      admitUnknown: false,
    });
    const consumer = { id: "c", claims: {}, suspended: false, identities: [identity("a")] };
    assert.deepEqual(consumerRecord({ wireId: 1, tierWireId: 0, consumer }).identities, [identity("a")]);
  });
});

describe("identities", () => {
  it("are SPIFFE ids", () => {
    const wrong = [
      "spiffe://cluster.local",
      "spiffe://cluster.local/",
      "spiffe://Cluster.local/ns/a",
      "spiffe://cluster.local/ns//a",
      "spiffe://cluster.local/../a",
      "spiffe://cluster.local/a/",
      "https://cluster.local/a",
      "spiffe://cluster.local/a b",
      "*",
    ];
    for (const one of wrong)
      assert.match(
        problems({ mode: "key" }, [{ id: "c", identities: [one] }])[0] ?? "",
        /identities\[0\]: `.*` is no SPIFFE id\./,
        one,
      );
    for (const one of [identity("a"), "spiffe://example.org/x", "spiffe://a/b.c/d_e/f-g"])
      assert.deepEqual(problems({ mode: "key" }, [{ id: "c", identities: [one] }]), [], one);
  });

  it("are 16 at most, and each is one consumer", () => {
    assert.match(
      problems({ mode: "key" }, [
        { id: "c", identities: Array.from({ length: 17 }, (_, i) => identity(`a${i}`)) },
      ])[0] ?? "",
      /consumers\[0\]\.identities: /,
    );
    assert.match(
      problems({ mode: "key" }, [{ id: "c", identities: [identity("a"), identity("a")] }])[0] ?? "",
      /identities\[1\]: `.*` is named twice\./,
    );
    assert.match(
      problems({ mode: "key" }, [
        { id: "c", identities: [identity("a")] },
        { id: "d", identities: [identity("a")] },
      ])[0] ?? "",
      /consumers\[1\]\.identities\[0\]: `.*` is consumer `c` already\./,
    );
  });

  it("are unique among what is stored, by PUT and by file", async (t) => {
    const h = await startApi(t);
    await seed(h);
    expect(await h.call("PUT", "/v1/consumers/acme", { identities: [identity("a")] }), 200);
    const stored = expect<{ identities: string[] }>(await h.call("GET", "/v1/consumers/acme"), 200);
    assert.deepEqual(stored.identities, [identity("a")]);
    expect(await h.call("PUT", "/v1/consumers/acme", { identities: [identity("a"), identity("b")] }), 200);
    expect(await h.call("PUT", "/v1/consumers/other", { identities: [identity("b")] }), 400);
    expect(
      await h.call(
        "POST",
        "/v1/apply",
        JSON.stringify({ version: 1, consumers: [{ id: "other", identities: [identity("a")] }] }),
        { "content-type": "application/yaml" },
      ),
      400,
      "invalid_file",
    );
    expect(await h.call("PUT", "/v1/consumers/acme", {}), 200);
    assert.equal(
      expect<{ identities?: string[] }>(await h.call("GET", "/v1/consumers/acme"), 200).identities,
      undefined,
    );
    expect(await h.call("PUT", "/v1/consumers/other", { identities: [identity("b")] }), 201);
  });
});
