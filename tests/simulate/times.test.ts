import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { strftimeReader, timeReader } from "../../tools/simulate/times.ts";

const at = Date.UTC(2026, 10, 1, 8, 9, 10, 123);

describe("times", () => {
  const cases: [text: string, ms: number][] = [
    ["2026-11-01T08:09:10.123Z", at],
    ["2026-11-01T08:09:10.123456789Z", at],
    ["2026-11-01T08:09:10Z", at - 123],
    ["2026-11-01 08:09:10,123", at],
    ["2026-11-01 08:09:10.123 UTC", at],
    ["2026-11-01T10:09:10.123+02:00", at],
    ["2026-11-01T03:39:10.123-0430", at],
    ["2026-11-01T08:09Z", at - 10_123],
    ["01/Nov/2026:08:09:10 +0000", at - 123],
    ["[01/Nov/2026:09:09:10 +0100]", at - 123],
    [String(Math.floor(at / 1000)), at - 123],
    [`${Math.floor(at / 1000)}.123`, at],
    [`${Math.floor(at / 1000)}.1234`, at],
    [String(at), at],
    [`${at}456`, at],
    [`${at}456789`, at],
    ["2024-02-29T00:00:00Z", Date.UTC(2024, 1, 29)],
    ["2016-12-31T23:59:60.000Z", Date.UTC(2016, 11, 31, 23, 59, 59)],
  ];
  for (const [text, ms] of cases) test(text, () => assert.equal(timeReader()(text), ms));

  for (const text of [
    "",
    "-",
    "now",
    "2026-13-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-11-01T24:00:00Z",
    "2026-11-01T08:60:00.000Z",
    "1/Foo/2026:00:00:00 +0000",
    "12:00",
    "1e9",
    "-5",
    "2026-11-01T08:09:1a.123Z",
  ]) {
    test(`${JSON.stringify(text)} is no time`, () => assert.ok(Number.isNaN(timeReader()(text))));
  }

  test("one after another are read as each alone, by Date", () => {
    const times = fc
      .date({ min: new Date(0), max: new Date("2100-01-01"), noInvalidDate: true })
      .map((date) => date.toISOString());
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            times,
            fc.constantFrom(
              "2026-11-01T08:09:10.123Z",
              "2026-11-01T08:09:59.999Z",
              "2026-11-01T08:10:00.000Z",
              "2026-11-01T08:09x",
            ),
          ),
          { maxLength: 20 },
        ),
        (texts) => {
          const read = timeReader();
          for (const text of texts) assert.equal(read(text), Date.parse(text));
        },
      ),
    );
  });
});

describe("what START_TIME prints in another format", () => {
  const cases: [format: string, text: string, ms: number][] = [
    ["%s", "1793520550", at - 123],
    ["%s.%3f", "1793520550.123", at],
    ["%s%3f", "1793520550123", at],
    ["%Y-%m-%dT%H:%M:%S.%3fZ", "2026-11-01T08:09:10.123Z", at],
    ["%Y/%m/%dT%H:%M:%S%z %s", "2026/11/01T08:09:10+0000 1793520550", at - 123],
    ["%Y/%m/%d %H:%M:%S.%9f", "2026/11/01 08:09:10.123999999", at],
    ["%d/%b/%Y:%H:%M:%S %z", "01/Nov/2026:10:09:10 +0200", at - 123],
    ["%F %T", "2026-11-01 08:09:10", at - 123],
    ["%D %I:%M %p", "11/01/26 08:09 AM", at - 10_123],
    ["%a, %e %B %Y %H:%M:%S %Z", "Sun,  1 November 2026 08:09:10 UTC", at - 123],
    ["%FT%H:%M:%E3S", "2026-11-01T08:09:10.123", at],
    ["%FT%H:%M:%E*SZ", "2026-11-01T08:09:10.123456Z", at],
    ["(%Y.%m.%d) [%H:%M:%S] %%", "(2026.11.01) [08:09:10] %", at - 123],
  ];
  for (const [format, text, ms] of cases) test(format, () => assert.equal(strftimeReader(format)(text), ms));

  test("what isn't of the format is no time", () => {
    const read = strftimeReader("%Y-%m-%d %H:%M:%S");
    for (const text of ["", "2026-11-01T08:09:10", "2026-11-01 08:09:10 ", "2026-11-31 08:09:10"])
      assert.ok(Number.isNaN(read(text)), text);
  });

  test("a format that can't be read back is named", () => {
    assert.throws(() => strftimeReader("%Y-%m-%d %H:%M:%S %Q"), /`%Q` in START_TIME/);
    assert.throws(() => strftimeReader("%H:%M:%S"), /doesn't tell date and time/);
  });
});
