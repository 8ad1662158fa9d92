/** The pure rules. */
import assert from "node:assert/strict";
import { reasons } from "../../protocol/reasons.ts";
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { applicableLimits } from "../../control/domain/applicableLimits.ts";
import { cidrText, parseCidr } from "../../control/domain/cidr.ts";
import { crc32 } from "../../control/domain/crc32.ts";
import { fillApi, fillKey, fillLimit } from "../../control/domain/defaults.ts";
import { type Change, diff, type Kind, kinds } from "../../control/domain/diff.ts";
import { exportChunks, exportYaml } from "../../control/domain/exportYaml.ts";
import { hostFault, originFault, pathFault, pathWithin } from "../../control/domain/hostsAndPaths.ts";
import {
  digestHex,
  issueKey,
  issueToken,
  newKeyId,
  retire,
  successor,
  visiblePrefix,
  wellFormedKey,
} from "../../control/domain/keys.ts";
import { limitChanges, limitText } from "../../control/domain/limitWords.ts";
import type { EnvironmentSpec, Key, Limit, Tier } from "../../control/domain/model.ts";
import { nearest } from "../../control/domain/nearest.ts";
import { parsePeriod } from "../../control/domain/period.ts";
import { problemLine } from "../../control/domain/problem.ts";
import { publishedSchema, schemaFile } from "../../control/domain/publishSchema.ts";
import { parseTime, timeText } from "../../control/domain/time.ts";
import { loadFile } from "../../control/domain/yamlFile.ts";

const key = (more: Partial<Key> = {}): Key => ({
  id: "k",
  consumer: "acme",
  sha256: digestHex("k"),
  state: "active",
  allowedCidrs: [],
  limits: [],
  ...more,
});

describe("keys", () => {
  it("have the form, the checksum and the digest that gateways check", () => {
    let next = 0;
    const { key: text, prefix, sha256 } = issueKey("default", (limit) => next++ % limit);
    assert.equal(text.slice(0, 37), "tg_default_0123456789ABCDEFGHIJKLMNOP");
    assert.equal(prefix, "tg_default_0123");
    assert.equal(sha256, digestHex(text));
    assert.ok(wellFormedKey(text));
    assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926, "the check value of CRC-32");
  });

  it("any mistake of copying is noticed", () => {
    const { key: text } = issueKey("prod-1", randomInt);
    fc.assert(
      fc.property(
        fc.nat(text.length - 1),
        fc.constantFrom(..."0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"),
        (at, character) => {
          const changed = text.slice(0, at) + character + text.slice(at + 1);
          assert.equal(wellFormedKey(changed), changed === text);
        },
      ),
    );
    assert.equal(wellFormedKey(`${text}x`), false);
  });

  it("a checksum of leading zeros keeps its six digits", () => {
    for (let tries = 0, seen = false; !seen; tries++) {
      const { key: text } = issueKey("e", randomInt);
      seen = text.at(-6) === "0";
      assert.ok(wellFormedKey(text));
      assert.ok(tries < 1000);
    }
  });

  it("randomness is asked for each character, within its alphabet", () => {
    const asked: number[] = [];
    const record = (limit: number) => {
      asked.push(limit);
      return limit - 1;
    };
    assert.match(issueKey("e", record).key, /^tg_e_z{26}_/);
    assert.equal(newKeyId(record), "k_zzzzzzzzzz");
    assert.match(issueToken("admin", record).token, /^tga_z{43}$/);
    assert.match(issueToken("gateway", record).token, /^tgg_z{43}$/);
    assert.deepEqual(new Set(asked), new Set([62, 36]));
  });

  it("only our own show their start", () => {
    const { key: text, prefix } = issueKey("default", randomInt);
    assert.equal(visiblePrefix(text), prefix);
    assert.equal(visiblePrefix("sk_live_abcdefgh"), undefined);
    assert.equal(visiblePrefix(`${text.slice(0, -1)}!`), undefined);
  });

  it("a rotation ends the old key at the grace's end, never past its own", () => {
    const now = Date.UTC(2026, 0, 1);
    assert.equal(retire(key(), "next", 60, now).expiresAt, "2026-01-01T00:01:00Z");
    assert.equal(retire(key({ expiresAt: "2026-01-01T00:00:30Z" }), "next", 60, now).expiresAt, "2026-01-01T00:00:30Z");
    assert.equal(retire(key({ expiresAt: "2026-01-01T00:02:00Z" }), "next", 60, now).expiresAt, "2026-01-01T00:01:00Z");
    assert.deepEqual(
      [retire(key(), "next", 0, now).state, retire(key(), "next", 0, now).expiresAt],
      ["revoked", undefined],
    );
    assert.equal(
      successor(key({ state: "suspended" }), { id: "n", sha256: digestHex("n"), prefix: "p" }).state,
      "suspended",
      "rotating is no way out of a suspension",
    );
  });
});

