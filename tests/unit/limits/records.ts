/** LIMIT records for the tests. */
import {
  KIND_RATE,
  LIMIT,
  OWNER_API,
  OWNER_KEY,
  OWNER_ROUTE,
  OWNER_TIER,
  PERIOD_NONE,
  SUBJECT_KEY,
} from "../../../assembly/wire/enums";
import { Payload, Writer, digestOf } from "../core/wire";

/** A limit of 10 a minute for each key of tier 1, unless told otherwise. */
export class LimitSpec {
  ownerKind: u32 = OWNER_TIER;
  kind: u32 = KIND_RATE;
  subject: u32 = SUBJECT_KEY;
  flags: u32 = 0;
  owner: u32 = 1;
  route: u32 = 0xffffffff;
  limit: u64 = 10;
  windowSeconds: u32 = 60;
  period: u32 = PERIOD_NONE;
  perSecond: u32 = 0;
  burst: u32 = 0;
  key: u32 = 0;

  constructor(
    public wireId: u32,
    public name: string,
  ) {}

  of(ownerKind: u32, owner: u32, route: u32 = 0xffffffff): LimitSpec {
    this.ownerKind = ownerKind;
    this.owner = owner;
    this.route = route;
    return this;
  }

  ofTier(tier: u32): LimitSpec {
    return this.of(OWNER_TIER, tier);
  }
  ofApi(api: u32): LimitSpec {
    return this.of(OWNER_API, api);
  }
  ofRoute(api: u32, route: u32): LimitSpec {
    return this.of(OWNER_ROUTE, api, route);
  }

  ofKey(n: u32): LimitSpec {
    this.key = n;
    return this.of(OWNER_KEY, 0);
  }

  every(seconds: u32): LimitSpec {
    this.windowSeconds = seconds;
    return this;
  }
  each(period: u32): LimitSpec {
    this.period = period;
    this.windowSeconds = 0;
    return this;
  }
  counting(subject: u32): LimitSpec {
    this.subject = subject;
    return this;
  }
  flagged(flags: u32): LimitSpec {
    this.flags = flags;
    return this;
  }
  amount(limit: u64): LimitSpec {
    this.limit = limit;
    return this;
  }

  body(): Writer {
    const w = new Writer();
    w.u32(this.wireId)
      .u8(this.ownerKind)
      .u8(this.kind)
      .u8(this.subject)
      .u8(this.flags)
      .u32(this.owner)
      .u32(this.route)
      .u64(this.limit);
    w.u32(this.windowSeconds).u8(this.period).u8(this.name.length).u16(0).u32(this.perSecond).u32(this.burst);
    if (this.key == 0) w.u64(0).u64(0);
    else w.raw(digestOf(this.key), 16);
    return w.chars(this.name);
  }

  /** The record's body, as it lies in a page. */
  at(): usize {
    return this.body().start;
  }
}

/** Appends the limit's record. */
export function putLimit(payload: Payload, limit: LimitSpec): void {
  payload.record(LIMIT, limit.body());
}
