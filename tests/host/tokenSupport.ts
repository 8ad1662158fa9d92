import { createHash } from "node:crypto";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import type { ApiInput, AuthJwtInput, FileInput } from "../../control/domain/schema.ts";
import type { Properties } from "./host.ts";
import { basicSpec, keyRecord, type Gateway } from "./support.ts";

export const issuer = "https://login.example.com/";
export const otherIssuer = "https://other.example.com";

const jwks = JSON.stringify({ keys: [{ kty: "EC", crv: "P-256", x: "x", y: "y" }] });

/** Tokens of the issuer for `api://orders`, unless told. */
function jwt(more: Partial<AuthJwtInput> = {}): AuthJwtInput {
  return {
    issuers: [
      { issuer, jwks, audiences: ["api://orders"] },
      { issuer: otherIssuer, jwks },
    ],
    ...more,
  };
}

/** An API under `/<id>` with that mode. */
export function apiOf(
  mode: NonNullable<ApiInput["auth"]>["mode"],
  more: Partial<ApiInput> & { jwt?: Partial<AuthJwtInput> } = {},
): ApiInput {
  const { jwt: tokens, ...fields } = more;
  const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };
  const takesTokens = mode !== "mtls" && mode !== "key" && mode !== "none";
  return {
    id: mode,
    hosts: ["*"],
    paths: [`/${mode}`],
    upstream,
    auth: { mode, ...(takesTokens ? { jwt: jwt(tokens) } : {}) },
    ...fields,
  };
}

/** The basic environment with an API for each mode; consumers `acme` (bronze, keyed) and `beta` (gold), `halted` is suspended, `poor` has no tier. */
export function tokenSpec(
  apis: ApiInput[] = [apiOf("jwt"), apiOf("key-or-jwt"), apiOf("key-and-jwt"), apiOf("mtls")],
): FileInput {
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

/**
 * What the filter reads of a verified payload, as Envoy gives it: the request's metadata as a serialized envoy.config.core.v3.Metadata,
 * with other filters' beside it; and the paths into it, whose leaves don't say of which kind they are.
 */
export function tokenProperties(payload: Record<string, unknown>): Properties {
  const others = entry(
    "envoy.filters.http.other",
    struct({ payload: { iss: "https://other.example.com", client_id: "mallory" } }),
  );
  const own = entry("envoy.filters.http.jwt_authn", struct({ payload }));
  const properties: Properties = { metadata: Buffer.concat([others, own]) };
  enter(properties, "metadata.filter_metadata.envoy.filters.http.jwt_authn.payload", payload);
  return properties;
}

/** A good token of a consumer. */
export function tokenOf(consumer: string, more: Record<string, unknown> = {}): Properties {
  return tokenProperties({ iss: issuer, aud: "api://orders", client_id: consumer, ...more });
}

// ---- protobuf: google.protobuf.Struct, Value and ListValue -------------------------------------------------------------------------

function varint(n: number): Buffer {
  const bytes: number[] = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) | 128);
  return Buffer.from([...bytes, n]);
}

function field(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | 2), varint(bytes.length), bytes]);
}

/** An entry of a map<string, message> that is the message's field 1. */
function entry(key: string, value: Buffer): Buffer {
  return field(1, Buffer.concat([field(1, Buffer.from(key)), field(2, value)]));
}

function struct(members: object): Buffer {
  return Buffer.concat(Object.entries(members).map(([name, value]) => entry(name, valueOf(value))));
}

function valueOf(value: unknown): Buffer {
  if (value === null) return Buffer.from([0x08, 0]);
  if (typeof value === "number") return Buffer.concat([Buffer.from([0x11]), packed(value)]);
  if (typeof value === "string") return field(3, Buffer.from(value));
  if (typeof value === "boolean") return Buffer.from([0x20, value ? 1 : 0]);
  return Array.isArray(value)
    ? field(6, Buffer.concat(value.map((item) => field(1, valueOf(item)))))
    : field(5, struct(value as object));
}

// ---- by path: texts as they are, lists and objects packed, and their items by themselves --------------------------------------------

function enter(properties: Properties, path: string, value: unknown): void {
  if (value === null) return;
  properties[path] = packed(value);
  if (typeof value === "object")
    for (const [name, inner] of Object.entries(value)) enter(properties, `${path}.${name}`, inner);
}

function packed(value: unknown): Buffer {
  if (value === null) return Buffer.alloc(0);
  if (typeof value === "string") return Buffer.from(value);
  if (typeof value === "number") {
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(value);
    return bytes;
  }
  if (typeof value === "boolean") return Buffer.from([value ? 1 : 0]);
  const items = Array.isArray(value)
    ? value.map((item): [unknown, unknown] => [item, ""])
    : Object.entries(value as object);
  const texts = items.flatMap(([a, b]) => [packed(a), packed(b)]);
  const sizes = Buffer.alloc(4 + texts.length * 4);
  sizes.writeUInt32LE(items.length);
  texts.forEach((text, index) => sizes.writeUInt32LE(text.length, 4 + index * 4));
  return Buffer.concat([sizes, ...texts.flatMap((text) => [text, Buffer.alloc(1)])]);
}

/** What such a caller is counted by. */
export function subjectOf(kind: "jwt" | "peer", ...parts: string[]): string {
  return createHash("sha256")
    .update([kind, ...parts].join("\0"))
    .digest("hex")
    .slice(0, 32);
}

/** Applies a file to the simulated control, and lets the change arrive. */
export function applySpec(gateway: Gateway, file: FileInput): void {
  gateway.control.change(() => fillEnvironment(file, "default"));
  gateway.envoy.advance(1000);
}
