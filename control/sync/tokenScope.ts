/** Whose internal token a gateway may get: that of a caller who can call one of the APIs that its token's group sees. */
import { type Api, takesKeys, takesTokens } from "../domain/model.ts";
import type { Caller, CallerAsk } from "../internalTokens/store.ts";

/** `apis`: those that are visible. */
export function canCall(apis: readonly Api[], kind: CallerAsk["kind"], { key, consumer, tier }: Caller): boolean {
  const reachable = apis.filter(({ id }) =>
    [tier.apis, key?.apis].every((ids) => ids === undefined || ids.includes(id)),
  );
  if (kind === "key") return reachable.some(({ auth }) => takesKeys(auth.mode));
  const ownTier = consumer.tier === undefined || consumer.tier === tier.id;
  if (kind === "peer")
    return ownTier && (consumer.identities ?? []).length > 0 && reachable.some(({ auth }) => auth.mode === "mtls");
  return reachable.some(({ auth }) => takesTokens(auth.mode) && (ownTier || auth.jwt?.tierClaim !== undefined));
}
