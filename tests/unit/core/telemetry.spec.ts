import { NOT_READY, REASONS, UNKNOWN_KEY, reasonCode } from "../../../assembly/wire/reasons";
import {
  ADMITTED,
  GAUGE_AGE,
  GAUGE_KEYS,
  GAUGE_VERSION,
  HELD,
  KEYLESS,
  Meter,
  PASSED,
  PREFLIGHT,
  SYNC_FAILED,
  SYNC_OK,
  UNCHECKED,
  error,
  info,
  say,
  warn,
} from "../../../assembly/telemetry";
import { ascii } from "../../../assembly/lib/text";
import { refuse, startHost, takeCalls } from "./host";

describe("a meter", () => {
  beforeEach(startHost);

  it("says nothing until it's flushed, and then each sum once", () => {
    const meter = new Meter(ascii("default"));
    meter.count(ADMITTED);
    meter.count(ADMITTED);
    meter.refused(UNKNOWN_KEY);
    meter.observed(NOT_READY, 1);
    expect(takeCalls()).toBe("");
    meter.flush();
    expect(takeCalls()).toBe(
      "counter tollgate.default.admitted +2\ncounter tollgate.default.refused.unknown_key +1\ncounter tollgate.default.observed.not_ready +1",
    );
    meter.flush();
    expect(takeCalls()).toBe("");
    meter.count(ADMITTED);
    meter.flush();
    expect(takeCalls()).toBe("counter tollgate.default.admitted +1");
  });

  it("has a counter of its own for everything", () => {
    const meter = new Meter(ascii("e"));
    const plain: StaticArray<u32> = [ADMITTED, KEYLESS, PASSED, PREFLIGHT, HELD, UNCHECKED, SYNC_OK, SYNC_FAILED];
    const names: StaticArray<string> = [
      "admitted",
      "keyless",
      "passed",
      "preflight",
      "held",
      "unchecked",
      "sync_ok",
      "sync_failed",
    ];
    for (let i = 0; i < plain.length; i++) {
      meter.count(plain[i]);
      meter.flush();
      expect(takeCalls()).toBe(`counter tollgate.e.${names[i]} +1`);
    }
    for (let reason: u32 = 0; reason < REASONS; reason++) {
      meter.refused(reason);
      meter.flush();
      expect(takeCalls()).toBe(`counter tollgate.e.refused.${reasonCode(reason)} +1`);
      meter.observed(reason, 1);
      meter.flush();
      expect(takeCalls()).toBe(`counter tollgate.e.observed.${reasonCode(reason)} +1`);
    }
  });

  it("of an empty configuration has no environment in its names", () => {
    const meter = new Meter(ascii(""));
    meter.count(ADMITTED);
    meter.flush();
    expect(takeCalls()).toBe("counter tollgate.admitted +1");
  });

  it("shows gauges at once", () => {
    const meter = new Meter(ascii("default"));
    meter.gauge(GAUGE_VERSION, u64.MAX_VALUE);
    meter.gauge(GAUGE_AGE, 3);
    meter.gauge(GAUGE_KEYS, 0);
    expect(takeCalls()).toBe(
      "gauge tollgate.default.snapshot_version = 18446744073709551615\ngauge tollgate.default.snapshot_age_seconds = 3\ngauge tollgate.default.keys = 0",
    );
  });

  it("works on when the host defines no metrics", () => {
    refuse("metrics");
    const meter = new Meter(ascii("default"));
    meter.count(ADMITTED);
    meter.flush();
    meter.gauge(GAUGE_KEYS, 1);
    expect(takeCalls()).toBe("unknown +1\nunknown = 1");
  });
});

describe("log lines", () => {
  beforeEach(startHost);

  it("say who speaks, at their level", () => {
    info(say("in sync, version ").num(42));
    warn(say("failed"));
    error(say("refused: ").add("why"));
    expect(takeCalls()).toBe(
      "log 2 tollgate: in sync, version 42\nlog 3 tollgate: failed\nlog 4 tollgate: refused: why",
    );
  });

  it("are cut off at 1 KiB", () => {
    info(say("x".repeat(5000)));
    expect(takeCalls().length).toBe(6 + 1024);
  });
});
