import { createHash } from "node:crypto";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { ApiInput, AuthJwtInput, FileInput } from "../../control/domain/schema.ts";
import type { Properties } from "./host.ts";
import { basicSpec, keyRecord, type Gateway } from "./support.ts";

export const issuer = "https://login.example.com/";
export const otherIssuer = "https://other.example.com";

const jwks = JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y" }] });

/** Tokens of the issuer for `api://orders`, unless told. */
export function jwt(more: Partial<AuthJwtInput> = {}): AuthJwtInput {
  return { issuers: [{ issuer, jwks, audiences: ["api://orders"] }, { issuer: otherIssuer, jwks }], ...more };
}

/** An API under `/<id>` with that mode. */
export function apiOf(mode: NonNullable<ApiInput["auth"]>["mode"], more: Partial<ApiInput> & { jwt?: Partial<AuthJwtInput> } = {}): ApiInput {
  const { jwt: tokens, ...fields } = more;
  const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };
  const takesTokens = mode !== "peer" && mode !== "key" && mode !== "keyless";
  return { id: mode, hosts: ["*"], paths: [`/${mode}`], upstream, auth: { mode, ...(takesTokens ? { jwt: jwt(tokens) } : {}) }, ...fields };
}

/** The basic environment with an API for each mode; consumers `acme` (bronze, keyed) and `beta` (gold), `halted` is suspended, `poor` has no tier. */
export function tokenSpec(apis: ApiInput[] = [apiOf("jwt"), apiOf("key-or-jwt"), apiOf("both"), apiOf("peer")]): FileInput {
  const spec = basicSpec();
  spec.apis!.push(...apis);
  spec.tiers!.push({ id: "gold", scopes: ["read", "write"] });
  spec.consumers!.push(
    { id: "beta", tier: "gold", claims: { org: "beta-inc" }, identities: ["spiffe://cluster.local/ns/shop/sa/beta"] },
    { id: "halted", tier: "gold", suspended: true, identities: ["spiffe://cluster.local/ns/shop/sa/halted"] },
    { id: "poor" },
  );
  spec.keys!.push(keyRecord("beta-1", "beta"));
  return spec;
}

const payloadPath = "metadata.filter_metadata.envoy.filters.http.jwt_authn.payload";

/** What the filter reads of a verified payload, as Envoy gives it: texts as they are, lists and objects packed, and their items by themselves. */
export function tokenProperties(payload: Record<string, unknown>): Properties {
  const properties: Properties = {};
  enter(properties, payloadPath, payload);
  return properties;
}

/** A good token of a consumer. */
export function tokenOf(consumer: string, more: Record<string, unknown> = {}): Properties {
  return tokenProperties({ iss: issuer, aud: "api://orders", client_id: consumer, ...more });
}

function enter(properties: Properties, path: string, value: unknown): void {
  properties[path] = packed(value);
  if (typeof value === "object" && value !== null) for (const [name, inner] of Object.entries(value)) enter(properties, `${path}.${name}`, inner);
}

function packed(value: unknown): string | Buffer {
  if (typeof value === "string") return value;
  if (typeof value === "number") {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes;
  }
  if (typeof value === "boolean") return Buffer.from([value ? 1 : 0]);
  const items = Array.isArray(value) ? value.map((item): [unknown, unknown] => [item, ""]) : Object.entries(value as object);
  const texts = items.flatMap(([a, b]) => [Buffer.from(packed(a)), Buffer.from(packed(b))]);
  const sizes = Buffer.alloc(4 + texts.length * 4);
  sizes.writeUInt32LE(items.length);
  texts.forEach((text, index) => sizes.writeUInt32LE(text.length, 4 + index * 4));
  return Buffer.concat([sizes, ...texts.flatMap((text) => [text, Buffer.alloc(1)])]);
}

/** What such a caller is counted by. */
export function subjectOf(kind: "jwt" | "peer", ...parts: string[]): string {
  return createHash("sha256").update([kind, ...parts].join("\0")).digest("hex").slice(0, 32);
}

/** Applies a file to the simulated control, and lets the change arrive. */
export function applySpec(gateway: Gateway, file: FileInput): void {
  gateway.control.change(() => fillEnvironment(file, "default"));
  gateway.envoy.advance(1000);
}
