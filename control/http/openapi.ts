import type { FastifyDynamicSwaggerOptions } from "@fastify/swagger";

export const openApiDocument: FastifyDynamicSwaggerOptions = {
  openapi: {
    openapi: "3.1.0",
    info: {
      title: "Tollgate admin API",
      version: "1",
      description: "Keys, consumers, tiers and APIs of Tollgate. Errors are problem+json (RFC 9457) with a stable `code`.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    components: { securitySchemes: { adminToken: { type: "http", scheme: "bearer", description: "An admin token." } } },
    security: [{ adminToken: [] }],
  },
  refResolver: { buildLocalReference: (json, _baseUri, _fragment, index) => (typeof json["$id"] === "string" ? json["$id"] : `def-${index}`) },
};