describe("networks, times, periods", () => {
  it("networks have one spelling", () => {
    for (const [text, spelling] of [
      ["10.1.2.3/8", "10.0.0.0/8"],
      ["192.168.1.1", "192.168.1.1/32"],
      ["0.0.0.0/0", "0.0.0.0/0"],
      ["2001:DB8:0:0:1::/64", "2001:db8::/64"],
      ["2001:db8::1:0:0:1", "2001:db8::1:0:0:1/128"],
      ["::", "::/128"],
      ["::1/128", "::1/128"],
      ["::/0", "::/0"],
      ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8/128"],
      ["1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8/128"],
      ["::ffff:10.1.2.3", "10.1.2.3/32"],
      ["::ffff:10.0.0.0/104", "10.0.0.0/8"],
      ["64:ff9b::1.2.3.4/96", "64:ff9b::/96"],
    ] as const) {
      assert.equal(cidrText(parseCidr(text)!), spelling, text);
    }
  });

  it("what is no network is none", () => {
    for (const text of [
      "",
      "10.0.0.0/33",
      "10.0.0/8",
      "10.0.0.0/",
      "10.0.0.0/08",
      "10.0.0.0/-1",
      "::/129",
      "fe80::1%eth0",
      "host",
      "10.0.0.0/8/8",
      "1.2.3.4.5",
      ":::/0",
      "256.0.0.0/8",
    ])
      assert.equal(parseCidr(text), undefined, text);
  });

  it("every network reads back from its spelling", () => {
    fc.assert(
      fc.property(fc.oneof(fc.ipV4(), fc.ipV6()), fc.nat(128), (address, bits) => {
        const cidr = parseCidr(`${address}/${bits}`);
        if (cidr !== undefined) assert.deepEqual(parseCidr(cidrText(cidr)), cidr);
        else assert.ok(bits > 32 && !address.includes(":"));
      }),
    );
  });

  it("times are RFC 3339", () => {
    assert.equal(parseTime("2027-01-01T00:00:00Z"), Date.UTC(2027, 0, 1));
    assert.equal(parseTime("2027-01-01t01:00:00.5+01:00"), Date.UTC(2027, 0, 1) + 500);
    assert.equal(parseTime("2024-02-29T00:00:00Z"), Date.UTC(2024, 1, 29));
    for (const text of [
      "2027-01-01",
      "2027-01-01T00:00:00",
      "2027-02-29T00:00:00Z",
      "2027-13-01T00:00:00Z",
      "2027-01-01T24:00:00Z",
      "2027-01-01T00:00:60Z",
      "2027-01-01 00:00:00Z",
      "1969-12-31T00:00:00Z",
      "2027-01-01T00:00:00+25:00",
      "tomorrow",
    ]) {
      assert.equal(parseTime(text), undefined, text);
    }
    fc.assert(fc.property(fc.nat(4_102_444_800_000), (ms) => assert.equal(parseTime(timeText(ms)), ms)));
  });

  it("periods are named, or lengths", () => {
    assert.deepEqual(parsePeriod("month"), { named: "month" });
    assert.deepEqual(parsePeriod("30d"), { seconds: 2_592_000 });
    assert.deepEqual(parsePeriod("12h"), { seconds: 43_200 });
    for (const text of ["", "year", "0d", "367d", "1m", "1.5d", "d", "-1d"])
      assert.equal(parsePeriod(text), undefined, text);
  });
});

describe("hosts, paths, origins", () => {
  it("hosts", () => {
    for (const host of [
      "*",
      "a",
      "*.example.com",
      "api.example.com",
      "10.0.0.1",
      "[::1]",
      "xn--bcher-kva.example",
      "my_service.ns",
    ])
      assert.equal(hostFault(host), undefined, host);
    for (const host of [
      "",
      "a:80",
      "[::1]:80",
      "*.",
      "*example.com",
      "a.*.b",
      "http://a",
      "a/b",
      "a.",
      ".a",
      "-a",
      "bücher.example",
      "UPPER",
      "*.[::1]",
    ])
      assert.notEqual(hostFault(host), undefined, host);
  });

  it("paths that two readers could read in two ways are refused", () => {
    for (const path of ["/", "/a", "/a/b.c", "/a-b_c~d", "/...", "/a/..b", "/:id", "/@x,$!'()"])
      assert.equal(pathFault(path), undefined, path);
    for (const path of [
      "",
      "a",
      "/a/",
      "//",
      "//a",
      "/a//b",
      "/.",
      "/..",
      "/a/../b",
      "/a/./b",
      "/%61",
      "/a;b",
      "/a\\b",
      "/a?b",
      "/a#b",
      "/a b",
      "/ä",
      "/a\n",
      "/a*",
      "/*",
      "/pets/{id}",
      "/a}",
    ])
      assert.notEqual(pathFault(path), undefined, path);
    assert.ok(pathWithin("/a/b", "/a") && pathWithin("/a", "/a") && pathWithin("/a", "/") && !pathWithin("/ab", "/a"));
  });

  it("origins", () => {
    for (const origin of [
      "*",
      "https://a.example",
      "http://localhost:3000",
      "https://*.example.com",
      "https://[::1]:8443",
      "app://x",
    ])
      assert.equal(originFault(origin), undefined, origin);
    for (const origin of [
      "",
      "null",
      "a.example",
      "https://a.example/",
      "https://a.example/x",
      "https://*",
      "https://a:99999",
      "https://user@a",
      "https://a.*.b",
    ])
      assert.notEqual(originFault(origin), undefined, origin);
  });
});

