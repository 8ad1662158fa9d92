import { Type } from "@sinclair/typebox";
import { timeText } from "../../../domain/time.ts";
import { ControlError } from "../../../errors.ts";
import { endsAtMs, published, signer } from "../../../internalTokens/schedule.ts";
import { rotateSigningKeys } from "../../../internalTokens/signingKeys.ts";
import type { SigningKey } from "../../../internalTokens/store.ts";
import { changeContext } from "../../auth.ts";
import type { Services } from "../../context.ts";
import { answers, EnvironmentQuery } from "../../schemas.ts";
import type { App } from "../../typeProvider.ts";

const tags = ["signing-keys"];
/** Longer than istiod, and Envoy's jwt_authn by itself, keep a key set before they fetch it anew. */
const publishStandardSeconds = 1800;

const KeyAnswer = Type.Object({
  kid: Type.String(),
  state: Type.Unsafe<string>({
    type: "string",
    enum: ["coming", "signing", "verifying"],
    description:
      "coming: published, doesn't sign yet. signing: signs new tokens. verifying: no longer signs, still verifies.",
  }),
  createdAt: Type.String(),
  signsFrom: Type.String(),
  endsAt: Type.Union([Type.String(), Type.Null()], {
    description: "When the key is no longer published. null: not known before the next rotation.",
  }),
});
const Answer = Type.Object({ items: Type.Array(KeyAnswer) });

const Body = Type.Object(
  {
    publishSeconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        default: publishStandardSeconds,
        description:
          "How long the new key is published before it signs, 0 to 604800 seconds. Choose more than services cache a key set. Default: 1800.",
      }),
    ),
    withdraw: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          "true: stop publishing all other keys and sign with the new key immediately. Use it when a key has leaked: services then reject tokens that it signed.",
      }),
    ),
  },
  { additionalProperties: false },
);

/** /v1/signing-keys: the keys that sign internal tokens. */
export function signingKeyRoutes(app: App, services: Services): void {
  const { store } = services;

  app.get("/signing-keys", {
    schema: {
      operationId: "listSigningKeys",
      tags,
      summary: "List signing keys",
      description: "Returns the keys that sign internal tokens, without their private parts.",
      querystring: EnvironmentQuery,
      response: answers({ 200: Answer }, 404),
    },
    handler: async (request) => {
      const { environment = "default" } = request.query;
      const identity = await store.identity(environment);
      if (identity === undefined) throw missing(environment);
      return shown(identity.keys, services.nowMs());
    },
  });

  app.post("/signing-keys/rotate", {
    schema: {
      operationId: "rotateSigningKeys",
      tags,
      summary: "Rotate the signing keys",
      description:
        "Adds a key that signs internal tokens after it has been published for `publishSeconds`. The previous key verifies until all of its tokens have expired.",
      querystring: EnvironmentQuery,
      body: Body,
      response: answers({ 200: Answer }, 404, 409, 413, 415),
    },
    preValidation: async (request) => {
      request.body ??= {};
    },
    handler: async (request) => {
      const { environment = "default" } = request.query;
      const { publishSeconds = publishStandardSeconds, withdraw = false } = request.body;
      const context = changeContext(request, services);
      const rotated = await rotateSigningKeys(
        store,
        environment,
        { publishMs: publishSeconds * 1000, withdraw },
        context,
      );
      if (rotated === undefined) throw missing(environment);
      if (rotated.pending !== undefined) {
        throw new ControlError(
          "token_key_pending",
          `The key \`${rotated.pending.kid}\` is published and signs from ${timeText(rotated.pending.signsFromMs)}.`,
        );
      }
      return shown(rotated.keys, context.nowMs);
    },
  });
}

function missing(environment: string): ControlError {
  return new ControlError("environment_not_found", `There is no environment \`${environment}\`.`);
}

function shown(keys: readonly SigningKey[], nowMs: number): { items: object[] } {
  const signing = signer(keys, nowMs);
  const items = published(keys, nowMs).map((key) => {
    const endMs = endsAtMs(key, keys);
    const state = key.kid === signing?.kid ? "signing" : key.signsFromMs > nowMs ? "coming" : "verifying";
    return {
      kid: key.kid,
      state,
      createdAt: timeText(key.createdAtMs),
      signsFrom: timeText(key.signsFromMs),
      endsAt: endMs === undefined ? null : timeText(endMs),
    };
  });
  return { items };
}
