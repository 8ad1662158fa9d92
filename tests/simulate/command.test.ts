import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { gzipSync } from "node:zlib";
import { parse } from "yaml";
import { runCli } from "../../cli/program.ts";
import type { Report } from "../../tools/simulate/report.ts";
import { temporaryFolder } from "../kit/folders.ts";
import { Program } from "../kit/process.ts";
import { lines, startMs, writeIn } from "./support.ts";

const root = resolve(import.meta.dirname, "../..");
const folder = temporaryFolder();
const file = writeIn(
  folder,
  "tollgate.yaml",
  `version: 1
apis:
  - {id: echo, hosts: ["*"], paths: [/], upstream: {service: echo, port: 80}}
tiers:
  - {id: bronze, limits: [{name: minute, kind: rate, limit: 2, windowSeconds: 60}, {name: watch, kind: quota, limit: 1, period: day, mode: shadow}]}
consumers:
  - {id: acme, tier: bronze}
`,
);
const calls = [0, 1000, 2000, 61_000, 62_000].map((ms) => ({ ms, consumer: "acme", key: "k1" }));
const log = writeIn(folder, "access.log", lines(calls));

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function cli(args: string[], input = "", more: object = {}): Promise<Outcome> {
  const outcome = { code: 0, stdout: "", stderr: "" };
  outcome.code = await runCli(["simulate", ...args], {
    env: {},
    streams: { out: (text) => void (outcome.stdout += text), err: (text) => void (outcome.stderr += text) },
    readInput: async () => input,
    ...more,
  });
  return outcome;
}

