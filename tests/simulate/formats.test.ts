import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CsvParser } from "../../tools/simulate/csvLog.ts";
import { envoyDefaultFormat, EnvoyTextParser, istioDefaultFormat } from "../../tools/simulate/envoyFormat.ts";
import { type FieldNames, FieldMap, LogEntry, normalName } from "../../tools/simulate/fields.ts";
import { detectFormat } from "../../tools/simulate/formats.ts";
import { JsonParser } from "../../tools/simulate/jsonLog.ts";
import { slotsOf } from "./support.ts";

const text = (format: string, names: FieldNames = {}) => new EnvoyTextParser("text", format, new FieldMap(names));
const json = (names: FieldNames = {}) =>
  new JsonParser(new FieldMap(names), [text(istioDefaultFormat, names), text(envoyDefaultFormat, names)]);

// The example of Envoy's own documentation.
const envoyLine =
  '[2016-04-15T20:17:00.310Z] "POST /api/v1/locations HTTP/2" 204 - 154 0 226 100 "10.0.35.28" "nsq2http" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "locations" "tcp://10.0.2.1:80"';
// The example of Istio's documentation.
const istioLine =
  '[2020-11-25T21:26:18.409Z] "GET /status/418 HTTP/1.1" 418 - via_upstream - "-" 0 135 3 1 "-" "curl/7.73.0-DEV" "84961386-6d84-929d-98bd-c5aee93b5c88" "httpbin:8000" "127.0.0.1:80" ' +
  "inbound|8000|| 127.0.0.1:41854 10.44.1.27:80 10.44.1.23:37652 outbound_.8000_._.httpbin.foo.svc.cluster.local default";

describe("Envoy's and Istio's text", () => {
  test("Envoy's default", () => {
    assert.deepEqual(slotsOf(text(envoyDefaultFormat), envoyLine), {
      time: "2016-04-15T20:17:00.310Z",
      method: "POST",
      path: "/api/v1/locations",
      host: "locations",
      forwarded: "10.0.35.28",
    });
    assert.equal(slotsOf(text(envoyDefaultFormat), istioLine), undefined);
  });

  test("Istio's default", () => {
    assert.deepEqual(slotsOf(text(istioDefaultFormat), istioLine), {
      time: "2020-11-25T21:26:18.409Z",
      method: "GET",
      path: "/status/418",
      host: "httpbin:8000",
      address: "10.44.1.23:37652",
      details: "via_upstream",
    });
    assert.equal(slotsOf(text(istioDefaultFormat), envoyLine), undefined);
  });

  test("a request that broke off has neither method nor path", () => {
    const broken =
      '[2020-11-25T21:26:18.409Z] "- - HTTP/1.1" 400 DPE http1.codec_error - "-" 0 11 0 - "-" "-" "-" "-" "-" - - 10.44.1.27:80 10.44.1.23:37652 - -';
    assert.deepEqual(slotsOf(text(istioDefaultFormat), broken), {
      time: "2020-11-25T21:26:18.409Z",
      details: "http1.codec_error",
      address: "10.44.1.23:37652",
    });
  });

  test("what clients send can't move the fields around it", () => {
    const agents = [
      '" "',
      'x" "y" "z" "evil.example.com" "',
      "-",
      "",
      '\\"',
      '"',
      "[2026-01-01T00:00:00.000Z]",
      '" 200 - "',
      "a b c",
    ];
    for (const agent of agents) {
      const found = slotsOf(text(istioDefaultFormat), istioLine.replace("curl/7.73.0-DEV", agent));
      assert.equal(found?.host, "httpbin:8000", agent);
      assert.equal(found?.address, "10.44.1.23:37652", agent);
      assert.equal(found?.path, "/status/418", agent);
    }
  });

  test("any user agent leaves the other fields as they are, in a time that grows with the line's length", () => {
    const parser = text(istioDefaultFormat);
    const agents = fc
      .array(fc.constantFrom('" "', '"', " ", "-", "200", "a", "[", "%"), { maxLength: 60 })
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(agents, (agent) =>
        assert.equal(slotsOf(parser, istioLine.replace("curl/7.73.0-DEV", agent))?.host, "httpbin:8000"),
      ),
    );
    const started = process.cpuUsage();
    slotsOf(parser, istioLine.replace("curl/7.73.0-DEV", '" "'.repeat(100_000)));
    slotsOf(parser, '[2020-11-25T21:26:18.409Z] "GET ' + '" '.repeat(100_000));
    assert.ok(
      process.cpuUsage(started).user < 2_000_000,
      "microseconds of this process alone, however busy the machine is",
    );
  });
});

