import type { Key } from "../../domain/model.ts";
import { issueKey, newKeyId, type RandomInt, retire, successor } from "../../domain/keys.ts";
import { parseTime } from "../../domain/time.ts";
import { ControlError } from "../../errors.ts";
import type { ChangeContext, Store } from "../../store/store.ts";
import { changeIn } from "./environment.ts";
import { checkRecord, notFound } from "./putRecord.ts";

export interface Rotation {
  /** the whole new key: the only time that it exists outside its holder */
  key: string;
  record: Key;
  previous: Key;
  /** gateways refuse both keys until the consumer is resumed */
  consumerSuspended: boolean;
  version: number;
}

/**
 * Issues a successor to a key and retires the key after a grace, in one change. Throws 404 without the key, 409 when it is revoked, suspended,
 * expired or rotated: what is handed out must be usable.
 */
export async function rotateKey(
  store: Store,
  environment: string,
  id: string,
  options: { graceSeconds: number; successorId?: string | undefined },
  random: RandomInt,
  context: ChangeContext,
): Promise<Rotation> {
  const { version, result } = await changeIn(store, environment, context, async (writer) => {
    const old = (await writer.get("key", id))?.record;
    if (old === undefined) throw notFound("key", id);
    if (old.state === "revoked") throw new ControlError("key_revoked", `Key \`${id}\` is revoked.`);
    if (old.state === "suspended")
      throw new ControlError(
        "key_suspended",
        `Key \`${id}\` is suspended: gateways refuse it, and would refuse its successor.`,
      );
    if (old.rotatedTo !== undefined)
      throw new ControlError("key_rotated", `Key \`${id}\` was rotated to \`${old.rotatedTo}\`.`);
    if (old.expiresAt !== undefined && parseTime(old.expiresAt)! <= context.nowMs)
      throw new ControlError("key_expired", `Key \`${id}\` expired at ${old.expiresAt}.`);
    const { key, prefix, sha256 } = issueKey(environment, random);
    const record = successor(old, { id: options.successorId ?? newKeyId(random), prefix, sha256 });
    if ((await writer.get("key", record.id)) !== undefined)
      throw new ControlError("record_exists", `There is a key \`${record.id}\` already.`);
    await checkRecord(writer, "key", record);
    const previous = retire(old, record.id, options.graceSeconds, context.nowMs);
    await writer.put("key", record, "issue");
    await writer.put("key", previous, "rotate");
    const consumer = await writer.get("consumer", record.consumer);
    return { key, record, previous, consumerSuspended: consumer?.record.suspended === true };
  });
  return { ...result, version };
}