describe("tollgate simulate", () => {
  test("prints who would be limited, when and by what", async () => {
    const { code, stdout, stderr } = await cli([log, "-f", file]);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(
      stdout,
      /^.*access\.log: 5 lines, JSON\n2026-11-02T00:00:00Z to 2026-11-02T00:01:02Z, environment default\n/,
    );
    assert.match(stdout, /^requests +5 {2}of 1 caller$/m);
    assert.match(stdout, /^would be limited +1 {2}20\.0 %, 1 caller$/m);
    assert.match(stdout, /^shadow limits would limit +3 /m);
    assert.match(
      stdout,
      /^tier bronze: minute +2 per 60 s +key +1 +1 of 1 +2026-11-02T00:00:02Z +3 +3 +2026-11-02T00:00:00Z 3, k1 \(acme\)$/m,
    );
    assert.match(
      stdout,
      /^k1 \(acme\) +tier bronze: watch \(shadow\) +4 +1 +2026-11-02T00:00:01Z +2026-11-02T00:01:02Z +2026-11-02T00:00:00Z 5 of 1$/m,
    );
    assert.match(stdout, /^EACH 10 s|^EACH 1 s|^EACH 5 s/m);
  });

  test("--json has it all, --limit one limit of it, --top the worst callers", async () => {
    const report = JSON.parse((await cli([log, "-f", file, "--json"])).stdout) as Report;
    assert.deepEqual(report.requests, {
      decided: 5,
      admitted: 4,
      limited: 1,
      shadowed: 3,
      unlimited: 0,
      preflights: 0,
      refused: {},
      refusedThen: {},
      limitedThen: 0,
    });
    assert.deepEqual(
      report.limits.map(({ name, refused, enough }) => [name, refused, enough.all]),
      [
        ["minute", 1, 3],
        ["watch", 4, 5],
      ],
    );
    assert.deepEqual(
      report.limitedCallers.map(({ name, key, refused, windows }) => [name, key, refused, windows]),
      [
        ["watch", "k1", 4, 1],
        ["minute", "k1", 1, 1],
      ],
    );
    const one = JSON.parse((await cli([log, "-f", file, "--json", "--limit", "minute"])).stdout) as Report;
    assert.deepEqual(
      one.limits.map(({ name }) => name),
      ["minute"],
    );
    const top = JSON.parse((await cli([log, "-f", file, "--json", "--top", "1", "--interval", "1m"])).stdout) as Report;
    assert.deepEqual([top.limitedCallers.length, top.limitedCallersTotal], [1, 2]);
    assert.deepEqual(top.timeline, {
      seconds: 60,
      slots: [
        { at: "2026-11-02T00:00:00Z", requests: 3, limited: 1, shadowed: 1 },
        { at: "2026-11-02T00:01:00Z", requests: 2, limited: 0, shadowed: 2 },
      ],
    });
  });

  test("--csv has a line for each caller and limit, which no spreadsheet takes for a formula", async () => {
    const odd = lines([...calls, ...[0, 1, 2].map((ms) => ({ ms, consumer: '=cmd|"x"', tier: "bronze" }))]);
    const { stdout } = await cli(["-", "-f", file, "--csv", "--limit", "minute"], odd);
    const [header, ...rows] = stdout.trimEnd().split("\r\n");
    assert.equal(
      header,
      "limit,owner,mode,amount,per,subject,key,consumer,tier,api,address,gateway,limited,byPace,windows,firstAt,lastAt,worstWindowStartAt,worstWindowEndAt,worstWindowDemand",
    );
    assert.deepEqual(rows.sort(), [
      `minute,tier bronze,enforce,2,60 s,key,,"'=cmd|""x""",bronze,,,,1,0,1,2026-11-02T00:00:00.002Z,2026-11-02T00:00:00.002Z,2026-11-02T00:00:00Z,2026-11-02T00:01:00Z,3`,
      "minute,tier bronze,enforce,2,60 s,key,k1,acme,bronze,,,,1,0,1,2026-11-02T00:00:02Z,2026-11-02T00:00:02Z,2026-11-02T00:00:00Z,2026-11-02T00:01:00Z,3",
    ]);
  });

  test("--fail-if-limited ends with 1 when something would be limited, shadows aside", async () => {
    assert.equal((await cli([log, "-f", file])).code, 0);
    assert.equal((await cli([log, "-f", file, "--fail-if-limited"])).code, 1);
    assert.equal((await cli([log, "-f", file, "--fail-if-limited", "--limit", "watch"])).code, 0);
    assert.equal((await cli([log, "-f", file, "--fail-if-limited", "--from", "2026-11-02T00:01:00Z"])).code, 0);
  });

  test("several logs are one, gzip is unpacked, - is standard input", async () => {
    const packed = writeIn(folder, "packed.log.gz", gzipSync(lines(calls.slice(0, 2))));
    const { stdout } = await cli([packed, "-", "-f", file, "--json"], lines(calls.slice(2)));
    const report = JSON.parse(stdout) as Report;
    assert.deepEqual(
      report.logs.map(({ name, lines: count }) => [name, count]),
      [
        [packed, 2],
        ["standard input", 3],
      ],
    );
    assert.equal(report.requests.limited, 1);
  });

  test("logs of other formats: a format string, named columns", async () => {
    const format = "%START_TIME(%s)% %REQ(:METHOD)% %REQ(:PATH)% <%REQ(X-APP)%>";
    const text = calls.map(({ ms }) => `${(startMs + ms) / 1000} GET /x <acme>\n`).join("");
    const report = JSON.parse(
      (await cli(["-", "-f", file, "--json", "--format", format, "--consumer-field", "x-app"], text)).stdout,
    ) as Report;
    assert.deepEqual([report.requests.limited, report.logs[0]!.format], [1, "text by --format"]);
    const csv = `when,what,who\n${calls.map(({ ms }) => `${startMs + ms},GET /x HTTP/1.1,acme\n`).join("")}`;
    const columns = JSON.parse(
      (await cli(["-", "-f", file, "--json", "--columns", "time=when,request=what,consumer=who"], csv)).stdout,
    ) as Report;
    assert.deepEqual([columns.requests.limited, columns.logs[0]!.format], [1, "CSV"]);
  });

  test("bad lines are counted, the first are shown with their number and without keys", async () => {
    const bad = [
      "",
      "noise",
      '{"time":"never","path":"/"}',
      '{"path":"/"}',
      "{broken tg_default_abcdefghijklmnopqrstuvwxyz_123456",
      "e",
      "f",
      "g",
    ];
    const { code, stdout } = await cli(["-", "-f", file], `${lines(calls)}${bad.join("\n")}\n`);
    assert.equal(code, 0);
    assert.match(stdout, /standard input: 7 lines not understood, the first:\n/);
    assert.match(stdout, /^ {2}standard input:7: not JSON: noise$/m);
    assert.match(stdout, /^ {2}standard input:8: `never` is no time: /m);
    assert.match(stdout, /^ {2}standard input:9: no time: /m);
    assert.doesNotMatch(stdout, /abcdefghijklmnop/);
    assert.doesNotMatch(stdout, /:13:/);
    assert.match(stdout, /^requests +5 /m);
  });

  /** Options, and a log of which nothing is understood. */
  const unread: [name: string, args: string[], text: string][] = [
    ["of no known format", [], "noise\nmore noise\n"],
    ["not JSON", ["--input", "json"], "noise\n"],
    ["JSON without a time", ["--input", "json"], '{"a":1}\n\n{"a":2}\n'],
    ["JSON without a path", ["--input", "json"], '{"time":"2026-11-02T00:00:00Z","level":"info"}\n'],
    ["JSON without a path, found by itself", [], '{"time":"2026-11-02T00:00:00Z","level":"info"}\n'],
    ["not Envoy's text", ["--input", "envoy"], "noise\n"],
    ["not Istio's text", ["--input", "istio"], "noise\n"],
    ["not of the format string", ["--format", "%START_TIME% %REQ(:PATH)%"], "noise\n"],
    ["CSV whose header names nothing", ["--input", "csv"], "a,b,c\n1,2,3\n4,5,6\n"],
    ["CSV that is only such a header", ["--input", "csv"], "a,b,c\n"],
    ["CSV with no time in its column", ["--input", "csv"], "time,path\nyesterday,/a\n"],
    ["CSV with too few cells", ["--input", "csv"], "time,path\n2026-11-02T00:00:00Z\n"],
  ];
  for (const [name, args, text] of unread) {
    test(`a log of which nothing is understood is refused: ${name}`, async () => {
      for (const more of [[], ["--fail-if-limited"], ["--json"], ["--csv"]]) {
        const { code, stdout, stderr } = await cli(["-", "-f", file, ...args, ...more], text);
        assert.deepEqual([code, stdout], [1, ""], more.join());
        assert.match(stderr, /^standard input\b.* has no line that tells of a request\./);
        assert.match(
          stderr,
          /standard input:[12]: |1 lines with a time, but without a path/,
          "the first bad line and why",
        );
        assert.match(stderr, /--columns/);
      }
    });
  }

  test("one log of two of which nothing is understood is refused, too", async () => {
    const { code, stderr } = await cli([log, "-", "-f", file], "noise\n");
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^standard input has no line that tells of a request\.\nstandard input:1: of no format that is known/,
    );
  });

  test("--show-bad says how many bad lines are shown", async () => {
    const text = `${lines(calls)}${"noise\n".repeat(9)}`;
    const shown = async (count: string, ...more: string[]) => {
      const { code, stdout, stderr } = await cli(["-", "-f", file, "--show-bad", count, ...more], text);
      assert.equal(code, 0);
      return [...`${stdout}${stderr}`.matchAll(/standard input:\d+: not JSON: noise/g)].length;
    };
    assert.deepEqual([await shown("0"), await shown("2"), await shown("100")], [0, 2, 9]);
    assert.equal(await shown("3", "--csv"), 3, "on standard error beside CSV");
  });

  test("an empty log is no mistake", async () => {
    const { code, stdout } = await cli(["-", "-f", file], "");
    assert.equal(code, 0);
    assert.match(stdout, /^requests +0/m);
  });

  test("lines outside --from and --until are left out", async () => {
    const { stdout } = await cli([
      log,
      "-f",
      file,
      "--from",
      "2026-11-02T00:00:01Z",
      "--until",
      "2026-11-02T00:01:01Z",
    ]);
    assert.match(stdout, /5 lines, JSON, 3 outside the time asked for/);
    assert.match(stdout, /^requests +2 /m);
  });

  test("says what is wrong with the command line", async () => {
    const wrong: [args: string[], text: RegExp, code?: number][] = [
      [[], /missing required argument 'logs'/],
      [[log, "-f", file, "--tier", "brnze"], /has no tier `brnze`; it has bronze\./],
      [[log, "-f", file, "--limit", "hour"], /has no limit `hour`; it has minute, watch\./],
      [["-", "-", "-f", file], /Standard input can be read once/],
      [["-", "-f", "-"], /Standard input can be read once/],
      [[log, "-f", file, "--columns", "tim=x"], /Give pairs such as time=ts,path=url/],
      [[log, "-f", file, "--input", "json", "--format", "%START_TIME%"], /Give --input or --format, not both/],
      [[log, "-f", file, "--csv", "--json"], /Give --csv or --json, not both/],
      [[log, "-f", file, "--input", "xml"], /Allowed choices are auto, json, envoy, istio, csv/],
      [[log, "-f", file, "--format", "%REQ(:PATH)%"], /The log can't be read: the format holds no time/, 1],
      [[join(folder, "absent.log"), "-f", file], /absent\.log can't be read: there is no such file/, 1],
      [[folder, "-f", file], /can't be read: it is a folder/, 1],
      [[log, "-f", join(folder, "absent.yaml")], /absent\.yaml can't be read/, 1],
    ];
    for (const [args, text, code = 2] of wrong) {
      const outcome = await cli(args);
      assert.match(outcome.stderr, text);
      assert.equal(outcome.code, code, args.join(" "));
    }
  });

  test("shows its progress on a terminal alone, and takes it away", async () => {
    const { stderr } = await cli([log, "-f", file], "", { terminal: true });
    assert.match(stderr, /^\r\u001b\[K100 %, \d requests, [\d,]+\/s, at 2026-11-02T00:0\d:02Z, 1 limited\r\u001b\[K$/);
  });
});

test("the program reads a pipe as it comes, and the file's environment", async () => {
  const program = new Program(
    process.execPath,
    ["--import", "tsx", join(root, "cli/main.ts"), "simulate", "-", "-f", file, "--json"],
    { cwd: root, stdin: "pipe" },
  );
  for (const call of calls) program.child.stdin!.write(lines([call]));
  program.child.stdin!.end();
  const code = await program.ended;
  assert.deepEqual([code, program.stderr], [0, ""]);
  assert.equal((JSON.parse(program.stdout) as Report).requests.limited, 1);
});

test("the example of docs/guides/simulate.md is what the command prints", async () => {
  const page = readFileSync(join(root, "docs/guides/simulate.md"), "utf8");
  const block = (kind: string) => new RegExp(`\`\`\`${kind}\n([^]*?)\`\`\``).exec(page)![1]!;
  const example = writeIn(folder, "example.yaml", block("yaml"));
  assert.ok((parse(block("yaml")) as { version: number }).version === 1);
  const { stdout } = await cli(["-", "-f", example, "--input", "json"], block("json"));
  assert.equal(stdout.replace("standard input", "access.log"), block("text"));
});
