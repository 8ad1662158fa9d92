/** Which counters a reset or a grant is for. */
import { ControlError } from "../errors.ts";
import { countsKey } from "../domain/subjects.ts";
import type { AppliedLimit } from "./applied.ts";
import type { Holder } from "./facts.ts";

export interface Choice {
  /** the limit's name; absent: all that count the holder */
  limit?: string;
  /** only where the limit applies to this API */
  api?: string;
  /** only the counter of this route, by methods and path; "": of no route of the API */
  route?: string;
}

export type OwnedHolder = Holder & {
  /** the consumer, or the key's */
  consumer: string;
};

export type Counting = AppliedLimit & Required<Pick<AppliedLimit, "counter">>;

/** All counters of the holder that the choice leaves. Throws limit_not_applicable when there is none. */
export function chooseAll(applied: readonly AppliedLimit[], holder: OwnedHolder, choice: Choice): Counting[] {
  const named = applied.filter(({ limit }) => choice.limit === undefined || limit.name === choice.limit);
  const there = named
    .filter(
      ({ apis, countsApi }) =>
        choice.api === undefined || ((countsApi ?? choice.api) === choice.api && apis.includes(choice.api)),
    )
    .filter(({ countsRoute }) => choice.route === undefined || (countsRoute ?? choice.route) === choice.route);
  const chosen = there.filter((one): one is Counting => one.counter !== undefined && countsHolder(one, holder));
  if (chosen.length > 0) return chosen;
  throw new ControlError("limit_not_applicable", whyNone(there, holder, choice, applied));
}

/** The one counter that the choice names: without a limit's name, that of the only quota, or else of the only rate. Throws limit_ambiguous too. */
export function chooseOne(applied: readonly AppliedLimit[], holder: OwnedHolder, choice: Choice): Counting {
  const all = chooseAll(applied, holder, choice);
  const quotas = all.filter(({ limit }) => limit.kind === "quota");
  const candidates = choice.limit === undefined && quotas.length > 0 ? quotas : all;
  if (candidates.length === 1) return candidates[0]!;
  throw new ControlError("limit_ambiguous", `Several limits match: ${candidates.map(describe).join(", ")}.`);
}

function countsHolder({ limit }: AppliedLimit, { kind }: Holder): boolean {
  return (kind === "key") === countsKey(limit.subject);
}

function whyNone(
  there: readonly AppliedLimit[],
  holder: OwnedHolder,
  { limit, api }: Choice,
  applied: readonly AppliedLimit[],
): string {
  const who = `${holder.kind} \`${holder.id}\``;
  const what = `${limit === undefined ? "a limit" : `\`${limit}\``}${api === undefined ? "" : ` at API \`${api}\``}`;
  const elsewhere = there.find((one) => one.counter !== undefined);
  if (elsewhere !== undefined && limit !== undefined) {
    return `${what} counts by ${elsewhere.limit.subject}: ask for it at /v1/consumers/${holder.consumer}/quota.`;
  }
  if (there.length > 0 && limit !== undefined)
    return `${what} is counted by each gateway for itself (enforcement: gateway): control has no counter of it.`;
  const names = [
    ...new Set(applied.filter((one) => one.counter !== undefined && countsHolder(one, holder)).map(describe)),
  ];
  return `No counter of ${what} counts ${who}${names.length === 0 ? "." : `; there are ${names.join(", ")}.`}`;
}

function describe({ limit, countsApi, countsRoute, owner, apis }: AppliedLimit): string {
  if (countsRoute !== undefined)
    return `\`${limit.name}\` (api ${countsApi}, ${countsRoute === "" ? "no route" : `route ${countsRoute}`})`;
  const where = countsApi ?? (owner.kind === "api" || owner.kind === "route" ? apis.join(", ") : undefined);
  return `\`${limit.name}\`${where === undefined ? "" : ` (api ${where})`}`;
}