describe("defaults", () => {
  it("are those of the reference", () => {
    const api = fillApi({
      id: "a",
      hosts: ["API.Example.com"],
      paths: ["/"],
      methods: ["get", "GET"],
      upstream: { service: "Up", port: 1 },
      routes: [{ path: "/r" }],
      cors: { allowOrigins: ["HTTPS://A"] },
    });
    assert.deepEqual(api, {
      id: "a",
      hosts: ["api.example.com"],
      paths: ["/"],
      methods: ["GET"],
      upstream: { service: "up", port: 1 },
      auth: { mode: "key" },
      scopes: [],
      failureMode: "closed",
      rateLimitHeaders: true,
      legacyHeaders: "off",
      routes: [{ path: "/r", methods: [], scopes: [], cost: 1, limits: [] }],
      limits: [],
      cors: {
        allowOrigins: ["https://a"],
        allowMethods: [],
        allowHeaders: [],
        exposeHeaders: [],
        maxAgeSeconds: 600,
        allowCredentials: false,
      },
    });
    assert.deepEqual(fillLimit({ name: "l", kind: "rate", limit: 1, windowSeconds: 2 }), {
      name: "l",
      kind: "rate",
      limit: 1,
      windowSeconds: 2,
      anchor: "calendar",
      subject: "key",
      enforcement: "global",
      mode: "enforce",
    });
    assert.equal(fillLimit({ name: "l", kind: "quota", limit: 1, period: "30d" }).anchor, "firstUse");
    assert.equal(fillLimit({ name: "l", kind: "quota", limit: 1, period: "day" }).anchor, "calendar");
  });

  it("a key keeps its state, and its start as long as it's the same key", () => {
    const stored = key({
      state: "revoked",
      prefix: "tg_default_abcd",
      rotatedTo: "n",
      expiresAt: "2026-01-01T00:00:00Z",
    });
    const same = fillKey({ id: "k", consumer: "acme", sha256: stored.sha256.toUpperCase() }, stored);
    assert.deepEqual(
      [same.state, same.prefix, same.rotatedTo, same.expiresAt],
      ["revoked", "tg_default_abcd", "n", "2026-01-01T00:00:00Z"],
    );
    assert.equal(fillKey({ id: "k", consumer: "acme", sha256: digestHex("other") }, stored).prefix, undefined);
    assert.equal(
      fillKey({ id: "k", consumer: "acme", sha256: stored.sha256 }, key({ expiresAt: "2026-01-01T00:00:00Z" }))
        .expiresAt,
      undefined,
      "only a rotation's expiry stays",
    );
  });
});

describe("names that are nearly right", () => {
  it("are suggested", () => {
    assert.equal(nearest("pahts", ["paths", "hosts"]), "paths");
    assert.equal(nearest("Bronze", ["bronze", "silver"]), "bronze");
    assert.equal(nearest("xyz", ["paths", "hosts"]), undefined);
    assert.equal(nearest("a", []), undefined);
  });
});

const head = `version: 1
apis:
  - {id: echo, hosts: ["*"], paths: [/], upstream: {service: up, port: 80}}
tiers:
  - {id: bronze}
consumers:
  - {id: acme, tier: bronze}
`;
const digest = digestHex("x");

