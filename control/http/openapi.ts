import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";

/** What each tag's operations manage. An operation has exactly one tag. */
export const tags = {
  apis: "APIs, their routes and their limits",
  tiers: "Tiers: sets of limits and scopes",
  consumers: "Consumers and their quotas",
  keys: "API keys and their quotas",
  environments: "Environments",
  "gateway-tokens": "Tokens that gateways send to the control plane",
  "admin-tokens": "Tokens for this API",
  "signing-keys": "Keys that sign internal tokens",
  audit: "The audit log",
  gateways: "Connected gateways",
  usage: "Usage reports",
  files: "Configuration files (`tollgate.yaml`)",
  operations: "Health checks and metrics, without authentication",
} as const;

export const openApiDocument: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: "3.1.0",
    info: {
      title: "Tollgate admin API",
      version: "1",
      description:
        "Manage API keys, consumers, tiers and APIs of Tollgate. Errors are `application/problem+json` documents (RFC 9457) with a stable `code`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    components: {
      securitySchemes: {
        adminToken: {
          type: "http",
          scheme: "bearer",
          description: "Send an admin token as `Authorization: Bearer <admin token>`.",
        },
      },
    },
    security: [{ adminToken: [] }],
  },
  refResolver: {
    buildLocalReference: (json, _baseUri, _fragment, index) =>
      typeof json["$id"] === "string" ? json["$id"] : `def-${index}`,
  },
};
