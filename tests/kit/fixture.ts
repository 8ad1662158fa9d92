/** The environment that the suites run against: an API of each kind, a key in each state. */
import { randomInt } from "node:crypto";
import { fillEnvironment } from "../../control/domain/defaults.ts";
import { digestHex, issueKey } from "../../control/domain/keys.ts";
import type { EnvironmentSpec } from "../../control/domain/model.ts";
import type { FileInput, KeyInput } from "../../control/domain/schema.ts";

export const environment = "test";
export const host = "api.example.com";

type KeyName =
  | "gold"
  | "silver"
  | "lost"
  | "halted"
  | "revoked"
  | "suspended"
  | "early"
  | "late"
  | "office"
  | "home"
  | "narrow"
  | "reader"
  | "legacy";

export interface Fixture {
  /** the whole keys, by name; the key's id is `key-<name>` */
  keys: Record<KeyName, string>;
  /** as in tollgate.yaml */
  file: FileInput;
  /** the same with its defaults */
  spec: EnvironmentSpec;
}

const upstream = { service: "echo.demo.svc.cluster.local", port: 8080 };

/** Everything but keys. */
const records: Omit<FileInput, "keys"> = {
  version: 1,
  environment,
  apis: [
    {
      id: "orders",
      hosts: [host],
      paths: ["/orders"],
      upstream,
      routes: [{ path: "/orders/search", methods: ["POST"], scopes: ["search"] }],
      cors: {
        allowOrigins: ["https://app.example.com"],
        allowMethods: ["GET", "POST"],
        exposeHeaders: ["x-total"],
        allowCredentials: true,
      },
    },
    { id: "partner", hosts: [host, "*.partner.example.com"], paths: ["/partner"], upstream },
    { id: "read-only", hosts: [host], paths: ["/read-only"], methods: ["GET"], upstream },
    { id: "staff", hosts: [host], paths: ["/staff"], scopes: ["staff"], upstream },
    { id: "public", hosts: [host], paths: ["/public"], upstream, auth: { mode: "none" } },
    { id: "private", hosts: [host], paths: ["/public/private"], upstream },
    { id: "jwt", hosts: [host], paths: ["/jwt"], upstream, auth: { mode: "jwt" } },
    { id: "grpc", hosts: [host], paths: ["/shop.Orders"], upstream },
  ],
  tiers: [
    { id: "gold", scopes: ["read", "search"] },
    { id: "silver", scopes: ["read"], apis: ["orders"] },
  ],
  consumers: [
    { id: "acme", tier: "gold", claims: { org: "acme", plan: "pro plus" } },
    { id: "solo", tier: "silver" },
    { id: "lost" },
    { id: "halted", tier: "gold", suspended: true },
  ],
};

const keyRecords: Record<KeyName, Omit<KeyInput, "id" | "sha256">> = {
  gold: { consumer: "acme" },
  silver: { consumer: "solo" },
  lost: { consumer: "lost" },
  halted: { consumer: "halted" },
  revoked: { consumer: "acme", state: "revoked" },
  suspended: { consumer: "acme", state: "suspended" },
  early: { consumer: "acme", notBefore: "2999-01-01T00:00:00Z" },
  late: { consumer: "acme", expiresAt: "2001-01-01T00:00:00Z" },
  office: { consumer: "acme", allowedCidrs: ["10.0.0.0/8", "2001:db8::/32"] },
  home: { consumer: "acme", allowedCidrs: ["127.0.0.0/8"] },
  narrow: { consumer: "acme", apis: ["partner"] },
  reader: { consumer: "acme", scopes: ["read"] },
  legacy: { consumer: "acme", tier: "silver" },
};

/** New keys in the same environment each time. */
export function makeFixture(): Fixture {
  const entries = (Object.keys(keyRecords) as KeyName[]).map((name): [KeyName, string] => [
    name,
    name === "legacy"
      ? `imported-${issueKey(environment, randomInt).key.slice(-20)}`
      : issueKey(environment, randomInt).key,
  ]);
  const keys = Object.fromEntries(entries) as Record<KeyName, string>;
  const file: FileInput = {
    ...records,
    keys: entries.map(([name, key]) => ({ id: `key-${name}`, sha256: digestHex(key), ...keyRecords[name] })),
  };
  return { keys, file, spec: fillEnvironment(file, environment) };
}

/** A well-formed key that the environment does not have. */
export function unknownKey(of = environment): string {
  return issueKey(of, randomInt).key;
}

/** A key whose checksum is off by its last character. */
export function withWrongChecksum(key: string): string {
  return key.slice(0, -1) + (key.endsWith("0") ? "1" : "0");
}