describe("tollgate.yaml", () => {
  const cases: [name: string, text: string, expected: string[]][] = [
    ["a good file", head, []],
    ["an empty file", "", ["1:1: The file is empty. Begin with `version: 1`."]],
    ["a list", "- a", ["1:1: Must be an object, is a list. The configuration of one Tollgate environment."]],
    ["another version", "version: 2", ["1:10: version: Must be 1, is 2. The version of the file format: 1."]],
    ["no version", "tiers: []", ["1:1: `version` is missing. The version of the file format: 1."]],
    ["a tab", "version: 1\ntiers:\n\t- {id: a}", ["3:1: Tabs are not allowed as indentation. Indent with spaces."]],
    ["a field twice", "version: 1\nversion: 1", ["2:1: The field is written twice. Remove one."]],
    [
      "two documents",
      "version: 1\n---\nversion: 1",
      [
        "2:1: A second YAML document begins here; a file holds one. Put each document into a file of its own, or remove the `---`.",
      ],
    ],
    ["an unknown field", "version: 1\nteirs: []", ["2:1: teirs: Unknown field `teirs`. Did you mean `tiers`?"]],
    [
      "a bad environment",
      "version: 1\nenvironment: Prod",
      [
        '2:14: environment: "Prod" is not valid. The name of an environment: 1 to 32 lower-case letters, digits and `-`.',
      ],
    ],
    [
      "ids in both kinds of letters, where they may be",
      `${head}  - {id: Acme}\nkeys: [{id: K1, consumer: Acme, sha256: ${digest}}]`,
      [],
    ],
    [
      "an upper-case id of a tier",
      "version: 1\ntiers: [{id: Gold}]",
      [
        '2:14: tiers[0].id: "Gold" is not valid. An ID: 1 to 63 lower-case letters, digits, `.`, `_` and `-`. It begins with a letter or digit.',
      ],
    ],
    [
      "an unknown tier",
      head.replace("tier: bronze", "tier: bronce"),
      ["7:22: consumers[0].tier: There is no tier `bronce`. Did you mean `bronze`?"],
    ],
    [
      "an unknown API of a tier",
      head.replace("{id: bronze}", "{id: bronze, apis: [ecko]}"),
      ["5:25: tiers[0].apis[0]: There is no API `ecko`. Did you mean `echo`?"],
    ],
    [
      "a twin id",
      head.replace("{id: bronze}", "{id: bronze}\n  - {id: bronze}"),
      ["6:10: tiers[1].id: Another one of tiers has the id `bronze`. Ids are unique among their kind: rename one."],
    ],
    [
      "a bad claim's name",
      head.replace("tier: bronze}", "tier: bronze, claims: {Org: x}}"),
      [
        "7:39: consumers[0].claims.Org: `Org` is not a valid name. Identity claims that the upstream receives as headers. Names: 1 to 63 lower-case letters, digits and `-`.",
      ],
    ],
    [
      "a claim with an umlaut",
      head.replace("tier: bronze}", "tier: bronze, claims: {org: Ä}}"),
      [
        '7:44: consumers[0].claims.org: "Ä" is not valid. The value of a claim: at most 1024 printable ASCII characters.',
      ],
    ],
    [
      "a bad network",
      `${head}keys: [{id: k, consumer: acme, sha256: ${digest}, allowedCidrs: [10.0.0.0/99]}]`,
      [
        "8:121: keys[0].allowedCidrs[0]: `10.0.0.0/99` is not a network. Use a network such as 10.0.0.0/8 or 2001:db8::/32, or one address.",
      ],
    ],
    [
      "a bad time",
      `${head}keys:\n  - id: k\n    consumer: acme\n    sha256: ${digest}\n    expiresAt: 2027-02-30T00:00:00Z`,
      [
        "12:16: keys[0].expiresAt: `2027-02-30T00:00:00Z` is not a time. Write it as RFC 3339 with its offset, such as 2027-01-01T00:00:00Z.",
      ],
    ],
    [
      "an expiry before the beginning",
      `${head}keys:\n  - id: k\n    consumer: acme\n    sha256: ${digest}\n    notBefore: 2027-01-01T00:00:00Z\n    expiresAt: 2027-01-01T00:00:00Z`,
      ["13:16: keys[0].expiresAt: The key expires before it becomes valid. Make `expiresAt` later than `notBefore`."],
    ],
    [
      "a key in place of its digest",
      `${head}keys: [{id: k, consumer: acme, sha256: tg_default_secret}]`,
      [
        "8:40: keys[0].sha256: The value is not valid. The SHA-256 digest of the complete key, 64 hex digits. Never the key itself.",
      ],
    ],
    [
      "a digest twice",
      `${head}keys:\n  - {id: a, consumer: acme, sha256: ${digest}}\n  - {id: b, consumer: acme, sha256: ${digest}}`,
      ["10:37: keys[1].sha256: The digest is also that of key `a`. Give each key once."],
    ],
    [
      "a rate without window",
      head.replace("{id: bronze}", "{id: bronze, limits: [{name: a, kind: rate, limit: 1}]}"),
      ["5:27: tiers[0].limits[0]: A rate needs `windowSeconds`. Add it, such as `windowSeconds: 60`."],
    ],
    [
      "a rate with a quota's fields",
      head.replace(
        "{id: bronze}",
        "{id: bronze, limits: [{name: a, kind: rate, limit: 1, windowSeconds: 1, period: day, anchor: firstUse}]}",
      ),
      [
        "5:85: tiers[0].limits[0].period: `period` belongs to a quota. Use `windowSeconds`, or set `kind` to quota.",
        "5:98: tiers[0].limits[0].anchor: `anchor` belongs to a quota. Remove it, or set `kind` to quota.",
      ],
    ],
    [
      "a quota with a rate's fields",
      head.replace(
        "{id: bronze}",
        "{id: bronze, limits: [{name: a, kind: quota, limit: 1, windowSeconds: 1, smoothing: {perSecond: 1, burst: 1}}]}",
      ),
      [
        "5:27: tiers[0].limits[0]: A quota needs `period`. Add it, such as `period: day`.",
        "5:75: tiers[0].limits[0].windowSeconds: `windowSeconds` belongs to a rate. Use `period`, or set `kind` to rate.",
        "5:89: tiers[0].limits[0].smoothing: `smoothing` belongs to a rate. Remove it, or add a rate beside the quota.",
      ],
    ],
    [
      "a bad period",
      head.replace("{id: bronze}", "{id: bronze, limits: [{name: a, kind: quota, limit: 1, period: year}]}"),
      [
        "5:68: tiers[0].limits[0].period: `year` is not a period. Use day, week, month, or a length such as 12h or 30d (at most 366d).",
      ],
    ],
    [
      "a length in the calendar",
      head.replace(
        "{id: bronze}",
        "{id: bronze, limits: [{name: a, kind: quota, limit: 1, period: 30d, anchor: calendar}]}",
      ),
      [
        "5:81: tiers[0].limits[0].anchor: A period of `30d` has no place in the calendar. Use `anchor: firstUse`, or the period day, week or month.",
      ],
    ],
    [
      "a day from the first use",
      head.replace(
        "{id: bronze}",
        "{id: bronze, limits: [{name: a, kind: quota, limit: 1, period: day, anchor: firstUse}]}",
      ),
      [
        "5:81: tiers[0].limits[0].anchor: A day is one of the calendar; it can't begin with the first use. Use `anchor: calendar`, or a length such as 1d, 7d or 30d.",
      ],
    ],
    [
      "a limit's name twice",
      head.replace(
        "{id: bronze}",
        "{id: bronze, limits: [{name: a, kind: rate, limit: 1, windowSeconds: 1}, {name: a, kind: rate, limit: 1, windowSeconds: 2}]}",
      ),
      ["5:85: tiers[0].limits[1].name: Limit `a` is named twice. Remove one."],
    ],
    [
      "a negative cost",
      head.replace("port: 80}}", "port: 80}, routes: [{path: /x, cost: -1}]}"),
      [
        "3:103: apis[0].routes[0].cost: -1 must be >= 0. How much one request counts toward every limit: a whole number from 0 to 1000000. Default: 1.",
      ],
    ],
    [
      "a broken cost",
      head.replace("port: 80}}", "port: 80}, routes: [{path: /x, cost: 1.5}]}"),
      [
        "3:103: apis[0].routes[0].cost: Must be an integer, is the number 1.5. How much one request counts toward every limit: a whole number from 0 to 1000000. Default: 1.",
      ],
    ],
    [
      "a path with a slash at its end",
      head.replace("paths: [/]", "paths: [/a/]"),
      ["3:38: apis[0].paths[0]: Path `/a/` ends with `/`. Write `/a`: a prefix ends on a segment's border anyway."],
    ],
    [
      "a route outside the API",
      head.replace("paths: [/]", "paths: [/a], routes: [{path: /b}]"),
      [
        "3:59: apis[0].routes[0].path: Route path `/b` is outside the API's paths (/a). Give the whole path, or add a path to the API.",
      ],
    ],
    [
      "a route's method that the API hasn't",
      head.replace("paths: [/]", "paths: [/], methods: [GET], routes: [{path: /b, methods: [HEAD, POST]}]"),
      [
        "3:87: apis[0].routes[0].methods: The API doesn't take POST. Use some of GET, or add it to the API's `methods`.",
      ],
    ],
    [
      "two routes alike",
      head.replace("paths: [/]", "paths: [/], routes: [{path: /b, methods: [GET]}, {path: /b, methods: [HEAD]}]"),
      ["3:79: apis[0].routes[1]: Same path and method as routes[0]. Merge the two, or separate their methods."],
    ],
    [
      "a host with a port",
      head.replace('["*"]', '["a.example:80"]'),
      ["3:24: apis[0].hosts[0]: Host `a.example:80` has a port. Leave the port out: hosts are compared without it."],
    ],
    [
      "an API like another",
      head.replace("tiers:", '  - {id: twin, hosts: ["*"], paths: [/, /b], upstream: {service: up, port: 80}}\ntiers:'),
      [
        "4:5: apis[1]: APIs `echo` and `twin` both claim host `*`, path `/` and a common method. Separate them by host, path or method.",
      ],
    ],
    [
      "scopes without a caller",
      head.replace("paths: [/]", "paths: [/], auth: {mode: none}, scopes: [a]"),
      [
        "3:70: apis[0].scopes: A keyless API has no caller whose scopes could be checked. Remove `scopes`, or set `auth.mode` to key.",
      ],
    ],
    [
      "a keyless limit by key",
      head.replace(
        "paths: [/]",
        "paths: [/], auth: {mode: none}, limits: [{name: a, kind: rate, limit: 1, windowSeconds: 1}]",
      ),
      ["3:71: apis[0].limits[0].subject: A keyless API has no callers to count by key. Set `subject` to ip or api."],
    ],
    [
      "a keyless route's limit by consumer",
      head.replace(
        "paths: [/]",
        "paths: [/], auth: {mode: none}, routes: [{path: /r, limits: [{name: a, kind: rate, limit: 1, windowSeconds: 1, subject: consumer+api}]}]",
      ),
      [
        "3:150: apis[0].routes[0].limits[0].subject: A keyless API has no callers to count by consumer+api. Set `subject` to ip or api.",
      ],
    ],
    [
      "addresses counted by control",
      head.replace(
        "paths: [/]",
        "paths: [/], limits: [{name: a, kind: rate, limit: 1, windowSeconds: 1, subject: ip}]",
      ),
      [
        "3:51: warning: apis[0].limits[0].enforcement: Every address that calls becomes a counter in control, and its first request waits for control's answer. Set `enforcement: gateway` unless an address must be counted over all gateways together.",
      ],
    ],
    [
      "addresses counted by each gateway, a month long",
      head.replace(
        "paths: [/]",
        "paths: [/], limits: [{name: a, kind: quota, limit: 1, period: month, subject: ip, enforcement: gateway}]",
      ),
      [],
    ],
    [
      "a tier's limit below a route's cost",
      head
        .replace("port: 80}}", "port: 80}, routes: [{path: /x, methods: [post], cost: 5}]}")
        .replace("{id: bronze}", "{id: bronze, limits: [{name: a, kind: rate, limit: 4, windowSeconds: 1}]}"),
      [
        "5:27: warning: tiers[0].limits[0]: A call of route `POST /x` of API `echo` costs 5, more than `limit` 4: it is always refused. Raise the limit, or lower the route's `cost`.",
      ],
    ],
    [
      "a burst below a route's cost",
      head.replace(
        "port: 80}}",
        "port: 80}, routes: [{path: /x, cost: 5}], limits: [{name: a, kind: rate, limit: 50, windowSeconds: 1, smoothing: {perSecond: 9, burst: 3}}]}",
      ),
      [
        "3:117: warning: apis[0].limits[0]: A call of route `/x` of API `echo` costs 5, more than `smoothing.burst` 3: it is always refused. Raise the limit, or lower the route's `cost`.",
      ],
    ],
    [
      "a limit below a route's cost that the route overrides",
      head
        .replace(
          "port: 80}}",
          "port: 80}, routes: [{path: /x, cost: 5, limits: [{name: a, kind: rate, limit: 5, windowSeconds: 1}]}]}",
        )
        .replace(
          "{id: bronze}",
          "{id: bronze, limits: [{name: a, kind: rate, limit: 4, windowSeconds: 1}, {name: b, kind: rate, limit: 1, windowSeconds: 1, mode: shadow}, {name: c, kind: rate, limit: 0, windowSeconds: 1}]}",
        ),
      [],
    ],
    [
      "tokens without issuers",
      head.replace("paths: [/]", "paths: [/], auth: {mode: jwt}"),
      [
        "3:48: warning: apis[0].auth: `auth.mode: jwt` needs `jwt`: until the API says whose tokens it takes, it is closed (503 auth_mode_unsupported). Add `jwt: {issuers: [{issuer: …, jwksUri: …, audiences: […]}]}`.",
      ],
    ],
    [
      "keys or tokens without issuers",
      head.replace("paths: [/]", "paths: [/], auth: {mode: key-or-jwt}"),
      [
        "3:48: warning: apis[0].auth: `auth.mode: key-or-jwt` needs `jwt`: until the API says whose tokens it takes, it takes only keys. Add `jwt: {issuers: [{issuer: …, jwksUri: …, audiences: […]}]}`.",
      ],
    ],
    [
      "credentials for all",
      head.replace("paths: [/]", 'paths: [/], cors: {allowOrigins: ["*"], allowCredentials: true}'),
      [
        '3:88: apis[0].cors.allowCredentials: Credentials with origin "*" would let every site act for its visitors. Name the origins, or drop `allowCredentials`.',
      ],
    ],
    [
      "a bad origin",
      head.replace("paths: [/]", "paths: [/], cors: {allowOrigins: [a.example]}"),
      [
        '3:64: apis[0].cors.allowOrigins[0]: Origin `a.example` is not an origin. Use https://app.example.com (scheme, host and port only, lower case), https://*.example.com or "*".',
      ],
    ],
    [
      "faults of structure and of meaning, in one go",
      `${head}  - {id: other, teir: bronze}\n  - {id: third, tier: gold}\nkeys: [{id: k, consumer: other, sha256: x}, {id: l, consumer: other, sha256: ${digest}, apis: [nope]}]`,
      [
        "8:17: consumers[1].teir: Unknown field `teir`. Did you mean `tier`?",
        "9:23: consumers[2].tier: There is no tier `gold`. Create it first, or name one that exists.",
        "10:41: keys[0].sha256: The value is not valid. The SHA-256 digest of the complete key, 64 hex digits. Never the key itself.",
        "10:151: keys[1].apis[0]: There is no API `nope`. Create it first, or name one that exists.",
      ],
    ],
    [
      "a name with a control character",
      'version: 1\ntiers: [{id: a, name: "x\\0y"}]',
      ['2:23: tiers[0].name: "x\\u0000y" is not valid. Display name, 1 to 200 characters, no control characters.'],
    ],
    [
      "too many aliases",
      `version: 1\n${"a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]"}`,
      ["1:1: Excessive alias count indicates a resource exhaustion attack. Write repeated parts out."],
    ],
  ];
  for (const [name, text, expected] of cases) {
    it(name, () =>
      assert.deepEqual(
        loadFile(text).problems.map((problem) => problemLine("f", problem)),
        expected.map((line) => `f:${line}`),
      ),
    );
  }

  it("never throws, whatever the text", () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.string({ unit: "binary" }),
          fc.json().map((json) => json.replaceAll('"', "")),
        ),
        (text) => void loadFile(text),
      ),
    );
    fc.assert(
      fc.property(
        fc.nat(head.length),
        fc.nat(12),
        fc.string({ maxLength: 5 }),
        (at, cut, put) => void loadFile(head.slice(0, at) + put + head.slice(at + cut)),
      ),
    );
  });

  it("every problem has a place in the text", () => {
    fc.assert(
      fc.property(fc.nat(head.length), fc.nat(12), fc.string({ maxLength: 5 }), (at, cut, put) => {
        const text = head.slice(0, at) + put + head.slice(at + cut);
        const lines = text.split(/\r\n|[\n\r]/).length;
        for (const { line, column } of loadFile(text).problems)
          assert.ok(line >= 1 && column >= 1 && line <= lines + 1);
      }),
    );
  });

  it("its published schema is up to date", () => {
    assert.equal(readFileSync(schemaFile, "utf8"), publishedSchema());
  });
});