describe("a format string", () => {
  test("with headers, a time format, lengths, escapes and Tollgate's claims", () => {
    const parser = text(
      "%START_TIME(%s.%3f)% %REQ(:METHOD)%|%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):256%|100%%|%REQ(X-TOLLGATE-KEY-ID)%|%REQ(x-tollgate-consumer)%|%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%|%REQ(USER-AGENT)%\\n",
    );
    const line = "1793520550.123 GET|/a?b|100%|k_1|acme|192.0.2.1|some|thing";
    assert.deepEqual(slotsOf(parser, line), {
      time: "1793520550.123",
      method: "GET",
      path: "/a?b",
      key: "k_1",
      consumer: "acme",
      address: "192.0.2.1",
    });
    assert.equal(parser.readTime("1793520550.123"), 1_793_520_550_123);
    assert.equal(slotsOf(parser, "1793520550.123 GET|/a?b|100|k_1|acme|192.0.2.1|x"), undefined);
  });

  test("with fields that the user names", () => {
    const parser = text("[%START_TIME%] %REQ(:PATH)% %REQ(X-USER)% %DYNAMIC_METADATA(com.acme:app)% %HOSTNAME%", {
      key: "x-user",
      consumer: "DYNAMIC_METADATA(com.acme:app)",
      gateway: "HOSTNAME",
    });
    assert.deepEqual(slotsOf(parser, "[2026-11-01T00:00:00.000Z] /x u1 app-7 gw-1"), {
      time: "2026-11-01T00:00:00.000Z",
      path: "/x",
      secret: "u1",
      consumer: "app-7",
      gateway: "gw-1",
    });
  });

  test("that can't be read back says why", () => {
    assert.throws(
      () => text("%START_TIME%%REQ(:PATH)%"),
      /nothing stands between %REQ\(:PATH\)% and the value before it/,
    );
    assert.throws(() => text("%REQ(:PATH)% x"), /holds no time/);
    assert.throws(() => text("%START_TIME% 100% %REQ(:PATH)%"), /is no command operator/);
    assert.throws(() => text("%START_TIME(%H:%M)% x"), /doesn't tell date and time/);
  });
});

describe("JSON", () => {
  test("Istio's fields", () => {
    const line = {
      start_time: "2026-11-01T00:00:00.000Z",
      method: "GET",
      path: "/a",
      authority: "api.example.com",
      downstream_remote_address: "192.0.2.1:5",
      x_forwarded_for: "192.0.2.1",
      response_code: 200,
      response_code_details: "via_upstream",
      route_name: "default",
      upstream_host: "10.0.0.1:80",
      user_agent: null,
    };
    assert.deepEqual(slotsOf(json(), JSON.stringify(line)), {
      time: line.start_time,
      method: "GET",
      path: "/a",
      host: line.authority,
      address: "192.0.2.1:5",
      forwarded: "192.0.2.1",
      details: "via_upstream",
    });
  });

  test("Envoy Gateway's fields: pseudo-headers, the original path first", () => {
    const line = {
      start_time: "2026-11-01T00:00:00.000Z",
      ":authority": "api.example.com",
      method: "GET",
      path: "/rewritten",
      "x-envoy-origin-path": "/a",
      "x-forwarded-for": "192.0.2.1",
      downstream_remote_address: "192.0.2.1:5",
    };
    const found = slotsOf(json(), JSON.stringify(line));
    assert.equal(found?.path, "/a");
    assert.equal(found.host, "api.example.com");
  });

  test("this project's fields, absent ones as null or -", () => {
    const line = {
      time: "2026-11-01T00:00:00.000Z",
      method: "GET",
      path: "/a",
      originalPath: null,
      host: "h",
      details: "-",
      client: "192.0.2.1",
      consumer: "acme",
      tier: "bronze",
      keyId: "k_1",
    };
    assert.deepEqual(slotsOf(json(), JSON.stringify(line)), {
      time: line.time,
      method: "GET",
      path: "/a",
      host: "h",
      address: "192.0.2.1",
      consumer: "acme",
      tier: "bronze",
      key: "k_1",
    });
  });

  test("nested objects, of which those of responses and upstreams don't count", () => {
    const line = {
      "@timestamp": "2026-11-01T00:00:00.000Z",
      response: { path: "/not", headers: { host: "not" } },
      upstream: { method: "PUT" },
      request: { method: "GET", path: "/a", headers: { host: "h", "x-tollgate-key-id": "k_1" } },
    };
    assert.deepEqual(slotsOf(json(), JSON.stringify(line)), {
      time: "2026-11-01T00:00:00.000Z",
      method: "GET",
      path: "/a",
      host: "h",
      key: "k_1",
    });
    assert.equal(
      slotsOf(
        json({ key: "request.headers.x-app-id" }),
        JSON.stringify({ ...line, request: { ...line.request, headers: { "x-app-id": "a" } } }),
      )?.key,
      "a",
    );
  });

  test("lines that a container runtime or a shipper wrapped", () => {
    const inner = '{"start_time":"2026-11-01T00:00:00.000Z","method":"GET","path":"/a"}';
    const expected = { time: "2026-11-01T00:00:00.000Z", method: "GET", path: "/a" };
    assert.deepEqual(slotsOf(json(), `[pod/gateway-5b/istio-proxy] ${inner}`), expected);
    assert.deepEqual(slotsOf(json(), `2026-11-02T00:00:00.000000000Z stdout F ${inner}`), expected);
    assert.deepEqual(
      slotsOf(json(), JSON.stringify({ log: `${inner}\n`, stream: "stdout", time: "2026-11-02T00:00:00Z" })),
      expected,
    );
    assert.equal(
      slotsOf(json(), JSON.stringify({ "@timestamp": "2026-11-02T00:00:00Z", message: istioLine }))?.path,
      "/status/418",
    );
    assert.equal(slotsOf(json(), JSON.stringify({ jsonPayload: JSON.parse(inner) as object }))?.path, "/a");
  });

  test("what is no object is no line", () => {
    for (const line of ["", "null", "[1]", '{"a":', "{}x", "2026 info {", '"x"'])
      assert.equal(slotsOf(json(), line), undefined, line);
  });

  test("a key's own field is a secret unless its name says that it's an id", () => {
    assert.deepEqual(Object.keys(slotsOf(json({ key: "user" }), '{"user":"x","keyId":"y"}')!), ["secret"]);
    assert.deepEqual(Object.keys(slotsOf(json({ key: "app_id" }), '{"app_id":"x","keyId":"y"}')!), ["key"]);
    assert.deepEqual(slotsOf(json(), '{"x-api-key":"x"}'), { secret: "x" });
  });
});

describe("CSV", () => {
  const csv = (header: string, names: FieldNames = {}) => new CsvParser(header, new FieldMap(names));

  test("with quotes, any of three separators, and any column order", () => {
    assert.deepEqual(slotsOf(csv("time,method,path,consumer"), '2026-11-01T00:00:00Z,GET,"/a,""b""",acme'), {
      time: "2026-11-01T00:00:00Z",
      method: "GET",
      path: '/a,"b"',
      consumer: "acme",
    });
    assert.deepEqual(slotsOf(csv("path;ts"), "/a;1793520550"), { time: "1793520550", path: "/a" });
    assert.deepEqual(slotsOf(csv("path\tts\tuser_agent"), "/a\t1793520550\t"), { time: "1793520550", path: "/a" });
  });

  test("with columns that the user names", () => {
    const parser = csv("When,What,Who,path", { time: "When", request: "What", key: "Who" });
    assert.deepEqual(slotsOf(parser, "1793520550,GET /a HTTP/1.1,u,/ignored"), {
      time: "1793520550",
      request: "GET /a HTTP/1.1",
      secret: "u",
      path: "/ignored",
    });
  });

  test("lines with too few or too many fields, or an open quote, are bad", () => {
    const parser = csv("time,path");
    for (const line of ["", "1", "1,/a,x", '1,"/a', '1,"/a"x']) assert.equal(slotsOf(parser, line), undefined, line);
  });
});

describe("the format is found by the first lines", () => {
  const found = (lines: string[], names: FieldNames = {}) =>
    detectFormat(lines, { input: "auto" }, new FieldMap(names))?.parser.name;

  test("among noise", () => {
    const jsonLine = '{"start_time":"2026-11-01T00:00:00.000Z","path":"/"}';
    assert.equal(found(["2026-11-01T00:00:00.000000Z\tinfo\tFLAG: --concurrency", jsonLine, jsonLine]), "JSON");
    assert.equal(found([envoyLine]), "Envoy's text");
    assert.equal(found(["noise", istioLine, envoyLine, istioLine]), "Istio's text");
    assert.equal(found(["time,path"]), "CSV");
    assert.equal(found(["when,path", "1793520550,/"], { time: "when" }), "CSV");
    assert.equal(found(["noise", "more, of it"]), undefined);
    assert.equal(found(["a,b", "1,2"]), undefined);
  });
});

test("names in any spelling are one", () => {
  for (const name of [
    "x-tollgate-key-id",
    "X-Tollgate-Key-Id",
    "xTollgateKeyId",
    "X_TOLLGATE_KEY_ID",
    ":x.tollgate.key.id",
  ])
    assert.equal(normalName(name), "x_tollgate_key_id");
});

test("an entry holds nothing of the line before", () => {
  const parser = json();
  const entry = new LogEntry();
  parser.parse('{"path":"/a","keyId":"k"}', entry);
  parser.parse('{"method":"GET","log":"noise"}', entry);
  assert.deepEqual(slotsOf(parser, '{"method":"GET"}'), { method: "GET" });
});
