import assert from "node:assert/strict";
import { afterEach, describe, test } from "node:test";
import type { Properties, Stream } from "./host.ts";
import { assertSound, keyNamed, outcome, pluginConfiguration, readyGateway, type Gateway } from "./support.ts";
import { apiOf, issuer, otherIssuer, tokenOf, tokenProperties, tokenSpec } from "./tokenSupport.ts";

afterEach(assertSound);

const keyed = (id: string) => ({ "x-api-key": keyNamed(id) });
const claimsOf = (stream: Stream) => Object.fromEntries(stream.headers.pairs.filter(([name]) => name.startsWith("x-tollgate")));
const call = (gateway: Gateway, path: string, properties: Properties = {}, headers: Record<string, string> = {}) => gateway.get(path, headers, { properties });
const reason = (...all: Parameters<typeof call>) => outcome(call(...all));

describe("auth.mode jwt", () => {
  test("takes the consumer, its tier and claims from the record that a claim names, and no key id", () => {
    const stream = call(readyGateway({ spec: tokenSpec() }), "/jwt/x", tokenOf("beta"));
    assert.equal(outcome(stream), "admitted");
    assert.deepEqual(claimsOf(stream), { "x-tollgate-consumer": "beta", "x-tollgate-tier": "gold", "x-tollgate-scopes": "read write", "x-tollgate-claim-org": "beta-inc" });
  });

  test("believes the metadata alone: a token in a header proves nothing", () => {
    const gateway = readyGateway({ spec: tokenSpec() });
    const text = (part: object) => Buffer.from(JSON.stringify(part)).toString("base64url");
    const token = `${text({ alg: "none" })}.${text({ iss: issuer, aud: "api://orders", client_id: "beta" })}.`;
    const stream = call(gateway, "/jwt/x", {}, { authorization: `Bearer ${token}`, "x-tollgate-consumer": "beta" });
    assert.equal(outcome(stream), "token_missing");
    assert.deepEqual(stream.localResponse!.headers.filter(([name]) => name === "www-authenticate"), [["www-authenticate", 'Bearer realm="tollgate"']]);
  });
});