describe("limits", () => {
  const limit = (name: string, more: Partial<Limit> = {}): Limit => ({
    name,
    kind: "rate",
    limit: 60,
    windowSeconds: 60,
    anchor: "calendar",
    subject: "key",
    enforcement: "global",
    mode: "enforce",
    ...more,
  });
  const tier: Tier = { id: "t", scopes: [], limits: [limit("a"), limit("b"), limit("c"), limit("d")] };
  const route = {
    path: "/r",
    methods: ["GET", "POST"],
    scopes: [],
    cost: 1,
    limits: [limit("c", { limit: 3 }), limit("r")],
  };
  const api = {
    ...fillApi({ id: "x", hosts: ["*"], paths: ["/"], upstream: { service: "u", port: 1 } }),
    limits: [
      limit("b", { limit: 2 }),
      limit("c", { limit: 2 }),
      limit("ip", { subject: "ip" }),
      limit("all", { subject: "api" }),
    ],
    routes: [route],
  };
  const found = (request: Parameters<typeof applicableLimits>[0]) =>
    applicableLimits(request).map(({ limit: { name, limit: amount }, owner }) => `${owner.kind} ${name} ${amount}`);

  it("apply by name, the most specific", () => {
    assert.deepEqual(found({ tier, api, route, key: key({ limits: [limit("d", { limit: 4 }), limit("k")] }) }), [
      "tier a 60",
      "api b 2",
      "route c 3",
      "key d 4",
      "api ip 60",
      "api all 60",
      "route r 60",
      "key k 60",
    ]);
    assert.deepEqual(found({ tier, api }), ["tier a 60", "api b 2", "api c 2", "tier d 60", "api ip 60", "api all 60"]);
    assert.deepEqual(found({}), []);
  });

  it("that count callers don't apply where there is none", () => {
    assert.deepEqual(found({ api, route }), ["api ip 60", "api all 60"]);
  });

  it("are told in words", () => {
    assert.equal(limitText(limit("a")), "60 per minute by key");
    assert.equal(
      limitText(
        limit("a", {
          windowSeconds: 10,
          subject: "ip",
          enforcement: "gateway",
          mode: "shadow",
          smoothing: { perSecond: 5, burst: 2 },
        }),
      ),
      "60 per 10 s by ip, in each gateway, paced at 5 per second, burst 2, shadow",
    );
    const { windowSeconds: _none, ...quota } = limit("q", {
      kind: "quota",
      period: "30d",
      anchor: "firstUse",
      subject: "consumer+api",
    });
    assert.equal(limitText(quota), "60 per 30d by consumer+api, from the first use");
  });

  it("that change are told in words", () => {
    const after = {
      ...api,
      limits: [limit("b", { limit: 5 }), limit("ip", { subject: "ip" }), limit("new")],
      routes: [{ ...route, limits: [limit("r", { mode: "shadow" })] }],
    };
    assert.deepEqual(limitChanges(api, after), [
      "~ b: 2 per minute by key → 5 per minute by key",
      "- c: 2 per minute by key",
      "- all: 60 per minute by api",
      "- GET,POST /r c: 3 per minute by key",
      "~ GET,POST /r r: 60 per minute by key → 60 per minute by key, shadow",
      "+ new: 60 per minute by key",
    ]);
    assert.deepEqual(limitChanges(tier, tier), []);
  });
});

describe("diff", () => {
  const spec = (more: Partial<EnvironmentSpec>): EnvironmentSpec => ({
    version: 1,
    environment: "default",
    apis: [],
    tiers: [],
    consumers: [],
    keys: [],
    ...more,
  });
  const record = fc.record<Tier>(
    { id: fc.constantFrom("a", "b", "c"), scopes: fc.subarray(["x", "y"]), limits: fc.constant([]) },
    { noNullPrototype: true },
  );
  const tiers: fc.Arbitrary<Tier[]> = fc.uniqueArray(record, { selector: ({ id }) => id });

  it("made one by one, its changes lead from one to the other, and then there are none", () => {
    fc.assert(
      fc.property(tiers, tiers, fc.boolean(), (before, after, prune) => {
        const pruned = new Set<Kind>(prune ? kinds : []);
        const now = new Map(before.map((one) => [one.id, one]));
        for (const change of diff(spec({ tiers: before }), spec({ tiers: after }), pruned)) {
          assert.equal(now.has(change.id), change.action !== "create");
          if (change.action === "delete") now.delete(change.id);
          else now.set(change.id, after.find(({ id }) => id === change.id)!);
        }
        for (const one of after) assert.deepEqual(now.get(one.id), one);
        if (prune) assert.equal(now.size, after.length);
        assert.deepEqual(diff(spec({ tiers: [...now.values()] }), spec({ tiers: after }), pruned), []);
      }),
    );
  });

  it("deletes keys first and what others refer to last", () => {
    const full = spec({
      apis: [fillApi({ id: "a", hosts: ["*"], paths: ["/"], upstream: { service: "u", port: 1 } })],
      tiers: [{ id: "t", scopes: [], limits: [] }],
      consumers: [{ id: "c", claims: {}, suspended: false }],
      keys: [key()],
    });
    const brief = (changes: Change[]) => changes.map(({ action, kind }) => `${action} ${kind}`);
    assert.deepEqual(brief(diff(full, spec({}), new Set(kinds))), [
      "delete key",
      "delete consumer",
      "delete tier",
      "delete api",
    ]);
    assert.deepEqual(brief(diff(spec({}), full, new Set(kinds))), [
      "create api",
      "create tier",
      "create consumer",
      "create key",
    ]);
    assert.deepEqual(diff(full, { ...full, keys: [key({ name: "n", state: "revoked" })] }, new Set()), [
      { action: "update", kind: "key", id: "k", fields: ["name", "state"] },
    ]);
  });

  it("an export in pieces is the export, and is read back as it was, whatever the names", async () => {
    const name = fc
      .string({ unit: "grapheme", minLength: 1, maxLength: 50 })
      .filter((text) => /^[^\u0000-\u001f\u007f-\u009f\ud800-\udfff]+$/u.test(text));
    await fc.assert(
      fc.asyncProperty(
        fc.array(name, { maxLength: 3 }),
        fc.array(name, { maxLength: 3 }),
        async (consumerNames, keyNames) => {
          const full = spec({
            consumers: consumerNames.map((text, index) => ({
              id: `c${index}`,
              name: text,
              claims: {},
              suspended: false,
            })),
            keys:
              consumerNames.length === 0
                ? []
                : keyNames.map((text, index) =>
                    key({ id: `k${index}`, name: text, consumer: "c0", sha256: digestHex(`k${index}`) }),
                  ),
          });
          const exported = exportYaml(full);
          assert.deepEqual(loadFile(exported).spec, full);
          let pieces = "";
          for await (const piece of exportChunks(full, pagesOf(full.keys))) pieces += piece;
          assert.equal(pieces, exported);
        },
      ),
      { examples: [[["\u2028"], ["a\u2029b", "\u2028\u2028"]]] },
    );
    async function* pagesOf(keys: Key[]) {
      for (const one of keys) yield [one];
    }
  });

  it("an export is read back as it was", () => {
    const headers = loadFile(
      "version: 1\napis: [{id: a, hosts: ['*'], paths: [/a], upstream: {service: u, port: 1}, rateLimitHeaders: false, legacyHeaders: tyk}, {id: b, hosts: ['*'], paths: [/b], upstream: {service: u, port: 1}}]",
    );
    assert.deepEqual(
      headers.spec!.apis.map(({ rateLimitHeaders, legacyHeaders }) => [rateLimitHeaders, legacyHeaders]),
      [
        [false, "tyk"],
        [true, "off"],
      ],
    );
    const text = exportYaml(headers.spec!);
    assert.deepEqual(
      [text.match(/rateLimitHeaders: .*/g), text.match(/legacyHeaders: .*/g)],
      [["rateLimitHeaders: false"], ["legacyHeaders: tyk"]],
    );
    assert.deepEqual(loadFile(text).spec, headers.spec);
    const { spec: loaded } = loadFile(
      `${head}keys: [{id: k, consumer: acme, sha256: ${digest}, scopes: [], expiresAt: 2027-01-01T00:00:00+02:00}]`,
    );
    assert.deepEqual(loadFile(exportYaml(loaded!)).spec, loaded);
  });
});

describe("the table of reasons", () => {
  it("has a title of at most five words, and full sentences for the meaning and the remedy", () => {
    assert.ok(reasons.length > 30);
    for (const { code, title, meaning, remedy } of reasons) {
      assert.match(title, /^[A-Z]\S*(?: \S+){0,4}$/, code);
      assert.match(meaning, /^[A-Z].*\.$/, code);
      assert.match(remedy, /^[A-Z].*\.$/, code);
    }
  });

  it("says of every 503, and of nothing else, when to try again", () => {
    for (const { code, status, retryAfterSeconds } of reasons)
      assert.equal(retryAfterSeconds !== undefined, status === 503, code);
  });
});
